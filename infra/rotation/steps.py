"""Steps, and the rules that say when one is done and what its failure means. A strategy is two tables of rules."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from infra.credentials import Consumer
from infra.errors import KeyturnError
from infra.rotation.state import RotationState, Subject


class Action(StrEnum):
    """What a step does; the value is the template of its line in the plan."""

    STAGE = "stage a candidate for {subject}"
    SET_ADMINISTRATOR = "set the new password of the administrator of {subject} through Azure"
    ENABLE_ALTERNATE = "enable the alternate login of {subject} in the database"
    PIN = "pin {subject} to the current versions"
    PUBLISH = "publish the new version of {subject}"
    UNPIN = "unpin {subject}"
    AWAIT_SYNC = "wait until {subject} has the new versions"
    SET_PASSWORD = "set the new password of {subject} in the database"  # noqa: S105
    STOP = "scale {subject} to 0"
    REFRESH_SECRET = "refresh the synced Secret {subject} if it is stale"  # noqa: S105
    START = "scale {subject} up again"
    RESTART = "restart {subject} by a rolling update"
    RELOAD = "let {subject} re-read its files by its reload command"
    AWAIT_READY = "wait until {subject} is ready"
    BEGIN_GRACE = "verify the new login of {subject}, and leave the previous one its grace"
    DISABLE_PREVIOUS = "disable the previous login of {subject} in the database"
    VERIFY = "verify the files, the new login and the refused previous login of {subject}"
    RETIRE = "disable the older versions of {subject}"
    FINISH = "delete the candidate of {subject}"
    RESTORE_PASSWORD = "restore the previous password of {subject} in the database"  # noqa: S105
    RESTORE_ADMINISTRATOR = "restore the previous password of the administrator of {subject} through Azure"
    REENABLE_PREVIOUS = "enable the previous login of {subject} in the database again"
    RESTORE = "write the previous value of {subject} as a new version"
    VERIFY_RESTORED = "verify that the previous login of {subject} works again"
    DISABLE_CANDIDATE = "disable the failed login of {subject} in the database"
    FINISH_ROLLBACK = "delete the failed candidate of {subject}"


class OnFailure(StrEnum):
    """What a failed step means. Nothing that was proven is ever rolled back."""

    REFUSE = "nothing was changed: the rotation is refused"
    STOP = "stop: the next run resumes here"
    PENDING = "a sync that times out is waited for again by the next run; any other error stops"
    ROLL_BACK = "a failed proof rolls back; any other error stops"
    ALWAYS_ROLL_BACK = "any error rolls back"


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Args:
        action: what.
        subject: what it is done to.
        reason: why, as a sentence.
        on_failure: what it means if it fails.
        is_needed: whether there is anything to do at all; a step that is not needed counts as done.
    """

    action: Action
    subject: Subject
    reason: str = ""
    on_failure: OnFailure = field(default=OnFailure.STOP, compare=False)
    is_needed: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return self.action.format(subject=self.subject)


class UsernamePolicy(StrEnum):
    """How a strategy names the new login."""

    KEEP = "keep"
    DERIVE = "derive"
    ALTERNATE = "alternate"


Subjects = Callable[[RotationState], tuple[Subject, ...]]
Predicate = Callable[[RotationState, Subject], bool]
FailurePolicy = OnFailure | Callable[[RotationState], OnFailure]


@dataclass(frozen=True)
class Rule:
    """When an action on a subject is done, and what its failure means. An observation alone decides.

    Args:
        action: what.
        subjects: to what, in order.
        is_done: asks a state about one subject.
        reason: why the step is there.
        on_failure: what a failure means; a function where that depends on the state.
        on_later_failure: what it means once a subject is done; the same by default.
        is_needed: asks whether a subject, which is done then, was ever left to do; for people alone.
    """

    action: Action
    subjects: Subjects
    is_done: Predicate
    reason: str
    on_failure: FailurePolicy = OnFailure.STOP
    on_later_failure: OnFailure | None = None
    is_needed: Predicate = lambda state, subject: True

    def steps(self, state: RotationState) -> list[tuple[Step, bool]]:
        """Return the rule's steps, each with whether it is done."""
        first = self.on_failure if isinstance(self.on_failure, OnFailure) else self.on_failure(state)
        later = self.on_later_failure or first
        done = [(subject, self.is_done(state, subject)) for subject in self.subjects(state)]
        is_begun = any(is_done for _, is_done in done)
        policies = [later if number or is_begun else first for number in range(len(done))]
        return [
            (Step(self.action, subject, self.reason, policy, self.is_needed(state, subject)), is_done)
            for policy, (subject, is_done) in zip(policies, done, strict=True)
        ]


class StrategyRules(Protocol):
    """How a login is changed: two tables of rules, and the objections to it.

    Args:
        forward: the rules that lead to the new values.
        back: the rules that lead back to the previous values.
        ending: the last of the forward rules: all that is left after a grace.
        username: how the new login is named.
        needs_alternates: whether the observation must count the logins that take turns.
    """

    forward: tuple[Rule, ...]
    back: tuple[Rule, ...]
    ending: tuple[Rule, ...]
    username: UsernamePolicy
    needs_alternates: bool

    def restarts(self, consumer: Consumer) -> bool:
        """Say whether the strategy restarts a consumer to bring it the new values."""

    def find_objection(self, state: RotationState) -> KeyturnError | None:
        """Return why the strategy must not be used here, if so."""

    def notes(self, state: RotationState) -> tuple[str, ...]:
        """Return what a person should know before the rotation."""
