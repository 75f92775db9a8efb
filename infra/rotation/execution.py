"""Carrying out: observe, plan, perform what is left, until nothing is. Whoever performs is given from outside."""

from dataclasses import dataclass, field
from typing import Protocol

from infra.errors import KeyturnError, NeedsOperator, RolledBack
from infra.rotation.observation import Observation
from infra.rotation.plan import Outcome, Plan, make_plan
from infra.rotation.steps import Step
from infra.rotation.verdict import Failure, Verdict, explain_stop, judge, judge_refusal
from infra.targets import RotationOptions, Target

MOST_ROUNDS = 8
"""Two rotations, an unfinished one and the one asked for, each with one rollback, need no more."""


class Actor(Protocol):
    """Does in the world what the plan says: Prefect tasks in a flow, a simulated world in tests."""

    def observe(self) -> Observation:
        """Look at everything afresh."""

    def show(self, plan: Plan) -> None:
        """Let people see a plan before it is carried out."""

    def perform(self, plan: Plan, step: Step) -> None:
        """Do one step; when its work is done already, nothing happens."""

    def begin_rollback(self, plan: Plan, failure: Failure) -> None:
        """Note in the vault that the rotation goes back, so that no later run goes forward again."""


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Args:
        verdict: its name.
        rotation_id: the rotation that it was about last.
        performed: the steps that succeeded, in order.
        error: what a person must read; None when all is well.
    """

    verdict: Verdict
    rotation_id: str
    performed: tuple[Step, ...] = ()
    error: KeyturnError | None = None


@dataclass
class _Run:
    """What one run remembers between its rounds."""

    rotation_id: str
    performed: list[Step] = field(default_factory=list)
    cause: KeyturnError | None = None

    def end(self, verdict: Verdict, error: KeyturnError | None = None) -> Ending:
        return Ending(verdict, self.rotation_id, tuple(self.performed), error)


def carry_out(actor: Actor, target: Target, options: RotationOptions, fresh_id: str) -> Ending:
    """Rotate, or finish what an earlier run left.

    Args:
        actor: who observes and performs.
        target: the credential, by names.
        options: how the rotation goes; its rotation id is the one asked for, if any.
        fresh_id: the id of a new rotation when none is asked for and none is unfinished.
    """
    run = _Run(options.rotation_id or fresh_id)
    wanted = run.rotation_id
    for _ in range(MOST_ROUNDS):
        try:
            observation = actor.observe()
        except KeyturnError as error:
            return run.end(Verdict.NEEDS_OPERATOR if run.performed or run.cause else Verdict.REFUSED, error)
        plan = make_plan(target, options, observation, wanted)
        run.rotation_id = plan.rotation_id
        if not options.rotation_id:
            wanted = plan.rotation_id
        actor.show(plan)
        if ending := _find_ending(run, plan, wanted) or _perform_all(actor, run, plan):
            return ending
        if plan.is_rolling_back and plan.rotation_id == wanted:
            return run.end(Verdict.ROLLED_BACK, _rolled_back(run))
    return run.end(Verdict.NEEDS_OPERATOR, _never_ends(run, target))


def _find_ending(run: _Run, plan: Plan, wanted: str) -> Ending | None:
    if plan.outcome is Outcome.ROLLED_BACK and (run.performed or run.cause):
        return run.end(Verdict.ROLLED_BACK, _rolled_back(run))
    if plan.refusal:
        return run.end(judge_refusal(plan.refusal), plan.refusal)
    if plan.outcome is Outcome.DONE and not plan.steps and plan.rotation_id == wanted:
        return run.end(Verdict.ROTATED if run.performed else Verdict.NOTHING_TO_DO)
    return None


def _perform_all(actor: Actor, run: _Run, plan: Plan) -> Ending | None:
    """Perform a plan's steps; None means: look again."""
    for step in plan.steps:
        try:
            actor.perform(plan, step)
        except KeyturnError as error:
            return _handle(actor, run, plan, judge(plan, step, error))
        run.performed.append(step)
    return None


def _handle(actor: Actor, run: _Run, plan: Plan, failure: Failure) -> Ending | None:
    if failure.rolls_back:
        run.cause = failure.error
        try:
            actor.begin_rollback(plan, failure)
        except KeyturnError as error:
            failure = Failure(failure.step, error, False, Verdict.NEEDS_OPERATOR)
        else:
            return None
    return run.end(failure.verdict, explain_stop(plan, failure, run.cause))


def _rolled_back(run: _Run) -> RolledBack:
    return RolledBack(
        f"Rotation {run.rotation_id} failed and the old values are in force again",
        name=run.rotation_id,
        seen=str(run.cause) if run.cause else "an earlier run says why",
        fix="remove the cause; the next rotation begins anew",
        code=run.cause.code if run.cause else "",
    )


def _never_ends(run: _Run, target: Target) -> NeedsOperator:
    return NeedsOperator(
        "The rotation does not come to an end: what it does is undone each time",
        name=f"{target.vault}, rotation {run.rotation_id}",
        seen=f"{len(run.performed)} steps in {MOST_ROUNDS} rounds, the last one '{run.performed[-1]}'",
        fix="see who else scales the workload, restores the Secret or writes the vault's secrets; then run again",
    )
