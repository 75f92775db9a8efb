"""The fleet's table and page: one row for each credential, those in trouble first; and the picture of their ages."""

from collections.abc import Mapping
from datetime import datetime

from infra.credentials import Strategy
from infra.errors import KeyturnError
from infra.fleet.roster import Roster
from infra.fleet.wave import Wave
from tasks.reports.artifacts import report_markdown, report_table
from tasks.reports.fleet_pictures import Age, Ride, picture_ages, picture_wave
from tasks.reports.history import read_latest
from tasks.reports.logs import best_effort
from tasks.retries import task_with_retries

TABLE, PAGE = "fleet", "fleet-page"
"""The artifacts' keys."""


@task_with_retries(name="Report the fleet", run_name="report the fleet")
def report_fleet(roster: Roster, wave: Wave, errors: Mapping[str, KeyturnError], now: datetime) -> None:
    """Make the table and the page of a fleet."""
    known = dict[str, str]()
    with best_effort("recall the last rotations"):
        known = {name: told.get("verdict", "") for name, told in read_latest().items()}
    rows = list_rows(roster, wave, errors, known, now)
    report_table(TABLE, rows, describe(roster, wave, errors, now))
    pictures = [picture_ages(list_ages(roster, now))]
    if rides := list_rides(roster, now):
        pictures.append(picture_wave(rides))
    report_markdown(PAGE, "\n\n".join((f"**{describe(roster, wave, errors, now)}**", *pictures)), "The fleet.")


def describe(roster: Roster, wave: Wave, errors: Mapping[str, KeyturnError], now: datetime) -> str:
    """Say in one sentence how the fleet is."""
    dues = [due for name in roster.facts if (due := roster.find_due(name, now))]
    overdue = sum(due.is_overdue(now) for due in dues)
    parts = [
        f"{len(roster.credentials)} credentials",
        f"{len(dues)} are scheduled",
        f"{overdue} overdue",
        f"{len(roster.started)} started by this run",
        f"{len(roster.failed)} of them ended badly",
        f"{len(wave.waiting)} wait",
    ]
    if errors:
        parts.append(f"{len(errors)} could not be looked at")
    return ", ".join(parts) + "." + (f" {wave.stopped[0].upper()}{wave.stopped[1:]}." if wave.stopped else "")


def list_rows(
    roster: Roster, wave: Wave, errors: Mapping[str, KeyturnError], known: Mapping[str, str], now: datetime
) -> list[dict[str, str]]:
    """Return the rows, those that need a person first.

    Args:
        roster: the fleet.
        wave: what started, and what waits.
        errors: credential -> why nothing is known of it.
        known: credential -> how its last rotation ended, also one that a person started.
        now: the time.
    """
    rows = [_row(roster, wave, errors, known, name, now) for name in roster.credentials]
    unusable = {name: error for name, error in errors.items() if name not in roster.credentials}
    rows += [(0, _unknown(name, "", error)) for name, error in unusable.items()]
    return [row for _, row in sorted(rows, key=lambda each: (each[0], each[1]["credential"]))]


def _unknown(name: str, strategy: str, error: KeyturnError | None) -> dict[str, str]:
    now = error.what if error else "not looked at"
    return {"credential": name, "strategy": strategy, "age": "", "last": "", "next due": "", "now": now}


def _row(
    roster: Roster, wave: Wave, errors: Mapping[str, KeyturnError], known: Mapping[str, str], name: str, now: datetime
) -> tuple[int, dict[str, str]]:
    credential, facts = roster.credentials[name], roster.facts.get(name)
    row = {"credential": name, "strategy": credential.strategy.value}
    if facts is None:
        return 0, _unknown(name, row["strategy"], errors.get(name))
    due = roster.find_due(name, now)
    ended = [attempt for attempt in facts.attempts if attempt.ended_at]
    last = (ended[-1].verdict or "crashed").replace("-", " ") if ended else known.get(name, "")
    is_overdue = due is not None and due.is_overdue(now)
    state = _describe_now(roster, wave, name, now)
    filled = {
        **row,
        "age": f"{(now - facts.created_at).days} d",
        "last": last,
        "next due": f"{due.starts_at:%Y-%m-%d %H:%M}" if due else "never",
        "now": f"overdue; {state}" if is_overdue else state,
    }
    return (1 if ended and ended[-1].is_bad else 2 if is_overdue else 3 if name in roster.started else 4), filled


def _describe_now(roster: Roster, wave: Wave, name: str, now: datetime) -> str:
    facts, due = roster.facts[name], roster.find_due(name, now)
    if facts.is_running:
        return "rotating"
    if name in roster.started:
        last = facts.attempts[-1]
        return "ended badly" if last.is_bad else last.verdict.replace("-", " ")
    if name in wave.waiting:
        return f"waits: {wave.waiting[name]}"
    if roster.credentials[name].paused:
        return "paused"
    if due is None:
        is_lossy = roster.credentials[name].strategy is Strategy.RECREATE
        return "by a person alone: it loses data" if is_lossy else "not scheduled"
    return f"due for {due.why}" if due.starts_at <= now else "fine"


def list_ages(roster: Roster, now: datetime) -> list[Age]:
    """Return how old each credential is that has a limit, as a part of that limit."""
    ages = []
    for name, facts in roster.facts.items():
        due = roster.find_due(name, now)
        if due and due.limit and due.limit > facts.created_at:
            share = (now - facts.created_at) / (due.limit - facts.created_at)
            ages.append(Age(name, share, due.is_overdue(now)))
    return ages


def list_rides(roster: Roster, now: datetime) -> list[Ride]:
    """Return when each rotation of this run began and ended."""
    return [
        Ride(name, roster.began[name], roster.facts[name].attempts[-1].ended_at or now, name in roster.failed)
        for name in roster.started
    ]
