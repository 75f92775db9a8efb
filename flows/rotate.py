"""Rotate: observe, plan, execute what is left. Killed anywhere and run again, it ends well."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow

from flows.cli import run_from_shell
from flows.parameters import CredentialName
from infra.credentials import Credential
from infra.errors import KeyturnError
from infra.rotation.execution import Ending, Verdict, execute, judge_refusal
from infra.rotation.guards import check_guards
from infra.rotation.observation import CandidateFacts, Observation, Phase
from infra.rotation.options import AdvancedOptions, DataLoss, Guards, RotationOptions, Sync
from infra.rotation.plan import Plan, make_plan
from infra.rotation.preflight import Finding
from infra.rotation.steps import Action, Step
from tasks.context import connections_shared
from tasks.fleet.slots import slots_held
from tasks.inventory import get_credential
from tasks.preflight import denials_explained, observe_and_check
from tasks.reports.endings import end, ends_with_own_errors
from tasks.reports.events import Trail
from tasks.reports.history import Journey
from tasks.reports.logs import best_effort
from tasks.reports.rotation import describe_ending, describe_plan, report_rotation, show_plan
from tasks.reports.timeline import Span, Timeline
from tasks.rotation import STEPS, StepContext, begin_rollback, name_rotation, observe, rotation_locked
from tasks.rotation.approval import (
    Answer,
    Question,
    ask_for_approval,
    await_window,
    delay,
    find_question,
    get_answer,
)


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
    """Executes a plan by Prefect tasks, and keeps the time of each.

    Args:
        credential: what is rotated.
        options: how the rotation goes.
        fresh_id: what a new rotation would be called.
    """

    def __init__(self, credential: Credential, options: RotationOptions, fresh_id: str) -> None:
        self.credential, self.options, self.fresh_id = credential, options, fresh_id
        self.timeline, self.plans = Timeline(), list[Plan]()
        self.approved: Question | None = None
        self.trail = Trail(credential.name)
        self._observation: Observation | None = None
        self._before: Observation | None = None
        self._findings: tuple[Finding, ...] = ()
        self.approval = ""

    def observe(self) -> Observation:
        """Look at everything afresh, and try what a rotation will need that begins now."""
        with self.timeline.span("observe"), denials_explained(self.credential):
            observation, self._findings = observe_and_check(self.credential, self.options, self.wanted_id)
        return self._keep(observation)

    def look(self) -> Observation:
        """Look at everything afresh, and try nothing."""
        with self.timeline.span("observe"), denials_explained(self.credential):
            return self._keep(observe(self.credential))

    def _keep(self, observation: Observation) -> Observation:
        self._observation, self._before = observation, self._before or observation
        return observation

    def preflight(self, plan: Plan) -> tuple[Finding, ...]:
        """Return what was found when the plan's needs were tried. A plan that is not the approved one is refused."""
        observation = self._observation or self.observe()
        if self.approved and (change := self.approved.find_change(Question.about(plan, observation))):
            return (Finding(change),)
        return self._findings

    @property
    def wanted_id(self) -> str:
        """The rotation that is asked for: one to resume, or a new one."""
        return self.options.rotation_id or self.fresh_id

    def show(self, plan: Plan) -> None:
        """Make the plan's table."""
        self.plans.append(plan)
        with best_effort("show the plan"):
            show_plan(plan, self.credential)

    def execute(self, plan: Plan, step: Step) -> None:
        """Run the step's task."""
        self._observation = None
        told = {"rotation_id": plan.rotation_id, "strategy": (plan.strategy or self.credential.strategy).value}
        if self.trail.last is None:
            self.trail.emit("started", told)
        with self.timeline.span(str(step)):
            STEPS[step.action](self._context(plan, step))
        if step.action is Action.PUBLISH:
            self.trail.emit("published", {**told, "secret": str(step.subject)})

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        """Note in the vault that the rotation is rolled back."""
        with self.timeline.span("roll back"):
            begin_rollback(self._context(plan, step))

    def report(self, ending: Ending) -> None:
        """Report how the run ended, with the state that things are in now."""
        with best_effort("report the rotation"):
            after = self._find_state()
            was_begun = bool(self.plans and self.plans[0].steps and not self.plans[0].is_beginning)
            journey = Journey(self.credential, ending, self._before, after, was_begun, self.approval)
            report_rotation(journey, self.plans, self.timeline.spans)

    def _find_state(self) -> Observation | None:
        """Return what was observed last; if steps have changed it since, look again."""
        if self._observation is None and self.plans:
            with suppress(KeyturnError):
                return observe(self.credential)
        return self._observation

    def plan(self, observation: Observation) -> Plan:
        """Work out what is left to do, and what is in the way of a rotation that begins."""
        plan = make_plan(self.credential, self.options, observation, self.wanted_id)
        return plan.with_findings(self.preflight(plan), self.credential.name) if plan.is_beginning else plan

    def finish(self, candidate: CandidateFacts) -> None:
        """Let the run finish the candidate's rotation, and begin no other one."""
        self.options = self.options.model_copy(update={"rotation_id": candidate.rotation_id})

    def _context(self, plan: Plan, step: Step) -> StepContext:
        return StepContext(self.credential, self.options, plan.rotation_id, step.subject, plan.mark)


