"""Execution: observe, plan, execute what is left, until nothing is; and how a run ends. Pure.

Whoever executes the steps is given from outside: Prefect tasks in a flow, a simulated world in tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from infra.credentials import Credential
from infra.errors import (
    Conflict,
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NeedsOperator,
    Refused,
    RolledBack,
    SyncPending,
    Unverified,
    WorkloadUnhealthy,
    as_own_error,
)
from infra.rotation.observation import Observation
from infra.rotation.options import RotationOptions
from infra.rotation.plan import Plan, PlanStatus, make_plan
from infra.rotation.preflight import Finding
from infra.rotation.steps import Action, OnFailure, Step

MOST_ROUNDS = 8
"""A grace that ends, and a rotation with its rollback, need no more."""

FAILED_PROOFS = (
    Refused,
    WorkloadUnhealthy,
    Unverified,
    LoginRefused,
    DatabaseUnreachable,
    DatabaseStarting,
    SyncPending,
)
"""The errors that disprove a change; any other error says nothing about it."""


class Verdict(StrEnum):
    """How a run of a rotation ends; it is what people see first."""

    ROTATED = "rotated"
    PLANNED = "planned"
    NOTHING_TO_DO = "nothing-to-do"
    TOO_YOUNG = "too-young"
    OUTSIDE_WINDOW = "outside-window"
    DECLINED = "declined"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"
    SYNC_PENDING = "sync-pending"
    NEEDS_OPERATOR = "needs-operator"

    @property
    def is_good(self) -> bool:
        """Whether the run did what it was asked for, which may be nothing."""
        return self not in (Verdict.REFUSED, Verdict.ROLLED_BACK, Verdict.SYNC_PENDING, Verdict.NEEDS_OPERATOR)


class Executor(Protocol):
    """Does in the world what the plan says."""

    def observe(self) -> Observation:
        """Look at everything afresh."""

    def preflight(self, plan: Plan) -> Sequence[Finding]:
        """Try what the plan will need, without effect, and return what a person should know before it starts."""

    def show(self, plan: Plan) -> None:
        """Show a plan before it is executed."""

    def execute(self, plan: Plan, step: Step) -> None:
        """Do one step; if its work is done already, nothing happens."""

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        """Note in the vault that the rotation is rolled back because of this step, so that no later run continues."""


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Args:
        verdict: in one word.
        rotation_id: the rotation that it worked on last.
        executed: the steps that succeeded, in order.
        error: what a person must read; None if all is well.
        failed: the step that failed, if one did.
    """

    verdict: Verdict
    rotation_id: str
    executed: tuple[Step, ...] = ()
    error: KeyturnError | None = None
    failed: Step | None = None


@dataclass
class _Run:
    """What one run remembers between its rounds."""

    rotation_id: str
    executed: list[Step] = field(default_factory=list)
    cause: KeyturnError | None = None
    failed: Step | None = None

    def end(self, verdict: Verdict, error: KeyturnError | None = None) -> Ending:
        return Ending(verdict, self.rotation_id, tuple(self.executed), error, self.failed)


def execute(executor: Executor, credential: Credential, options: RotationOptions, fresh_id: str) -> Ending:
    """Rotate, or finish what an earlier run left. Whatever is raised, the run ends with a verdict.

    Args:
        executor: who observes and executes.
        credential: what is rotated.
        options: how the rotation goes; its rotation id is the one to resume, if any is given.
        fresh_id: the id of a new rotation if none is given and none is unfinished.
    """
    run = _Run(options.rotation_id or fresh_id)
    wanted = run.rotation_id
    for _ in range(MOST_ROUNDS):
        try:
            plan = make_plan(credential, options, executor.observe(), wanted)
        except Exception as exception:
            error = as_own_error(exception, credential.name)
            return run.end(Verdict.NEEDS_OPERATOR if run.executed or run.cause else Verdict.REFUSED, error)
        run.rotation_id = plan.rotation_id
        if options.rotation_id or plan.status is not PlanStatus.GRACE:
            wanted = plan.rotation_id
        if plan.is_beginning and not plan.refusal:
            plan = plan.with_findings(executor.preflight(plan), credential.name)
        executor.show(plan)
        if ending := _find_ending(run, plan, wanted) or _execute_all(executor, run, plan):
            return ending
        if plan.is_rolling_back and plan.rotation_id == wanted:
            return run.end(Verdict.ROLLED_BACK, _rolled_back(run))
    return run.end(Verdict.NEEDS_OPERATOR, _never_ends(run, credential))


def _find_ending(run: _Run, plan: Plan, wanted: str) -> Ending | None:
    if plan.status is PlanStatus.ROLLED_BACK and (run.executed or run.cause):
        return run.end(Verdict.ROLLED_BACK, _rolled_back(run))
    if plan.refusal:
        return run.end(judge_refusal(plan.refusal), plan.refusal)
    is_done = plan.status in (PlanStatus.DONE, PlanStatus.GRACE)
    if is_done and not plan.steps and plan.rotation_id == wanted:
        return run.end(Verdict.ROTATED if run.executed else Verdict.NOTHING_TO_DO)
    return None


