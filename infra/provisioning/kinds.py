"""What provisioning asks of an adapter: one class a kind of resource. Pure.

kind.find(wanted)    # -> Found, or None
kind.put(wanted)     # creates or changes it
kind.recover(wanted) # for kinds that Azure deletes softly
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from infra.errors import Code, KeyturnError
from infra.provisioning.comparing import Resource

R = TypeVar("R", bound=Resource)
OnProgress = Callable[[str], None]
"""Takes one readable line."""


def ignore(line: str) -> None:
    """Take no notice of progress."""


class State(StrEnum):
    """The state of a resource that was found."""

    READY = "ready"
    BUSY = "busy"
    """An operation on it is running: an earlier run's, or somebody else's."""
    FAILED = "failed"
    DELETED = "deleted"
    """Softly: it can be recovered, and holds its name until it is purged."""
    HIDDEN = "hidden"
    """The caller cannot see it yet: a role is missing that the plan assigns, or its parent must be recovered first."""
    TAKEN = "taken"
    """It does not exist and cannot be created: Azure refuses its name."""


@dataclass(frozen=True)
class Found:
    """What was found under one key.

    Args:
        resource: the resource as it is; None when it is hidden or its name is refused.
        state: its state.
        said: Azure's own word for that: a provisioning state, or why a name is refused.
        code: Azure's code for a refusal.
    """

    resource: Resource | None
    state: State = State.READY
    said: str = ""
    code: str = ""


class Kind(ABC, Generic[R]):
    """One kind of resource: how it is found, made and recovered, and by which right."""

    resource: ClassVar[type[Resource]]
    """The resources of this kind."""
    role: ClassVar[str]
    """The built-in role that allows making one."""
    action: ClassVar[str] = ""
    """What the role must allow; empty on the data plane, whose roles the plan itself assigns."""
    unique_in_azure: ClassVar[bool] = False
    """Its name may be taken even when the resource group does not exist."""
    on_data_plane: ClassVar[bool] = False
    """It is found and made by a role that the same plan may have assigned a moment ago."""

    @abstractmethod
    def find(self, wanted: R) -> Found | None:
        """Return the resource called as the wanted one, or the objection to its name, or None."""

    @abstractmethod
    def put(self, wanted: R, on_progress: OnProgress = ignore) -> None:
        """Create the resource, or change the one that exists; whatever else it has is kept."""

    def recover(self, wanted: R, on_progress: OnProgress = ignore) -> None:
        """Recover a softly deleted resource. Only for kinds that are found in the state DELETED."""
        raise NotImplementedError(f"a {self.resource.KIND} is never deleted softly")

    def resolve(self, wanted: R) -> R:
        """Fill in what only Azure knows, before the resource is compared and made."""
        return wanted


Kinds = Mapping[type[Resource], Kind[Any]]
"""Every kind there is, by the class of its resources."""


def is_unreachable(error: KeyturnError) -> bool:
    """Tell whether the host was not found: the name of a new vault or account takes a while to be known."""
    return error.code == Code.HOST_NOT_FOUND
