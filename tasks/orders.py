"""What a step of a rotation is told: names alone, one parameter, the same for every step."""

from collections.abc import Callable
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.errors import KeyturnError
from infra.kubernetes.waiting import OnProgress, Progress
from infra.targets import Consumer, RotationOptions, Target


@dataclass(frozen=True)
class Order:
    """One step to perform.

    Args:
        target: the credential.
        options: how the rotation goes.
        rotation_id: the rotation that the step belongs to.
        subject: what the step is done to: a secret, a workload as namespace/name, the vault.
        mark: what a workload that it restarts is marked with.
    """

    target: Target
    options: RotationOptions
    rotation_id: str
    subject: str
    mark: str

    @property
    def consumer(self) -> Consumer:
        """The subject, where it is a consumer."""
        return self.target.consumer(self.subject)

    @property
    def owner(self) -> Consumer:
        """The first consumer of the subject, where that is a synced Secret."""
        return next(one for one in self.target.consumers if one.secret_key == self.subject)


def logged(subject: str) -> OnProgress:
    """Return what writes a wait's progress to the run's log, which open pages follow."""
    logger = get_run_logger()

    def tell(progress: Progress) -> None:
        logger.info("%s: %s (%.0f s left)", subject, progress.seen, progress.left_seconds)

    return tell


def logged_errors(subject: str) -> Callable[[KeyturnError, float], None]:
    """Return what writes the passing errors of a wait to the run's log."""
    logger = get_run_logger()

    def tell(error: KeyturnError, left_seconds: float) -> None:
        logger.info("%s: %s, %s (%.0f s left)", subject, error.what, error.code or error.seen, left_seconds)

    return tell
