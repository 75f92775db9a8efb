"""How a run ends, and what a failed step means for what comes next. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from infra.errors import (
    Conflict,
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NeedsOperator,
    Refused,
    SyncPending,
    Unverified,
    WorkloadUnhealthy,
)
from infra.rotation.plan import Plan
from infra.rotation.steps import Action, Step


class Verdict(StrEnum):
    """The name of a run's last state; it is what people see first."""

    ROTATED = "Rotated"
    PLANNED = "Planned"
    NOTHING_TO_DO = "NothingToDo"
    TOO_YOUNG = "TooYoung"
    OUTSIDE_WINDOW = "OutsideWindow"
    DECLINED = "Declined"
    REFUSED = "Refused"
    ROLLED_BACK = "RolledBack"
    SYNC_PENDING = "SyncPending"
    NEEDS_OPERATOR = "NeedsOperator"

    @property
    def is_good(self) -> bool:
        """Whether the run did what it was asked for, which may be nothing."""
        return self in _GOOD


_GOOD = (
    Verdict.ROTATED,
    Verdict.PLANNED,
    Verdict.NOTHING_TO_DO,
    Verdict.TOO_YOUNG,
    Verdict.OUTSIDE_WINDOW,
    Verdict.DECLINED,
)
_UNCHANGED = (Action.PROVE_CURRENT, Action.REHEARSE, Action.REHEARSE_OPENING, Action.STAGE)
_PROVING = (
    Action.SET_LOGIN,
    Action.SET_ADMINISTRATOR,
    Action.OPEN_LOGIN,
    Action.PROVE_CANDIDATE,
    Action.STOP,
    Action.REFRESH_SECRET,
    Action.START,
    Action.RESTART,
    Action.AWAIT_READY,
    Action.CLOSE_LOGIN,
    Action.VERIFY,
)
_FAILED_PROOF = (
    Refused,
    WorkloadUnhealthy,
    Unverified,
    LoginRefused,
    DatabaseUnreachable,
    DatabaseStarting,
    SyncPending,
)


@dataclass(frozen=True)
class Failure:
    """A step that failed, and what to do about it.

    Args:
        step: the step.
        error: what it raised.
        rolls_back: whether the old values must come back.
        verdict: how the run ends when they need not.
    """

    step: Step
    error: KeyturnError
    rolls_back: bool
    verdict: Verdict


def judge(plan: Plan, step: Step, error: KeyturnError) -> Failure:
    """Decide what a failed step means.

    A proof that fails after publishing rolls back, and so does a password that cannot be published after its
    username, or after the database took it alone. A sync that does not come harms nobody and may be waited for again,
    unless the database does not yet take what is published: then it rolls back too. Everything else stops where it
    is: the next run goes on from there. What was proven is never rolled back: its older versions may be disabled
    already.

    Args:
        plan: the plan that the step is from.
        step: the step that failed.
        error: what it raised.
    """
    is_torn = step.action is Action.PUBLISH and _is_published(plan, step)
    is_disproven = step.action in _PROVING and isinstance(error, _FAILED_PROOF)
    is_ahead = step.action is Action.AWAIT_SYNC and isinstance(error, SyncPending) and _is_ahead_of_database(plan)
    may_roll_back = not plan.is_rolling_back and not _is_proven(plan)
    is_behind = step.action is Action.PUBLISH and _is_behind_database(plan)
    rolls_back = may_roll_back and (is_torn or is_disproven or is_ahead or is_behind)
    return Failure(step, error, rolls_back, _verdict(plan, step, error))


def _is_published(plan: Plan, step: Step) -> bool:
    """Whether another secret was published before this one."""
    publishing = [one for one in (*plan.done, *plan.steps) if one.action is Action.PUBLISH]
    return publishing[0] != step


def _is_proven(plan: Plan) -> bool:
    return any(one.action is Action.VERIFY for one in plan.done)


def _is_ahead_of_database(plan: Plan) -> bool:
    """Whether the vault already tells a password that the database is still to be given."""
    return any(one.action is Action.SET_LOGIN for one in plan.steps)


def _is_behind_database(plan: Plan) -> bool:
    """Whether the database takes the new password alone while the vault still tells the old one."""
    return any(one.action is Action.SET_ADMINISTRATOR for one in (*plan.done, *plan.steps))


def _verdict(plan: Plan, step: Step, error: KeyturnError) -> Verdict:
    if step.action in _UNCHANGED and not plan.is_rolling_back:
        return Verdict.REFUSED
    if step.action is Action.AWAIT_SYNC and isinstance(error, SyncPending):
        return Verdict.SYNC_PENDING
    return Verdict.NEEDS_OPERATOR


def judge_refusal(refusal: KeyturnError) -> Verdict:
    """Say how a run ends whose plan must not be carried out."""
    return Verdict.NEEDS_OPERATOR if isinstance(refusal, Conflict | NeedsOperator) else Verdict.REFUSED


def explain_stop(plan: Plan, failure: Failure, cause: KeyturnError | None = None) -> KeyturnError:
    """Make the error that a stopped run ends with: what failed, and every way on.

    Args:
        plan: the plan that the step is from.
        failure: the step that failed.
        cause: what made the rollback necessary, when it is the rollback that failed.
    """
    error = failure.error
    if failure.verdict is Verdict.REFUSED:
        return error
    resume = f"Run again: rotation {plan.rotation_id} goes on from here"
    if failure.verdict is Verdict.SYNC_PENDING:
        fix = f"{error.fix}. {resume}; with sync 'express' it does not wait for the driver"
        return SyncPending(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code)
    seen = f"{error}" + (f" It was rolling back because of this: {cause}" if cause else "")
    return NeedsOperator(
        f"Rotation {plan.rotation_id} stopped at '{failure.step}'",
        name=failure.step.subject,
        seen=seen,
        fix=f"Nothing was deleted: the candidate and every older version are still in the vault. "
        f"Remove the cause above. {resume}",
        code=error.code,
    )
