"""The plan of a provisioning: what is left to do between what is wanted and what was found. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from infra.errors import CannotChange, Code, Conflict, InvalidInput, KeyturnError, Refused
from infra.provisioning.comparing import Difference, Resource
from infra.provisioning.kinds import Found, State

NAMES_REFUSED = ("AccountNameInvalid", "Invalid")
NAMED_LIMIT = 3


@dataclass(frozen=True)
class WantedResource:
    """A wanted resource, and the keys of those that must exist first."""

    resource: Resource
    after: tuple[str, ...] = ()


class Verb(StrEnum):
    """What is done with a resource."""

    CREATE = "create"
    CHANGE = "change"
    RECOVER = "recover"
    WAIT = "wait"
    CHECK = "check"
    LEAVE = "leave"
    REFUSE = "refuse"


TITLES = {
    Verb.CREATE: "Create",
    Verb.CHANGE: "Change",
    Verb.RECOVER: "Recover",
    Verb.WAIT: "Wait for",
    Verb.CHECK: "Check, then make,",
    Verb.LEAVE: "Leave",
    Verb.REFUSE: "Refuse",
}
_VERBS = {
    State.BUSY: Verb.WAIT,
    State.FAILED: Verb.CHANGE,
    State.DELETED: Verb.RECOVER,
}


@dataclass(frozen=True)
class ResourceChange:
    """One resource and what is done with it."""

    resource: Resource
    verb: Verb
    differences: tuple[Difference, ...] = ()
    after: tuple[str, ...] = ()
    said: str = ""
    code: str = ""

    @property
    def title(self) -> str:
        """A line of the log: "Create the vault orders-vault"."""
        return f"{TITLES[self.verb]} the {self.resource.key}"

    @property
    def details(self) -> str:
        """Why: the differences, or what Azure said."""
        return "; ".join([*map(str, self.differences), *([self.said] if self.said else [])])


@dataclass(frozen=True)
class ProvisioningPlan:
    """All changes, each after those that it needs."""

    changes: tuple[ResourceChange, ...]

    @property
    def left(self) -> tuple[ResourceChange, ...]:
        """The changes that are to be made."""
        return tuple(change for change in self.changes if change.verb not in (Verb.LEAVE, Verb.REFUSE))

    @property
    def refused(self) -> tuple[ResourceChange, ...]:
        """The changes that cannot be made."""
        return tuple(change for change in self.changes if change.verb is Verb.REFUSE)

    def behind(self, first: Sequence[Resource]) -> "ProvisioningPlan":
        """Return the plan with some resources made before all others."""
        keys = tuple(resource.key for resource in first)
        later = (replace(change, after=(*keys, *change.after)) for change in self.changes)
        return ProvisioningPlan((*(ResourceChange(resource, Verb.CREATE) for resource in first), *later))

    def count(self) -> dict[str, int]:
        """Return how many changes of each verb there are, without zeros."""
        verbs = [change.verb for change in self.changes]
        return {str(verb): verbs.count(verb) for verb in Verb if verb in verbs}

    def raise_if_refused(self) -> None:
        """Refuse the plan as a whole when one of its changes cannot be made.

        Raises:
            CannotChange: a resource differs in what cannot be changed in place.
            Conflict: a name is taken.
            InvalidInput: Azure does not accept a name.
            Refused: something that exists would lose its effect, and nobody consented.
        """
        if self.refused:
            raise refuse(self.refused)

    def __str__(self) -> str:
        """One line: "5 create, 17 leave"."""
        if not self.left and not self.refused:
            return f"Nothing to change: all {len(self.changes)} resources are as specified"
        return ", ".join(f"{number} {verb}" for verb, number in self.count().items())


def plan_changes(wanted: Sequence[WantedResource], found: Mapping[str, Found]) -> ProvisioningPlan:
    """Return what is left to do.

    Args:
        wanted: the resources, each after those that it needs.
        found: what was found, by key; what does not exist is not in it.

    Raises:
        ValueError: a resource stands before one that it needs.
    """
    seen: set[str] = set()
    for each in wanted:
        if missing := set(each.after) - seen:
            raise ValueError(f"{each.resource.key} stands before {', '.join(sorted(missing))}")
        seen.add(each.resource.key)
    return ProvisioningPlan(tuple(plan_change(each, found.get(each.resource.key)) for each in wanted))


def plan_change(wanted: WantedResource, found: Found | None) -> ResourceChange:
    """Return what is done with one resource; see `State` and `Verb`."""
    if found is None:
        return ResourceChange(wanted.resource, Verb.CREATE, after=wanted.after)
    if found.resource is None:
        verb = Verb.REFUSE if found.state is State.TAKEN else Verb.CHECK
        return ResourceChange(wanted.resource, verb, after=wanted.after, said=found.said, code=found.code)
    differences = wanted.resource.differences(found.resource)
    losses = wanted.resource.losses(found.resource)
    said = losses if found.state is State.READY else "; ".join(filter(None, [found.said, losses]))
    if losses and not wanted.resource.accepts_losses:
        return ResourceChange(wanted.resource, Verb.REFUSE, differences, wanted.after, said, Code.CONSENT_TO_LOSSES)
    if any(difference.fixed for difference in differences):
        verb = Verb.REFUSE
    else:
        verb = _VERBS.get(found.state) or (Verb.CHANGE if differences else Verb.LEAVE)
    return ResourceChange(wanted.resource, verb, differences, wanted.after, said, found.code)


def refuse(changes: Sequence[ResourceChange]) -> KeyturnError:
    """Return the error for changes that cannot be made; it names all of them."""
    named = ", ".join(change.resource.key for change in changes[:NAMED_LIMIT])
    names = named if len(changes) <= NAMED_LIMIT else f"{named} and {len(changes) - NAMED_LIMIT} more"
    seen = "; ".join(f"{change.resource.key}: {_reason(change)}" for change in changes)
    codes = ", ".join(dict.fromkeys(change.code for change in changes if change.code))
    if any(difference.fixed for change in changes for difference in change.differences):
        fix = "Use the values found, choose another name, or remove the resource first; nothing was changed"
        return CannotChange("It cannot be changed in place", name=names, seen=seen, fix=fix, code=codes)
    if any(change.code == Code.CONSENT_TO_LOSSES for change in changes):
        return Refused(Code.CONSENT_TO_LOSSES, name=names, seen=seen)
    kind = InvalidInput if any(change.code in NAMES_REFUSED for change in changes) else Conflict
    fix = "Choose another name; nothing was changed"
    return kind("Azure refuses the name", name=names, seen=seen, fix=fix, code=codes)


def _reason(change: ResourceChange) -> str:
    fixed = [difference for difference in change.differences if difference.fixed]
    reasons = [f"{each.field} is {each.found}, wanted {each.wanted}" for each in fixed]
    if change.code == Code.CONSENT_TO_LOSSES or not fixed:
        reasons.append(change.said)
    return "; ".join(reasons)