def _execute_all(executor: Executor, run: _Run, plan: Plan) -> Ending | None:
    """Execute a plan's steps; None means: observe again."""
    for step in plan.steps:
        try:
            executor.execute(plan, step)
        except Exception as exception:
            error, run.failed = as_own_error(exception, str(step.subject)), step
            if not rolls_back(plan, step, error):
                return _stop(run, plan, step, error, judge(plan, step, error))
            return _begin_rollback(executor, run, plan, step, error)
        run.executed.append(step)
    return None


def _begin_rollback(executor: Executor, run: _Run, plan: Plan, step: Step, error: KeyturnError) -> Ending | None:
    run.cause = error
    try:
        executor.begin_rollback(plan, step)
    except Exception as exception:
        failure = as_own_error(exception, str(step.subject))
        return _stop(run, plan, step, failure, Verdict.NEEDS_OPERATOR)
    return None


def _stop(run: _Run, plan: Plan, step: Step, error: KeyturnError, verdict: Verdict) -> Ending:
    return run.end(verdict, explain_stop(plan, step, error, verdict, run.cause))


def rolls_back(plan: Plan, step: Step, error: KeyturnError) -> bool:
    """Say whether a failed step is rolled back, by its rule.

    What was proven is never rolled back: its older versions may be disabled already.
    """
    is_proven = plan.status is PlanStatus.GRACE or any(done.action is Action.VERIFY for done in plan.done)
    if plan.is_rolling_back or is_proven:
        return False
    if step.on_failure is OnFailure.ROLL_BACK:
        return isinstance(error, FAILED_PROOFS)
    return step.on_failure is OnFailure.ALWAYS_ROLL_BACK


def judge(plan: Plan, step: Step, error: KeyturnError) -> Verdict:
    """Say how a run ends whose step failed and is not rolled back."""
    if step.on_failure is OnFailure.REFUSE and not plan.is_rolling_back:
        return Verdict.REFUSED
    if step.on_failure is OnFailure.PENDING and isinstance(error, SyncPending):
        return Verdict.SYNC_PENDING
    return Verdict.NEEDS_OPERATOR


def judge_refusal(refusal: KeyturnError) -> Verdict:
    """Say how a run ends whose plan must not be executed."""
    return Verdict.NEEDS_OPERATOR if isinstance(refusal, Conflict | NeedsOperator) else Verdict.REFUSED


def explain_stop(
    plan: Plan, step: Step, error: KeyturnError, verdict: Verdict, cause: KeyturnError | None = None
) -> KeyturnError:
    """Make the error that a stopped run ends with: what failed, and every way out.

    Args:
        plan: the plan that the step is from.
        step: the step that failed.
        error: what it raised.
        verdict: how the run ends.
        cause: what made the rollback necessary, if it is the rollback that failed.
    """
    if verdict is Verdict.REFUSED:
        return error
    resume = f"run again: rotation {plan.rotation_id} resumes here"
    if verdict is Verdict.SYNC_PENDING:
        fix = f"{error.fix.rstrip('.')}. Then {resume}" if error.fix else resume.capitalize()
        fix += "; with sync 'express' it does not wait for the driver"
        told = SyncPending(error.what, name=error.name, seen=error.seen, fix=fix, code=error.code, cause=error.cause)
        return with_cause(told, cause)
    return NeedsOperator(
        f"Rotation {plan.rotation_id} stopped at '{step}'",
        name=str(step.subject),
        seen="it was rolling back" if cause else "",
        fix="Nothing was deleted: the candidate and every older version are still in the vault. "
        f"Remove the cause below, then {resume}",
        code=error.code,
        cause=with_cause(error, cause),
    )


def with_cause(error: KeyturnError, cause: KeyturnError | None) -> KeyturnError:
    """Return the error with another one at the end of its causes."""
    if cause is None:
        return error
    end = with_cause(error.cause, cause) if error.cause else cause
    return type(error)(error.what, name=error.name, seen=error.seen, fix=error.fix, code=error.code, cause=end)


def _rolled_back(run: _Run) -> RolledBack:
    return RolledBack(
        f"Rotation {run.rotation_id} failed and was rolled back: the previous values are in force again",
        name=run.rotation_id,
        seen="" if run.cause else "an earlier run says why",
        fix="Remove the cause below; the next run starts a new rotation" if run.cause else "Run again",
        code=run.cause.code if run.cause else "",
        cause=run.cause,
    )


def _never_ends(run: _Run, credential: Credential) -> NeedsOperator:
    return NeedsOperator(
        "The rotation does not end: what it does is undone each time",
        name=f"{credential.name}, rotation {run.rotation_id}",
        seen=f"{len(run.executed)} steps in {MOST_ROUNDS} rounds, the last one '{run.executed[-1]}'",
        fix="see who else scales the workload, restores the Secret or writes the vault's secrets; then run again",
    )
