"""The flows' own functions without Prefect's engine: the product runs as it is, but faster and unrecorded.

A task is its function, retried by its own policy without the pauses; artifacts and run logs are discarded. So a
rotation takes about a second and needs no server, and a process that runs it can be forked.

    bare.install(poll_interval_seconds=1)
    bare.run_rotation(listed(credential), options).verdict   # -> Verdict.ROTATED
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch
from uuid import uuid4

from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.logging import disable_run_logger
from prefect.states import Completed
from prefect.tasks import Task

from flows.deploy import deploy
from flows.migrate import migrate
from flows.provision import provision
from flows.rotate import rotate
from infra.credentials import Credential
from infra.errors import Code, KeyturnError
from infra.provisioning.options import ProvisionOptions
from infra.rotation.execution import Verdict
from infra.rotation.options import AdvancedOptions, Guards, RotationOptions
from tasks.reports import artifacts
from testing.inventory import listed
from testing.walkthrough import DEXTER

STACK = "walkthrough"
NO_GUARDS = Guards()
ARTIFACTS = tuple(
    f"{verb}_artifact" for verb in ("create_table", "create_markdown", "create_progress", "update_progress")
)


def verdict_of(message: str) -> Verdict:
    """Return the verdict of a run by its state's message, as in "dexter: rolled back. The pods do not get ready"."""
    words = message.partition(": ")[2].partition(". ")[0].replace(" ", "-")
    assert words in set(Verdict), message
    return Verdict(words)


class Ended(NamedTuple):
    """How a rotation's flow ended.

    Args:
        verdict: what the state's message begins with, after the credential's name.
        message: the whole message.
        error: what a person must read; None if all is well.
    """

    verdict: Verdict
    message: str
    error: KeyturnError | None

    @property
    def code(self) -> str:
        """The error's code; empty if there is none."""
        return self.error.code if self.error else ""

    @property
    def causes(self) -> list[KeyturnError]:
        """The errors that refuse the rotation: the one, or the causes of several."""
        if self.error is None or self.code != Code.PREFLIGHT:
            return [self.error] if self.error else []
        error, found = self.error, list[KeyturnError]()
        while cause := error.cause:
            found.append(cause)
            error = cause
        return found


class Done:
    """The future of a task that ran when it was submitted."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self.state: State[Any] = Completed()

    def wait(self) -> None:
        """Return at once: the task has ended."""

    def result(self) -> Any:
        return self._result


def call(task: Task[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a task's function; a transient error is retried as often as the task's policy says."""
    for retries_left in range(task.retries, -1, -1):
        try:
            return task.fn(*args, **kwargs)
        except KeyturnError as error:
            if not (error.retryable and retries_left):
                raise
    raise AssertionError


def submit(task: Task[..., Any], *args: Any, wait_for: object = (), **kwargs: Any) -> Done:
    """Run a task when it is submitted: the tasks that it waits for have run."""
    return Done(call(task, *args, **kwargs))


@contextmanager
def without_prefect() -> Iterator[None]:
    """Make tasks plain functions for a block."""
    discarded: dict[str, Any] = {name: lambda **_: uuid4() for name in ARTIFACTS}
    with (
        patch.object(Task, "__call__", call),
        patch.object(Task, "submit", submit),
        patch.multiple(artifacts, **discarded),
        disable_run_logger(),
    ):
        yield


def run(flow: Flow[..., State[Any]], *args: Any, **kwargs: Any) -> State[Any]:
    """Run a flow's function and return the state that it ended with; what it returns or raises is the state's data."""
    with without_prefect():
        return flow.fn(*args, **kwargs)


def install(poll_interval_seconds: int = 1) -> None:
    """Provision and deploy the walkthrough's stack.

    Args:
        poll_interval_seconds: of the CSI driver.

    Raises:
        KeyturnError: a flow failed.
    """
    listed(DEXTER)
    advanced = ProvisionOptions(poll_interval_seconds=poll_interval_seconds)
    _raise_failure(run(provision, STACK, dry_run=False, advanced=advanced))
    _raise_failure(run(deploy, STACK, dry_run=False))


def make_owner_role(credential: Credential) -> None:
    """Make the owner role of a credential's login, if it has none.

    Raises:
        KeyturnError: the migration was refused, or failed.
    """
    _raise_failure(run(migrate, listed(credential), dry_run=False))


def _raise_failure(state: State[Any]) -> None:
    if isinstance(state.data, KeyturnError):
        raise state.data


def run_rotation(name: str, options: RotationOptions, guards: Guards = NO_GUARDS, *, dry_run: bool = False) -> Ended:
    """Run the rotation's flow for a credential of the inventory.

    Args:
        name: the credential's name.
        options: how the rotation goes.
        guards: when it may start.
        dry_run: show the plan and change nothing.
    """
    advanced = AdvancedOptions.model_validate(options.model_dump(include=set(AdvancedOptions.model_fields)))
    state = run(rotate, name, dry_run, options.sync, options.data_loss, advanced, guards)
    message = state.message or ""
    verdict = verdict_of(message)
    assert state.is_completed() is verdict.is_good, f"{verdict} is {state.name}"
    return Ended(verdict, message, state.data if isinstance(state.data, KeyturnError) else None)
