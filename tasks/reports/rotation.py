"""What people see of a rotation: the plan before, and the report after, for whoever is on call.

The report answers what they ask, in that order: what happened, which state things are in now, how to fix it, where the
runbook explains it; then the time it took. It is made of names and version ids alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.credentials import Credential, ExternalConsumer
from infra.errors import KeyturnError
from infra.rotation.execution import Ending
from infra.rotation.observation import ConsumerFacts, Observation
from infra.rotation.plan import Plan
from infra.rotation.steps import Action, Step
from infra.settings import Settings
from tasks.reports.artifacts import report_markdown, report_table
from tasks.reports.history import SUFFIX, Journey, find_starter, list_rows, tell
from tasks.reports.logs import run_logger
from tasks.reports.timeline import Span, picture
from tasks.retries import task_with_retries

RUNBOOK_SECTIONS = ("refused", "sync-pending", "rolled-back", "needs-operator")
"""The verdicts that have a section of their own."""
ENDINGS_SECTION = "endings-of-a-rotation"


@dataclass(frozen=True)
class StepResult:
    """A step of a rotation's plan after the run.

    Args:
        step: what it does.
        reason: why it is needed.
        result: "done before" (by an earlier run), "not needed", "done", "failed" or "not done".
    """

    step: str
    reason: str
    result: str


@dataclass(frozen=True)
class RotationReport:
    """What the report of a rotation says.

    Args:
        credential: its name.
        verdict: how the run ended, in kebab case.
        rotation_id: the rotation that it worked on last.
        summary: what was achieved, if there is no error.
        error: why the run did not do what it was asked for.
        results: the plan's steps.
        state: what -> the state it is in now; empty: unknown.
        spans: how long each part took.
        runbook: where the runbook is: a URL, or a path in the repository.
        told: what -> what the history says of it.
    """

    credential: str
    verdict: str
    rotation_id: str
    summary: str = ""
    error: KeyturnError | None = None
    results: Sequence[StepResult] = ()
    state: Mapping[str, str] = field(default_factory=dict)
    spans: Sequence[Span] = ()
    runbook: str = "docs/runbook.md"
    told: Mapping[str, str] = field(default_factory=dict)


@task_with_retries(name="Show the plan", run_name="{credential.name}: show the plan of rotation {plan.rotation_id}")
def show_plan(plan: Plan, credential: Credential) -> None:
    """Log the plan and make its table."""
    logger = run_logger()
    for note in plan.notes:
        logger.info("note: %s", note)
    for number, step in enumerate(plan.steps, 1):
        logger.info("to do %d/%d: %s", number, len(plan.steps), step)
    if plan.refusal:
        logger.warning("blocked: %s", plan.refusal)
    elif not plan.steps:
        logger.info("nothing is left to do")
    if plan.findings:
        rows = [
            {
                "severity": "blocking" if finding.is_blocking else "warning",
                "finding": finding.error.what,
                "where": finding.error.name,
                "seen": finding.error.seen,
                "fix": finding.error.fix,
            }
            for finding in plan.findings
        ]
        report_table(f"{credential.name}-preflight", rows, f"Preflight of rotation `{plan.rotation_id}`.")
    results = [StepResult(str(step), step.reason, _result_before(step)) for step in plan.done]
    results += [StepResult(str(step), step.reason, "to do") for step in plan.steps]
    if results or plan.refusal:
        _report_plan(plan, credential, results)


@task_with_retries(
    name="Report",
    run_name="{journey.credential.name}: report how rotation {journey.ending.rotation_id} ended",
)
def report_rotation(journey: Journey, plans: Sequence[Plan], spans: Sequence[Span]) -> None:
    """Make the report of a run that ended and its entry in the history, and say what came of each step of the plan.

    Args:
        journey: what the run went through.
        plans: the plans that it showed, in order.
        spans: how long each part took.
    """
    credential, ending, state = journey.credential, journey.ending, journey.after
    told = tell(journey, find_starter(), datetime.now(UTC))
    report_table(f"{credential.name}{SUFFIX}", list_rows(told), f"What rotation `{ending.rotation_id}` changed.")
    results = list_results(_steps_of(plans), spans)
    if results:
        _report_plan(plans[-1], credential, results)
    report = RotationReport(
        credential.name,
        ending.verdict,
        ending.rotation_id,
        describe_ending(ending),
        ending.error,
        results,
        describe_state(state, credential.external_consumers) if state else {},
        spans,
        Settings().runbook_url,
        told,
    )
    report_markdown(
        f"{credential.name}-rotation-report",
        render(report),
        f"How rotation {ending.rotation_id} of `{credential.name}` ended.",
    )


def describe_plan(plan: Plan) -> str:
    """Say in one paragraph what would be done."""
    if plan.refusal:
        return f"Rotation {plan.rotation_id} would be refused. {plan.refusal}"
    if not plan.steps:
        return f"Rotation {plan.rotation_id} is {plan.status}: nothing is left to do."
    steps = "; ".join(str(step) for step in plan.steps)
    return f"Rotation {plan.rotation_id}, {len(plan.steps)} steps: {steps}."


def describe_ending(ending: Ending) -> str:
    """Say in one sentence what a run achieved that did what it was asked for."""
    if not ending.executed:
        return f"Rotation {ending.rotation_id} was done before: nothing was left to do."
    steps, has_grace = len(ending.executed), ending.executed[-1].action is Action.BEGIN_GRACE
    previous = "works on for its grace" if has_grace else "is refused"
    return f"Rotation {ending.rotation_id}: {steps} steps; the new login works, the previous one {previous}."


def describe_state(observation: Observation, external: Sequence[ExternalConsumer] = ()) -> dict[str, str]:
    """Say in which state the database's login, the vault's secrets and the consumers are; of external ones, who knows.

    Args:
        observation: the state after the run.
        external: the consumers that nobody observes.
    """
    logins = observation.logins
    state = {"login": describe_login(logins.current, logins.previous)}
    for secret in observation.secrets:
        older = len(secret.older_enabled)
        state[f"secret {secret.name}"] = f"newest version {secret.newest.version[:8]}, {older} older enabled"
    if observation.candidate:
        state["candidate"] = f"{observation.candidate.phase} by rotation {observation.candidate.rotation_id}"
        if grace := observation.candidate.grace:
            state["previous login"] = f"works {grace}"
    wanted = observation.newest_versions
    state |= {str(facts.workload): _describe_consumer(facts, wanted) for facts in observation.consumers}
    return state | {consumer.name: f"outside the cluster; told by: {consumer.owner}" for consumer in external}


def _describe_consumer(facts: ConsumerFacts, newest: Mapping[str, str]) -> str:
    wanted = {name: newest[name] for name in facts.uses}
    if facts.consumer.runs_to_an_end:
        runs = ", ".join(f"{pod.name} since {pod.started_at:%H:%M} UTC" for pod in facts.pods if pod.started_at)
        return f"runs under way: {runs or 'none'}, Secret: {facts.synced}"
    current = sum({name: pod.versions.get(name) for name in wanted} == wanted for pod in facts.pods)
    ready = "ready" if facts.is_ready else "not ready"
    pinned = f", pinned for rotation {facts.pinned_for}" if facts.pinned_for and facts.pinned else ""
    return f"{ready}, {current} of {len(facts.pods)} pods with the newest versions, Secret: {facts.synced}{pinned}"


def _result_before(step: Step) -> str:
    return "done before" if step.is_needed else "not needed"


def _steps_of(plans: Sequence[Plan]) -> list[tuple[str, str, str]]:
    """List the steps that a run planned: those of each rotation, forward and back, as it saw them first."""
    first = {(plan.rotation_id, plan.is_rolling_back): plan for plan in reversed(plans)}
    return [
        (str(step), step.reason, _result_before(step) if step in plan.done else "")
        for plan in reversed(first.values())
        for step in (*plan.done, *plan.steps)
    ]


def _report_plan(plan: Plan, credential: Credential, results: Sequence[StepResult]) -> None:
    rows = [
        {"nr": str(number), "result": result.result, "step": result.step, "why": result.reason}
        for number, result in enumerate(results, 1)
    ]
    strategy = (plan.strategy or credential.strategy).value
    notes = [f"Rotation `{plan.rotation_id}` of `{credential.name}`, strategy {strategy}.", *plan.notes]
    if plan.refusal:
        notes.append(f"**Blocked.** {plan.refusal}")
    report_table(f"{credential.name}-rotation-plan", rows, " ".join(notes))


def render(report: RotationReport) -> str:
    """Return the page as markdown. Its first line is the verdict as a sentence."""
    words, error = report.verdict.replace("-", " "), report.error
    first = f"{error.what}: {error.name}." if error else report.summary
    sections = {
        "What happened": _what_happened(report),
        "State now": _table(("what", "state"), report.state.items()) or "It could not be observed.",
        "Fix": f"{error.fix[0].upper()}{error.fix[1:].rstrip('.')}." if error and error.fix else "Nothing to do.",
        "Runbook": _runbook_link(report),
        "History": _table(("what", "is"), report.told.items()) or "Nothing was kept.",
        "Time": "\n\n".join((picture(report.spans), _times(report.spans))),
    }
    pages = [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join((f"**{report.credential}: {words}.** {first}", *pages))


def list_results(steps: Iterable[tuple[str, str, str]], spans: Sequence[Span]) -> list[StepResult]:
    """Say of each step what came of it.

    Args:
        steps: what each does, why, and what came of it before this run, if anything.
        spans: what this run did, by the same names.
    """
    failed = {span.label: span.failed for span in spans}

    def result(step: str, before: str) -> str:
        return before or {True: "failed", False: "done", None: "not done"}[failed.get(step)]

    return [StepResult(step, reason, result(step, before)) for step, reason, before in steps]


def describe_login(current: str, previous: str) -> str:
    """Say which login the database takes.

    Args:
        current: the result of a login with the newest versions.
        previous: that of the versions before.
    """
    accepted = [name for name, result in (("current", current), ("previous", previous)) if result == "works"]
    if not accepted:
        return f"neither login works. Current: {current}. Previous: {previous}"
    return f"the database takes the {' and the '.join(accepted)} login" + ("s" if accepted[1:] else "")


def _what_happened(report: RotationReport) -> str:
    parts = [f"Rotation `{report.rotation_id}`: {_count(report.results)}."]
    parts += [f"It failed at: {result.step}." for result in report.results if result.result == "failed"]
    error: KeyturnError | None = report.error
    while error:
        parts.append(f"{error.what}: {error.name}." + (f" Seen: {error.seen}" if error.seen else ""))
        error = error.cause
    return "\n\n".join(parts if report.error else [*parts, report.summary])


def _count(results: Sequence[StepResult]) -> str:
    counts = {
        kind: sum(result.result == kind for result in results)
        for kind in ("done", "done before", "not needed", "not done")
    }
    said = [f"{count} {'step' if count == 1 else 'steps'} {kind}" for kind, count in counts.items() if count]
    return ", ".join(said) or "no steps"


def _runbook_link(report: RotationReport) -> str:
    section = report.verdict if report.verdict in RUNBOOK_SECTIONS else ENDINGS_SECTION
    address = f"{report.runbook}#{section}"
    code = f", code `{report.error.code}`" if report.error and report.error.code else ""
    return (f"[{address}]({address})" if address.startswith("http") else f"`{address}`") + code


def _times(spans: Sequence[Span]) -> str:
    return _table(
        ("part", "seconds"),
        ((f"{span.label}{' **failed**' if span.failed else ''}", f"{span.seconds:.2f}") for span in spans),
    )


def _table(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {name} | {text} |" for name, text in rows]
    return "\n".join((f"| {columns[0]} | {columns[1]} |", "|---|---|", *lines)) if lines else ""