@flow(name="rotate", flow_run_name="{credential}: rotate", persist_result=False)
@ends_with_own_errors
def rotate(
    credential: CredentialName,
    dry_run: bool = True,
    sync: Sync = Sync.WAIT,
    data_loss: DataLoss = "no",
    advanced: AdvancedOptions = AdvancedOptions(),  # noqa: B008
    guards: Guards = Guards(),  # noqa: B008
) -> Any:
    """Give a credential a new password, and by strategy a new username; prove them, and retire the previous ones.

    An unfinished rotation is resumed where it stopped.

    Args:
        credential: The credential's name in the inventory.
        dry_run: Show the plan and change nothing.
        sync: How the consumers get the new versions. wait: by the driver's poll. express: by fresh mounts.
        data_loss: Consent for the strategy recreate, which starts with an empty database.
        advanced: Rarely needed.
        guards: When the rotation may start, and who approves it.
    """
    asked = find_question()
    fresh_id = asked.rotation_id if asked else name_rotation()
    options = RotationOptions(**advanced.model_dump(), sync=sync, data_loss=data_loss)
    executor = TaskExecutor(get_credential(credential), options, fresh_id)
    try:
        if dry_run:
            with connections_shared():
                return _plan(executor, guards)
        if guards != Guards() and (ended := _check_guards(executor, guards)):
            return ended
        with (
            slots_held(executor.credential) as has_waited,
            denials_explained(executor.credential),
            rotation_locked(executor.credential, executor.wanted_id),
        ):
            if has_waited and guards != Guards() and (ended := _check_again(executor, guards)):
                return ended
            ending = execute(executor, executor.credential, executor.options, executor.fresh_id)
    except KeyturnError as error:
        ending = Ending(Verdict.REFUSED, options.rotation_id or fresh_id, error=error)
    executor.report(ending)
    return _end(executor, ending)


def _plan(executor: TaskExecutor, guards: Guards) -> Any:
    """Show what would be done, and what would keep it from starting now."""
    observation = executor.observe()
    plan = executor.plan(observation)
    notes = plan.notes
    if blocker := check_guards(guards, observation, datetime.now(UTC)):
        notes = (*notes, f"Not now: {blocker.reason}")
    if guards.approval and plan.steps:
        notes = (*notes, "A person is asked for approval before it starts.")
    executor.show(replace(plan, notes=notes))
    verdict = judge_refusal(plan.refusal) if plan.refusal else Verdict.PLANNED
    ending = Ending(verdict, plan.rotation_id, error=plan.refusal)
    told, event = describe_plan(plan), Verdict.PLANNED  # nobody is paged for a dry run
    return end(verdict, executor.credential.name, told, error=plan.refusal, data=ending, event=event)


def _check_guards(executor: TaskExecutor, guards: Guards) -> Any:
    """Return the state of a run that does not start, or None. What is unfinished, or refused anyway, continues."""
    observation = executor.look()
    candidate = observation.candidate
    if candidate and candidate.phase.is_live and candidate.phase is not Phase.GRACE:
        return executor.finish(candidate) if candidate.grace else None
    if asked := find_question():
        answer = get_answer(asked, guards)
        if answer.answer is not Answer.APPROVE:
            return end(Verdict.DECLINED, executor.credential.name, f"The plan was declined. {answer.reason}".strip())
        executor.approval = f"approved. {answer.reason}".strip()
    if blocker := check_guards(guards, observation, datetime.now(UTC)):
        if candidate and candidate.grace and candidate.grace.is_over and blocker.verdict is Verdict.TOO_YOUNG:
            return executor.finish(candidate)
        if asked and blocker.verdict is Verdict.OUTSIDE_WINDOW and await_window(guards):
            return _check_guards(executor, guards)
        return end(blocker.verdict, executor.credential.name, blocker.reason)
    executor.approved = asked
    if asked is None:
        delay(guards)
        if guards.approval:
            _ask(executor, guards)
    return None


def _check_again(executor: TaskExecutor, guards: Guards) -> Any:
    """Return the state of a run that waited too long for its slots, or None if it may still begin."""
    observation = executor.look()
    candidate = observation.candidate
    if candidate and candidate.grace and executor.options.rotation_id == candidate.rotation_id:
        return None  # a grace is ended at any time
    if blocker := check_guards(guards, observation, datetime.now(UTC)):
        return end(blocker.verdict, executor.credential.name, blocker.reason)
    return None


def _ask(executor: TaskExecutor, guards: Guards) -> None:
    """Suspend the run until its plan is approved, if there is one that may be executed.

    Where a grace is finished first, the approval is of that and of the rotation that follows.
    """
    observation = executor.observe()
    plans = [executor.plan(observation)]
    if plans[0].refusal or not plans[0].steps:
        return
    executor.show(plans[0])
    if not plans[0].is_beginning and not executor.options.rotation_id:
        after = observation.without_candidate
        plans.append(make_plan(executor.credential, executor.options, after, executor.fresh_id))
    executor.trail.emit("approval_requested", {"rotation_id": plans[-1].rotation_id})
    ask_for_approval(Question.about(plans[-1], observation), plans, guards)


def _end(executor: TaskExecutor, ending: Ending) -> Any:
    return end(
        ending.verdict,
        executor.credential.name,
        "" if ending.error else describe_ending(ending),
        error=ending.error,
        payload={"rotation_id": ending.rotation_id, "strategy": executor.credential.strategy.value},
        data=Rotation(ending, tuple(executor.timeline.spans)),
        trail=executor.trail,
    )


if __name__ == "__main__":
    run_from_shell(rotate)
