"""The report of a rotation: a page that answers what whoever is on call asks, in that order.

What happened, which state things are in now, how to fix it, where the runbook explains it; then the time it took. It is
made of names and version ids alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from infra.errors import KeyturnError
from tasks.reports.timeline import Span, picture

RUNBOOK_SECTIONS = ("refused", "sync-pending", "rolled-back", "needs-operator")
"""The verdicts that have a section of their own."""
ENDINGS_SECTION = "endings-of-a-rotation"


@dataclass(frozen=True)
class StepResult:
    """A step of a rotation's plan after the run.

    Args:
        step: what it does.
        reason: why it is needed.
        result: "done before" (by an earlier run), "done", "failed" or "not done".
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


def render(report: RotationReport) -> str:
    """Return the page as markdown. Its first line is the verdict as a sentence."""
    words, error = report.verdict.replace("-", " "), report.error
    first = f"{error.what}: {error.name}." if error else report.summary
    sections = {
        "What happened": _what_happened(report),
        "State now": _table(("what", "state"), report.state.items()) or "It could not be observed.",
        "Fix": f"{error.fix[0].upper()}{error.fix[1:].rstrip('.')}." if error and error.fix else "Nothing to do.",
        "Runbook": _runbook_link(report),
        "Time": "\n\n".join((picture(report.spans), _times(report.spans))),
    }
    pages = [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join((f"**{report.credential}: {words}.** {first}", *pages))


def list_results(steps: Iterable[tuple[str, str, bool]], spans: Sequence[Span]) -> list[StepResult]:
    """Say of each step what came of it.

    Args:
        steps: what each does, why, and whether an earlier run had done it.
        spans: what this run did, by the same names.
    """
    failed = {span.label: span.failed for span in spans}

    def result(step: str, was_done: bool) -> str:
        if was_done:
            return "done before"
        return {True: "failed", False: "done", None: "not done"}[failed.get(step)]

    return [StepResult(step, reason, result(step, was_done)) for step, reason, was_done in steps]


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
    counts = {kind: sum(result.result == kind for result in results) for kind in ("done", "done before", "not done")}
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
