"""The flows' own functions without Prefect's engine: what is run is the product's, only faster and unrecorded.

A task is its function, tried again by its own policy but without the pauses; artifacts and run logs go nowhere. Thus
a rotation takes about a second and needs no server, and a process that runs it can be forked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from prefect.logging import disable_run_logger
from prefect.states import Completed
from prefect.tasks import Task

from flows.deploy import deploy
from flows.migrate import migrate
from flows.provision import provision
from flows.rotate import rotate
from infra.errors import KeyturnError
from infra.provisioning.options import ProvisionOptions
from infra.rotation.verdict import Verdict
from infra.targets import RotationOptions, Target
from tasks import reporting
from testing.inventory import listed, of_target

STACK = "walkthrough"
ARTIFACTS = tuple(
    f"{verb}_artifact" for verb in ("create_table", "create_markdown", "create_progress", "update_progress")
)


class Done:
    """The future of a task that was run at once."""

    def __init__(self, result: Any) -> None:
        self._result, self.state = result, Completed()

    def wait(self) -> None:
        """It is over already."""

    def result(self) -> Any:
        return self._result


def call(task: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a task's function; an error that passes by itself is met again as often as the task's policy says."""
    for left in range(task.retries, -1, -1):
        try:
            return task.fn(*args, **kwargs)
        except KeyturnError as error:
            if not (error.retryable and left):
                raise
    raise AssertionError


def submit(task: Task[..., Any], *args: Any, wait_for: object = (), **kwargs: Any) -> Done:
    """Run a task where it is submitted: those that it waits for have run."""
    return Done(call(task, *args, **kwargs))


@contextmanager
def without_prefect() -> Iterator[None]:
    """Let tasks be functions for a block."""
    nowhere = {name: lambda **_: uuid4() for name in ARTIFACTS}
    with (
        patch.object(Task, "__call__", call),
        patch.object(Task, "submit", submit),
        patch.multiple(reporting, **nowhere),
        disable_run_logger(),
    ):
        yield


def install(poll_interval_seconds: int) -> None:
    """Provision and deploy the walkthrough's stack."""
    with without_prefect():
        provision.fn(STACK, dry_run=False, advanced=ProvisionOptions(poll_interval_seconds=poll_interval_seconds))
        deploy.fn(STACK, dry_run=False)


def prepare_for_two_logins(target: Target) -> None:
    """Make the owner role of a credential's login, where there is none."""
    with without_prefect():
        migrate.fn(listed(of_target(target)), dry_run=False)


def run_rotation(target: Target, options: RotationOptions) -> tuple[Verdict, str, KeyturnError | None]:
    """Run the rotation's flow: verdict, message, and what was wrong."""
    with without_prefect():
        state = rotate.fn(target, options)
    error = state.data if isinstance(state.data, KeyturnError) else None
    return Verdict(state.name), state.message or "", error
