"""The models that name things: the credential that is rotated.

They are the flows' parameters, so they make the forms of the Prefect UI: titles, help and bounds are read by
people. Names only, never values. The defaults are the walkthrough's.
"""

from infra.targets.credential import WALKTHROUGH_CONSUMER, Consumer, Strategy, Target, Through
from infra.targets.rotation import Day, Guards, RotationOptions, Sync

__all__ = [
    "WALKTHROUGH_CONSUMER",
    "Consumer",
    "Day",
    "Guards",
    "RotationOptions",
    "Strategy",
    "Sync",
    "Target",
    "Through",
]
