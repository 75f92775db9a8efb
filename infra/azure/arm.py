"""What the kinds of resources share: their base classes, and Azure Resource Manager's words and operations.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from azure.core.polling import LROPoller

from infra.azure.errors import translated
from infra.errors import MISSING_ROLE, AccessDenied, Code, NotFound, ServiceFailed
from infra.provisioning.comparing import Resource
from infra.provisioning.kinds import Found, Kind, OnProgress, R, State
from infra.provisioning.reconciling import OPERATION_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from infra.azure.client import Azure

T = TypeVar("T")

_REPORT_SECONDS = 15.0
_READY = ("succeeded", "ready", "")
_FAILED = ("failed", "canceled", "cancelled", "disabled", "inaccessible", "stopped")


class Closing(Protocol):
    """What every client of the SDKs can do."""

    def close(self) -> None:
        """Release sockets."""


C = TypeVar("C", bound=Closing)
"""A management client."""


class AzureKind(Kind[R], Generic[R]):
    """A kind of resource in one resource group.

    Args:
        azure: the sign-in.
        group: the resource group.
    """

    role: ClassVar[str] = "Contributor"

    def __init__(self, azure: "Azure", group: str) -> None:
        self.azure, self.group = azure, group


class ArmKind(AzureKind[R], Generic[R, C]):
    """A kind of resource that is found and made by a management client."""

    open_client: Callable[..., C]
    """Makes the client: its class, or a function that imports it first."""

    @property
    def scope(self) -> str:
        """What its role is needed on, for the fix when it is denied."""
        return f"the resource group {self.group}"

    @contextmanager
    def reading(self, name: str) -> Iterator[C]:
        """Open a client to look at a resource."""
        with self._client(f"Cannot look at the {self.resource.KIND}", name, "Reader") as client:
            yield client

    @contextmanager
    def changing(self, name: str, verb: str = "create", propagating: Collection[str] = ()) -> Iterator[C]:
        """Open a client to change a resource.

        Args:
            name: the resource's name.
            verb: what is done, for the error.
            propagating: codes that mean that something new is not effective yet.
        """
        with self._client(f"Cannot {verb} the {self.resource.KIND}", name, self.role, propagating) as client:
            yield client

    def look(self, name: str, get: Callable[[C], T]) -> T | None:
        """Return what `get` finds, or None when Azure knows no such thing."""
        try:
            with self.reading(name) as client:
                return get(client)
        except NotFound:
            return None

    def follow(self, poller: LROPoller[T], doing: str, name: str, on_progress: OnProgress) -> T:
        """Follow an operation on a resource to its end; `doing` is like "Creating"."""
        return finish(poller, f"{doing} the {self.resource.KIND} {name}", on_progress)

    @contextmanager
    def _client(self, what: str, name: str, role: str, propagating: Collection[str] = ()) -> Iterator[C]:
        with (
            translated(what, name=name, role=role, scope=self.scope, propagating=propagating),
            self.azure.management(self.open_client) as client,
        ):
            yield client


def finish(
    poller: LROPoller[T], what: str, on_progress: OnProgress, timeout_seconds: float = OPERATION_TIMEOUT_SECONDS
) -> T:
    """Follow an operation to its end and return its result.

    Args:
        poller: the operation, as the SDK began it.
        what: what is being done, for progress and error: "Creating the vault x".
        on_progress: called every 15 seconds.
        timeout_seconds: bound on the whole; the operation itself goes on in Azure.

    Raises:
        AzureError: the operation failed (to be translated by the caller).
        ServiceFailed: it did not end within the bound.
    """
    started = time.monotonic()
    while not poller.done():
        elapsed = time.monotonic() - started
        if elapsed >= timeout_seconds:
            seen = f"{poller.status()} after {timeout_seconds:.0f} s"
            raise ServiceFailed(Code.OPERATION_TIMED_OUT, name=what, seen=seen)
        poller.wait(min(_REPORT_SECONDS, timeout_seconds - elapsed))
        if not poller.done():
            on_progress(f"{what}: {poller.status()} for {time.monotonic() - started:.0f} s")
    return poller.result()


def as_found(resource: Resource, said: object) -> Found:
    """Return what was found, with Azure's word for its state."""
    return Found(resource, get_state(word(said)), word(said))


def as_taken(is_available: bool | None, message: str | None, reason: object) -> Found | None:
    """Return the objection to a name, as Azure's check of names answers; None for nothing."""
    return None if is_available else Found(None, State.TAKEN, message or "", word(reason))


def unless_hidden(look: Callable[[], Found | None]) -> Found | None:
    """Return what a look at the whole subscription finds: whether a name is free.

    Who may see the resource group alone may make the resource all the same: Azure then says what is wrong with a name.
    """
    try:
        return look()
    except AccessDenied as error:
        if error.code not in MISSING_ROLE:
            raise
        return Found(None, State.HIDDEN, f"whether the name is free shows when it is made; {error.fix}", error.code)


def get_state(said: str) -> State:
    """Return the state that Azure's word for it means; an unknown word means that an operation is running."""
    if said.lower() in _READY:
        return State.READY
    return State.FAILED if said.lower() in _FAILED else State.BUSY


def word(value: object) -> str:
    """Return an SDK's enumerated value, which may be a plain string or absent, as a string."""
    return str(getattr(value, "value", value) or "")


def get_location(said: str | None) -> str:
    """Return a location's short name: Azure says "East US 2" in one place and "eastus2" in another."""
    return (said or "").replace(" ", "").lower()


def get_last(resource_id: str | None) -> str:
    """Return the name at the end of a resource id; empty for none."""
    return (resource_id or "").rstrip("/").rsplit("/", 1)[-1]


def get_group_of(resource_id: str | None) -> str:
    """Return the resource group that a resource id names, in lower case: Azure does not keep its case."""
    found = re.search(r"/resourcegroups/([^/]+)", resource_id or "", re.IGNORECASE)
    return found.group(1).lower() if found else ""
