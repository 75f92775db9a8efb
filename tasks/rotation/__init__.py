"""The steps of a rotation as Prefect tasks: what they share, then one module for each thing that they change."""

from tasks.rotation import database, delivery, verify, workloads
from tasks.rotation.lock import name_rotation, rotation_locked
from tasks.rotation.observe import observe
from tasks.rotation.steps import STEPS, StepContext
from tasks.rotation.vault import begin_rollback

__all__ = [
    "STEPS",
    "StepContext",
    "begin_rollback",
    "database",
    "delivery",
    "name_rotation",
    "observe",
    "rotation_locked",
    "verify",
    "workloads",
]
