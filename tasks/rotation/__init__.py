"""The steps of a rotation as Prefect tasks: what they share, then one module for each thing that they change."""

from tasks.rotation import delivery, logins, restarts, verify
from tasks.rotation.lock import name_rotation, rotation_locked
from tasks.rotation.observe import observe
from tasks.rotation.registry import STEPS, StepContext
from tasks.rotation.vault import begin_rollback

__all__ = [
    "STEPS",
    "StepContext",
    "begin_rollback",
    "delivery",
    "logins",
    "name_rotation",
    "observe",
    "restarts",
    "rotation_locked",
    "verify",
]
