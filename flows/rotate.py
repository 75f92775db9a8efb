"""Rotate: observe, plan, perform what is left; killed anywhere and run again, it ends well."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.shell import run_from_shell
from infra.errors import KeyturnError
from infra.rotation.execution import Ending, carry_out
from infra.rotation.guards import find_hindrance
from infra.rotation.observation import Observation
from infra.rotation.plan import Plan, make_plan
from infra.rotation.steps import Action, Step
from infra.rotation.verdict import Failure, Verdict
from infra.targets import Guards, RotationOptions, Target
from tasks import (
    administrator,
    alternation,
    database,
    guarding,
    holding,
    rotation,
    rotation_report,
    scaling,
    sync,
    verification,
)
from tasks.guarding import Answer
from tasks.locking import rotation_locked
from tasks.observation import observe
from tasks.orders import Order
from tasks.timeline import Span, Timeline

TASKS: Mapping[Action, Callable[[Order], object]] = {
    Action.PROVE_CURRENT: rotation.prove_current,
    Action.REHEARSE: database.rehearse,
    Action.REHEARSE_OPENING: alternation.rehearse_opening,
    Action.STAGE: rotation.stage,
    Action.SET_ADMINISTRATOR: administrator.set_administrator,
    Action.OPEN_LOGIN: alternation.open_login,
    Action.HOLD: holding.hold,
    Action.PUBLISH: rotation.publish,
    Action.RELEASE: holding.release,
    Action.AWAIT_SYNC: sync.await_sync,
    Action.SET_LOGIN: database.set_login,
    Action.PROVE_CANDIDATE: database.prove_candidate,
    Action.STOP: scaling.stop,
    Action.REFRESH_SECRET: sync.refresh_secret,
    Action.START: scaling.start,
    Action.RESTART: scaling.restart,
    Action.AWAIT_READY: scaling.await_ready,
    Action.CLOSE_LOGIN: alternation.close_login,
    Action.VERIFY: verification.verify,
    Action.RETIRE: rotation.retire,
    Action.FINISH: rotation.finish,
    Action.RESTORE_LOGIN: database.restore_login,
    Action.RESTORE_ADMINISTRATOR: administrator.restore_administrator,
    Action.REOPEN_LOGIN: alternation.reopen_login,
    Action.RESTORE: rotation.restore,
    Action.VERIFY_RESTORED: verification.verify_restored,
    Action.CLOSE_CANDIDATE: alternation.close_candidate,
    Action.FINISH_ROLLBACK: rotation.finish_rollback,
}


@dataclass(frozen=True)
class Rotation:
    """How a good rotation went, for the flow that called it.

    Args:
        ending: verdict, id and the steps that were performed.
        spans: how long each took.
    """

    ending: Ending
    spans: tuple[Span, ...]

    def seconds(self, *actions: Action) -> float:
        """How long the steps of these actions took together."""
        labels = {str(one) for one in self.ending.performed if one.action in actions}
        return sum(span.seconds for span in self.spans if span.label in labels)


class Tasks:
    """Carries a plan out by Prefect tasks, and keeps the time of each for the picture."""

    def __init__(self, target: Target, options: RotationOptions) -> None:
        self.target, self.options = target, options
        self.timeline = Timeline()

    def observe(self) -> Observation:
        """Look at everything afresh."""
        with self.timeline.span("observe"):
            return observe(self.target)

    def show(self, plan: Plan) -> None:
        """Make the plan's table."""
        rotation_report.show_plan(plan, self.target)

    def perform(self, plan: Plan, step: Step) -> None:
        """Run the step's task."""
        order = Order(self.target, self.options, plan.rotation_id, step.subject, plan.mark)
        with self.timeline.span(str(step)):
            TASKS[step.action](order)

    def begin_rollback(self, plan: Plan, failure: Failure) -> None:
        """Note in the vault that the rotation goes back."""
        order = Order(self.target, self.options, plan.rotation_id, self.target.vault, plan.mark)
        with self.timeline.span("roll back"):
            rotation.begin_rollback(order)


@flow(
    name="rotate",
    flow_run_name="Rotate {target.vault} for {target.place}",
    persist_result=False,
)
def rotate(
    target: Target = Target(),  # noqa: B008
    options: RotationOptions = RotationOptions(),  # noqa: B008
    guards: Guards = Guards(),  # noqa: B008
) -> Any:
    """Give a credential a new password, and by strategy a new username; prove them, and retire the old ones.

    The verdict is the name of the last state: Rotated, Planned, NothingToDo, TooYoung, OutsideWindow, Declined, or
    Refused, SyncPending, RolledBack, NeedsOperator with what to do. An unfinished rotation is taken up where it was
    left.

    Args:
        target: the credential: where it is kept, which database takes it, who consumes it.
        options: how this rotation goes. As they stand, the plan is shown alone.
        guards: when it may begin, and who is asked before.
    """
    actor, fresh_id = Tasks(target, options), rotation_report.name_rotation()
    try:
        if options.dry_run:
            return _plan(actor, guards, fresh_id)
        if guards != Guards() and (ended := _guard(actor, guards, fresh_id)):
            return ended
        with rotation_locked(target, options.rotation_id or fresh_id):
            ending = carry_out(actor, target, options, fresh_id)
    except KeyturnError as error:
        ending = Ending(Verdict.REFUSED, options.rotation_id or fresh_id, error=error)
    rotation_report.tell_ending(ending, target, actor.timeline)
    return _state(ending, actor.timeline)


def _plan(actor: Tasks, guards: Guards, fresh_id: str) -> Any:
    """Show what would be done, and what would keep it from beginning now."""
    seen = actor.observe()
    plan = make_plan(actor.target, actor.options, seen, actor.options.rotation_id or fresh_id)
    hindrance = find_hindrance(guards, seen, datetime.now(UTC))
    notes = (*plan.notes, f"Not now: {hindrance.reason}") if hindrance else plan.notes
    if guards.approval and plan.steps:
        notes = (*notes, "A person is asked to approve it before it begins.")
    actor.show(replace(plan, notes=notes))
    return Completed(name=Verdict.PLANNED.value, message=rotation_report.describe_plan(plan))


def _guard(actor: Tasks, guards: Guards, fresh_id: str) -> Any:
    """Return the state of a run that does not begin, or None. What is unfinished, or refused anyway, goes on."""
    seen = actor.observe()
    if seen.candidate and seen.candidate.phase.is_live:
        return None
    is_resumed = (flow_run.run_count or 1) > 1
    if not is_resumed and (hindrance := find_hindrance(guards, seen, datetime.now(UTC))):
        rotation_report.log_hindrance(hindrance)
        return Completed(name=hindrance.verdict.value, message=hindrance.reason)
    guarding.spread(guards)
    if not guards.approval:
        return None
    plan = make_plan(actor.target, actor.options, seen, actor.options.rotation_id or fresh_id)
    if plan.refusal or not plan.steps:
        return None
    actor.show(plan)
    answer = guarding.ask(plan, guards)
    if answer.answer is Answer.APPROVE:
        return None
    return Completed(name=Verdict.DECLINED.value, message=f"The plan was declined. {answer.reason}".strip())


def _state(ending: Ending, timeline: Timeline) -> Any:
    """Put the verdict into the state's name, where people see it."""
    name, message = ending.verdict.value, rotation_report.describe_ending(ending)
    if ending.verdict.is_good:
        return Completed(name=name, message=message, data=Rotation(ending, tuple(timeline.spans)))
    return Failed(name=name, message=message, data=ending.error)


if __name__ == "__main__":
    run_from_shell(rotate)
