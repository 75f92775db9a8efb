"""Rotate: observe, plan, execute what is left. Killed anywhere and run again, it ends well."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.cli import run_from_shell
from infra.credentials import Credential
from infra.errors import KeyturnError
from infra.rotation.execution import Ending, Verdict, execute, judge_refusal
from infra.rotation.guards import check_guards
from infra.rotation.observation import Observation
from infra.rotation.options import AdvancedOptions, DataLoss, Guards, RotationOptions, Sync
from infra.rotation.plan import Plan, make_plan
from infra.rotation.steps import Action, Step
from tasks import rotation_report
from tasks.context import get_credential
from tasks.reports.timeline import Span, Timeline
from tasks.rotation import STEPS, StepContext, begin_rollback, observe, rotation_locked
from tasks.rotation.guards import Answer, ask_for_approval, delay


@dataclass(frozen=True)
class Rotation:
    """How a good rotation went, for the flow that called it.

    Args:
        ending: verdict, id and the steps that were executed.
        spans: how long each took.
    """

    ending: Ending
    spans: tuple[Span, ...]

    def seconds(self, *actions: Action) -> float:
        """How long the steps of these actions took together."""
        labels = {str(step) for step in self.ending.executed if step.action in actions}
        return sum(span.seconds for span in self.spans if span.label in labels)


class TaskExecutor:
    """Executes a plan by Prefect tasks, and keeps the time of each."""

    def __init__(self, credential: Credential, options: RotationOptions) -> None:
        self.credential, self.options = credential, options
        self.timeline = Timeline()

    def observe(self) -> Observation:
        """Look at everything afresh."""
        with self.timeline.span("observe"):
            return observe(self.credential)

    def show(self, plan: Plan) -> None:
        """Make the plan's table."""
        rotation_report.show_plan(plan, self.credential)

    def execute(self, plan: Plan, step: Step) -> None:
        """Run the step's task."""
        with self.timeline.span(str(step)):
            STEPS[step.action](self._context(plan, step))

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        """Note in the vault that the rotation is rolled back."""
        with self.timeline.span("roll back"):
            begin_rollback(self._context(plan, step))

    def plan(self, observation: Observation, fresh_id: str) -> Plan:
        """Work out what is left to do."""
        return make_plan(self.credential, self.options, observation, self.options.rotation_id or fresh_id)

    def _context(self, plan: Plan, step: Step) -> StepContext:
        return StepContext(self.credential, self.options, plan.rotation_id, step.subject, plan.mark)


@flow(name="rotate", flow_run_name="{credential}", persist_result=False)
def rotate(
    credential: str,
    dry_run: bool = True,
    sync: Sync = Sync.WAIT,
    data_loss: DataLoss = "no",
    advanced: AdvancedOptions = AdvancedOptions(),  # noqa: B008
    guards: Guards = Guards(),  # noqa: B008
) -> Any:
    """Give a credential a new password, and by strategy a new username; prove them, and retire the previous ones.

    An unfinished rotation is resumed where it stopped.

    Args:
        credential: its name in the inventory.
        dry_run: show the plan and change nothing.
        sync: wait: for the driver's poll, at most the sync timeout. express: refresh the stale Secret and restart what
            needs it; the new mount itself fetches the newest versions.
        data_loss: consent for the strategy recreate, which starts with an empty database.
        advanced: rarely needed.
        guards: when the rotation may start, and who approves it.
    """
    fresh_id = rotation_report.name_rotation()
    options = RotationOptions(**advanced.model_dump(), sync=sync, data_loss=data_loss)
    executor = TaskExecutor(get_credential(credential), options)
    try:
        if dry_run:
            return _plan(executor, guards, fresh_id)
        if guards != Guards() and (ended := _check_guards(executor, guards, fresh_id)):
            return ended
        with rotation_locked(executor.credential, options.rotation_id or fresh_id):
            ending = execute(executor, executor.credential, options, fresh_id)
    except KeyturnError as error:
        ending = Ending(Verdict.REFUSED, options.rotation_id or fresh_id, error=error)
    rotation_report.tell_ending(ending, executor.credential, executor.timeline)
    return _end(ending, executor.timeline)


def _plan(executor: TaskExecutor, guards: Guards, fresh_id: str) -> Any:
    """Show what would be done, and what would keep it from starting now."""
    observation = executor.observe()
    plan = executor.plan(observation, fresh_id)
    notes = plan.notes
    if blocker := check_guards(guards, observation, datetime.now(UTC)):
        notes = (*notes, f"Not now: {blocker.reason}")
    if guards.approval and plan.steps:
        notes = (*notes, "A person is asked for approval before it starts.")
    executor.show(replace(plan, notes=notes))
    message = rotation_report.describe_plan(plan)
    if plan.refusal:
        return Failed(message=f"{judge_refusal(plan.refusal)}: {message}", data=plan.refusal)
    return Completed(message=f"{Verdict.PLANNED}: {message}", data=Ending(Verdict.PLANNED, plan.rotation_id))


def _check_guards(executor: TaskExecutor, guards: Guards, fresh_id: str) -> Any:
    """Return the state of a run that does not start, or None. What is unfinished, or refused anyway, continues."""
    observation = executor.observe()
    if observation.candidate and observation.candidate.phase.is_live:
        return None
    is_resumed = (flow_run.run_count or 1) > 1
    if not is_resumed and (blocker := check_guards(guards, observation, datetime.now(UTC))):
        return Completed(message=f"{blocker.verdict}: {blocker.reason}")
    delay(guards)
    if not guards.approval:
        return None
    plan = executor.plan(observation, fresh_id)
    if plan.refusal or not plan.steps:
        return None
    executor.show(plan)
    answer = ask_for_approval(plan, guards)
    if answer.answer is Answer.APPROVE:
        return None
    return Completed(message=f"{Verdict.DECLINED}: the plan was declined. {answer.reason}".strip())


def _end(ending: Ending, timeline: Timeline) -> Any:
    message = f"{ending.verdict}: {rotation_report.describe_ending(ending)}"
    if ending.verdict.is_good:
        return Completed(message=message, data=Rotation(ending, tuple(timeline.spans)))
    return Failed(message=message, data=ending.error)


if __name__ == "__main__":
    run_from_shell(rotate)
