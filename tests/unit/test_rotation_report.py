"""The report of a rotation: the verdict first, then what happened, what is where, and how to fix it."""

from typing import Any

import pytest
from prefect.logging import disable_run_logger
from rotation_facts import HEALTHY, OPTIONS

from infra.errors import Code, LoginRefused, NeedsOperator, Refused
from infra.rotation.options import Sync
from infra.rotation.plan import make_plan
from tasks.reports import rotation
from tasks.reports.rotation import (
    ENDINGS_SECTION,
    RUNBOOK_SECTIONS,
    RotationReport,
    describe_login,
    list_results,
    render,
    show_plan,
)
from tasks.reports.timeline import Span
from testing.labs import ROOT
from testing.walkthrough import DEXTER

RUNBOOK = ROOT / "docs" / "runbook.md"
SPANS = (Span("publish password", 0, 1), Span("verify orders", 1, 3, failed=True))
STEPS = (
    ("stage a candidate", "A kill loses nothing.", "done before"),
    ("wait until deployment shop/orders has the new versions", "They are polled.", "not needed"),
    ("publish password", "Consumers get it.", ""),
    ("verify orders", "Proof.", ""),
    ("disable older versions", "They leak.", ""),
)
CAUSE = LoginRefused("The database refuses the login", name="orders", code="28P01")
STOPPED = NeedsOperator(
    "Rotation r1 stopped", name="orders", seen="a pod", fix="remove the cause; run again", cause=CAUSE
)
GOOD = RotationReport("orders-db", "rotated", "r1", "The new login works.", spans=SPANS[:1])
BAD = RotationReport(
    "orders-db",
    "needs-operator",
    "r1",
    error=STOPPED,
    results=list_results(STEPS, SPANS),
    state={"login": "the database takes the current login", "username": "version 1a2b3c4d"},
    spans=SPANS,
)


def section(page: str, title: str) -> str:
    return page.partition(f"## {title}\n\n")[2].partition("\n\n## ")[0]


def test_each_step_of_a_run_that_ended_says_what_came_of_it() -> None:
    results = [result.result for result in list_results(STEPS, SPANS)]
    assert results == ["done before", "not needed", "done", "failed", "not done"]


@pytest.mark.parametrize(("sync", "result"), [(Sync.EXPRESS, "not needed"), (Sync.WAIT, "to do")])
def test_a_sync_that_express_skips_is_told_as_not_needed(
    sync: Sync, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[Any] = []
    monkeypatch.setattr(rotation, "report_table", lambda key, rows, description: tables.append(rows))
    options = OPTIONS.model_copy(update={"sync": sync})
    plan = make_plan(DEXTER, options, HEALTHY, "20260101-000000-frst")
    with disable_run_logger():
        show_plan.fn(plan, DEXTER)
    [row] = [
        row for row in tables[0] if row["step"].startswith("wait until deployment ") and "new versions" in row["step"]
    ]
    assert row["result"] == result


def test_the_first_line_is_the_verdict_as_a_sentence() -> None:
    assert render(GOOD).splitlines()[0] == "**orders-db: rotated.** The new login works."
    assert render(BAD).splitlines()[0] == "**orders-db: needs operator.** Rotation r1 stopped: orders."


def test_what_happened_names_the_failed_step_and_every_cause() -> None:
    told = section(render(BAD), "What happened")
    assert told.startswith("Rotation `r1`: 1 step done, 1 step done before, 1 step not needed, 1 step not done.")
    assert "It failed at: verify orders." in told
    assert told.index("Rotation r1 stopped: orders. Seen: a pod") < told.index(
        "The database refuses the login: orders."
    )


def test_the_state_and_the_fix_have_sections_of_their_own() -> None:
    page = render(BAD)
    assert "| login | the database takes the current login |" in section(page, "State now")
    assert section(page, "Fix") == "Remove the cause; run again."
    assert section(render(GOOD), "Fix") == "Nothing to do."
    assert section(render(GOOD), "State now") == "It could not be observed."


@pytest.mark.parametrize(
    ("report", "link"),
    [
        (BAD, "`docs/runbook.md#needs-operator`"),
        (GOOD, "`docs/runbook.md#endings-of-a-rotation`"),
        (
            RotationReport(
                "orders-db",
                "refused",
                "r1",
                error=Refused(Code.LOCKED, name="x"),
                runbook="https://wiki.example/keyturn",
            ),
            "[https://wiki.example/keyturn#refused](https://wiki.example/keyturn#refused), code `Locked`",
        ),
    ],
)
def test_the_runbook_is_linked_at_the_section_of_the_verdict(report: RotationReport, link: str) -> None:
    assert section(render(report), "Runbook") == link


def test_the_time_is_a_picture_and_a_table() -> None:
    time = section(render(BAD), "Time")
    assert time.startswith("![timeline](data:image/svg+xml;base64,")
    assert "| verify orders **failed** | 2.00 |" in time


@pytest.mark.parametrize(
    ("current", "previous", "words"),
    [
        ("works", "refused", "the database takes the current login"),
        ("refused", "works", "the database takes the previous login"),
        ("works", "works", "the database takes the current and the previous logins"),
        ("refused", "not tried", "neither login works. Current: refused. Previous: not tried"),
    ],
)
def test_the_login_that_the_database_takes_is_told_in_words(current: str, previous: str, words: str) -> None:
    assert describe_login(current, previous) == words


@pytest.mark.parametrize("section", [*RUNBOOK_SECTIONS, ENDINGS_SECTION])
def test_every_section_that_a_report_links_to_is_in_the_runbook(section: str) -> None:
    headings = [line.lstrip("# ") for line in RUNBOOK.read_text().splitlines() if line.startswith("#")]
    assert section in [heading.lower().replace(" ", "-") for heading in headings]
