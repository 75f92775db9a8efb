"""The models that name things: the stack that is provisioned and the credential that is rotated.

They are the flows' parameters, so they make the forms of the Prefect UI: titles, help and bounds are read by
people. Names only, never values. The defaults are the walkthrough's.
"""

from infra.targets.checks import AccessOptions, AccessRows, StoryOptions
from infra.targets.credential import WALKTHROUGH_CONSUMER, Consumer, Strategy, Target, Through
from infra.targets.rotation import Day, Guards, RotationOptions, Sync
from infra.targets.stack import DeployOptions, ProvisionOptions, Stack, TearDownOptions

__all__ = [
    "WALKTHROUGH_CONSUMER",
    "AccessOptions",
    "AccessRows",
    "Consumer",
    "Day",
    "DeployOptions",
    "Guards",
    "ProvisionOptions",
    "RotationOptions",
    "Stack",
    "StoryOptions",
    "Strategy",
    "Sync",
    "Target",
    "TearDownOptions",
    "Through",
]
