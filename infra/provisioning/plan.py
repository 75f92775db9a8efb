"""The plan: what is left to do between what is wanted and what was found. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from infra.errors import CannotChange, Conflict, InvalidInput, KeyturnError
from infra.provisioning.comparing import Difference, Resource


class State(StrEnum):
    """What a found resource is going through."""

    READY = "ready"
    BUSY = "busy"
    """An operation on it runs: an earlier run's, or somebody else's."""
    FAILED = "failed"
    DELETED = "deleted"
    """Softly: it can be recovered, and holds its name until it is purged."""
    HIDDEN = "hidden"
    """The caller cannot see it yet: a role is missing that this plan assigns, or what it is in is to be recovered."""
    TAKEN = "taken"
    """It is not there and cannot be made: Azure refuses its name."""


@dataclass(frozen=True)
class Found:
    """What was found under one key.

    Args:
        resource: the resource as it is; None when it is hidden or its name refused.
        state: what it is going through.
        said: Azure's own word for that: a provisioning state, or why a name is refused.
        code: Azure's code, where it refuses.
    """

    resource: Resource | None
    state: State = State.READY
    said: str = ""
    code: str = ""


@dataclass(frozen=True)
class Wanted:
    """A wanted resource, and the keys of those that must be there first."""

    resource: Resource
    after: tuple[str, ...] = ()


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    CHANGE = "change"
    RECOVER = "recover"
    WAIT = "wait"
    CHECK = "check"
    LEAVE = "leave"
    REFUSE = "refuse"


VERBS = {
    Action.CREATE: "Create",
    Action.CHANGE: "Change",
    Action.RECOVER: "Recover",
    Action.WAIT: "Wait for",
    Action.CHECK: "Look at, then make,",
    Action.LEAVE: "Leave",
    Action.REFUSE: "Refuse",
}


@dataclass(frozen=True)
class Step:
    """One resource and what becomes of it."""

    resource: Resource
    action: Action
    differences: tuple[Difference, ...] = ()
    after: tuple[str, ...] = ()
    said: str = ""
    code: str = ""

    @property
    def title(self) -> str:
        """A line of the story: "Create the vault dexterkeyvault"."""
        return f"{VERBS[self.action]} the {self.resource.key}"

    @property
    def details(self) -> str:
        """Why: the differences, or what Azure said."""
        return "; ".join([*map(str, self.differences), *([self.said] if self.said else [])])


@dataclass(frozen=True)
class Plan:
    """All steps, each after those that it needs."""

    steps: tuple[Step, ...]

    @property
    def left(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.action not in (Action.LEAVE, Action.REFUSE))

    @property
    def refused(self) -> tuple[Step, ...]:
        """The steps that cannot be taken."""
        return tuple(step for step in self.steps if step.action is Action.REFUSE)

    def count(self) -> dict[str, int]:
        """Return how many steps there are of each action, those that occur."""
        actions = [step.action for step in self.steps]
        return {str(action): actions.count(action) for action in Action if action in actions}

    def raise_if_refused(self) -> None:
        """Refuse the plan as a whole when one of its steps cannot be taken.

        Raises:
            CannotChange: a resource differs in what cannot be changed in place.
            Conflict: a name is taken.
            InvalidInput: Azure does not take a name.
        """
        if self.refused:
            raise refuse(self.refused)


def make_plan(wanted: Sequence[Wanted], found: Mapping[str, Found]) -> Plan:
    """Return what is left to do.

    Args:
        wanted: the resources, each after those that it needs.
        found: what was found, by key; what is not there is not in it.

    Raises:
        ValueError: a resource stands before one that it needs.
    """
    seen: set[str] = set()
    for one in wanted:
        if missing := set(one.after) - seen:
            raise ValueError(f"{one.resource.key} stands before {', '.join(sorted(missing))}")
        seen.add(one.resource.key)
    return Plan(tuple(make_step(one, found.get(one.resource.key)) for one in wanted))


def make_step(wanted: Wanted, found: Found | None) -> Step:
    """Return what becomes of one resource; see `State` and `Action`."""
    if found is None:
        return Step(wanted.resource, Action.CREATE, after=wanted.after)
    if found.resource is None:
        action = Action.REFUSE if found.state is State.TAKEN else Action.CHECK
        return Step(wanted.resource, action, after=wanted.after, said=found.said, code=found.code)
    differences = wanted.resource.differences(found.resource)
    if any(one.fixed for one in differences):
        action = Action.REFUSE
    else:
        action = _ACTIONS.get(found.state) or (Action.CHANGE if differences else Action.LEAVE)
    said = "" if found.state is State.READY else found.said
    return Step(wanted.resource, action, differences, wanted.after, said, found.code)


_ACTIONS = {
    State.BUSY: Action.WAIT,
    State.FAILED: Action.CHANGE,
    State.DELETED: Action.RECOVER,
}


def refuse(steps: Sequence[Step]) -> KeyturnError:
    """Return the error that refused steps are, all of them named."""
    named = ", ".join(step.resource.key for step in steps[:NAMED_LIMIT])
    names = named if len(steps) <= NAMED_LIMIT else f"{named} and {len(steps) - NAMED_LIMIT} more"
    seen = "; ".join(f"{step.resource.key}: {_reason(step)}" for step in steps)
    codes = ", ".join(dict.fromkeys(step.code for step in steps if step.code))
    fixed = [step for step in steps if step.differences]
    if fixed:
        fix = "give the values found, choose another name, or remove it first; nothing was changed"
        return CannotChange("It cannot be changed in place", name=names, seen=seen, fix=fix, code=codes)
    kind = InvalidInput if any(step.code in NAMES_REFUSED for step in steps) else Conflict
    fix = "choose another name; nothing was changed"
    return kind("Azure refuses the name", name=names, seen=seen, fix=fix, code=codes)


def _reason(step: Step) -> str:
    fixed = [one for one in step.differences if one.fixed]
    return "; ".join(f"{one.field} is {one.found}, wanted {one.wanted}" for one in fixed) or step.said


NAMES_REFUSED = ("AccountNameInvalid", "Invalid")
NAMED_LIMIT = 3
