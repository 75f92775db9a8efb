"""Long-running operations: followed to their end with progress, and found again after a restart.

A poller belongs to one process. What survives it is the resource's provisioning state: a later run that finds
it busy waits for that.
https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from azure.core.polling import LROPoller

from infra.azure.credentials import POLL_SECONDS
from infra.errors import ServiceFailed
from infra.provisioning.plan import Found, State

R = TypeVar("R")
OnProgress = Callable[[str], None]
"""Takes one readable line."""

OPERATION_TIMEOUT_SECONDS = 3600.0
_REPORT_SECONDS = 15.0
_READY = ("succeeded", "ready", "")
_FAILED = ("failed", "canceled", "cancelled", "disabled", "inaccessible", "stopped")


def ignore(line: str) -> None:
    """Take no notice of progress."""


def finish(
    poller: LROPoller[R], what: str, on_progress: OnProgress, timeout_seconds: float = OPERATION_TIMEOUT_SECONDS
) -> R:
    """Follow an operation to its end and return its result.

    Args:
        poller: the operation, as the SDK began it.
        what: what is being done, for progress and error: "Creating the vault x".
        on_progress: told every 15 seconds how far it is.
        timeout_seconds: bound on the whole; the operation itself goes on at Azure.

    Raises:
        AzureError: the operation failed (to be translated by the caller).
        ServiceFailed: it did not end within the bound.
    """
    started = time.monotonic()
    while not poller.done():
        elapsed = time.monotonic() - started
        if elapsed >= timeout_seconds:
            raise _overdue(what, poller.status(), timeout_seconds)
        poller.wait(min(_REPORT_SECONDS, timeout_seconds - elapsed))
        if not poller.done():
            on_progress(f"{what}: {poller.status()} for {time.monotonic() - started:.0f} s")
    return poller.result()


def wait_until_settled(
    find: Callable[[], Found | None],
    what: str,
    on_progress: OnProgress,
    timeout_seconds: float = OPERATION_TIMEOUT_SECONDS,
    pause: Callable[[float], object] | None = None,
) -> Found | None:
    """Look at a resource until no operation runs on it any more, and return it, or None when it is gone.

    Args:
        find: looks at the resource.
        what: its name, for progress and error.
        on_progress: told after each look that finds it busy.
        timeout_seconds: bound on the whole.
        pause: waits some seconds; by default a wait that ends with the thread's process.

    Raises:
        ServiceFailed: it is still busy after the bound.
    """
    pause = pause or threading.Event().wait
    deadline = time.monotonic() + timeout_seconds
    found = find()
    while found is not None and found.state is State.BUSY:
        if time.monotonic() >= deadline:
            raise _overdue(what, found.said, timeout_seconds)
        on_progress(f"{what}: {found.said}, by an operation that was begun before")
        pause(POLL_SECONDS)
        found = find()
    return found


def get_state(said: str | None) -> State:
    """Return the state that Azure's word for it means; a word not known here means an operation that runs."""
    word = (said or "").lower()
    if word in _READY:
        return State.READY
    return State.FAILED if word in _FAILED else State.BUSY


def _overdue(what: str, said: str, timeout_seconds: float) -> ServiceFailed:
    return ServiceFailed(
        "An operation does not end",
        name=what,
        seen=f"{said} after {timeout_seconds:.0f} s",
        fix="look at it in the portal; run this again to go on waiting",
        code="OperationTimedOut",
    )
