"""The steps of a rotation as Prefect tasks: what they share, then one module for each thing that they change."""

from tasks.rotation import (
    alternate_logins,
    delivery,
    password_change,
    restarts,
    server_administrator,
    verify,
)
from tasks.rotation.lock import name_rotation, rotation_locked
from tasks.rotation.observe import observe
from tasks.rotation.registry import STEPS, StepContext
from tasks.rotation.vault import begin_rollback

__all__ = [
    "STEPS",
    "StepContext",
    "alternate_logins",
    "begin_rollback",
    "delivery",
    "name_rotation",
    "observe",
    "password_change",
    "restarts",
    "rotation_locked",
    "server_administrator",
    "verify",
]
