"""Whether a rotation may begin now: maintenance window and minimum age. Pure; an unfinished rotation always goes on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from infra.rotation.observation import Observation
from infra.rotation.verdict import Verdict
from infra.targets import Day, Guards

DAYS = tuple(Day)
LONGEST_WEEK = 8


@dataclass(frozen=True)
class Hindrance:
    """Why nothing begins.

    Args:
        verdict: how the run ends.
        reason: a sentence for people, with the time from which it would begin.
    """

    verdict: Verdict
    reason: str


def find_hindrance(guards: Guards, observation: Observation, now: datetime) -> Hindrance | None:
    """Say what keeps a rotation from beginning now.

    Args:
        guards: what was asked for.
        observation: what was seen.
        now: the time, aware of its zone.
    """
    candidate = observation.candidate
    if guards.force or (candidate and candidate.phase.is_live):
        return None
    if not is_open(guards, now):
        opens = find_opening(guards, now)
        return Hindrance(
            Verdict.OUTSIDE_WINDOW,
            f"It is {_say(now, guards)} and the maintenance window opens at {_say(opens, guards)}. "
            "With guards.force a rotation begins now.",
        )
    age = now - observation.password.newest.created_at
    if age < timedelta(hours=guards.minimum_age_hours):
        due = observation.password.newest.created_at + timedelta(hours=guards.minimum_age_hours)
        return Hindrance(
            Verdict.TOO_YOUNG,
            f"The password is {age.total_seconds() / 3600:.1f} hours old and is to be {guards.minimum_age_hours}: "
            f"it is due at {_say(due, guards)}. With guards.force a rotation begins now.",
        )
    return None


def is_open(guards: Guards, now: datetime) -> bool:
    """Whether the maintenance window is open; where there is none, always."""
    if guards.window is None:
        return True
    return any(begin <= now < end for begin, end in _windows_around(guards, now))


def find_opening(guards: Guards, now: datetime) -> datetime:
    """Return when the window opens next; now where it is open."""
    if is_open(guards, now):
        return now
    return next(begin for begin, _ in _windows_around(guards, now) if begin > now)


def longest_jitter(guards: Guards, now: datetime) -> float:
    """Return the seconds that a beginning may be put off: as asked for, and not beyond the open window's end."""
    if guards.force:
        return 0.0
    ends = [end for begin, end in _windows_around(guards, now) if begin <= now < end]
    left = (max(ends) - now).total_seconds() if ends else float(guards.jitter_seconds)
    return min(float(guards.jitter_seconds), left)


def _windows_around(guards: Guards, now: datetime) -> list[tuple[datetime, datetime]]:
    """Return the windows of yesterday and the days after, as the clocks of their zone show them."""
    if guards.window is None:
        return []
    begin, end = guards.window
    zone = ZoneInfo(guards.time_zone)
    today = now.astimezone(zone).date()
    windows = []
    for offset in range(-1, LONGEST_WEEK):
        day = today + timedelta(days=offset)
        if guards.window_days and DAYS[day.weekday()] not in guards.window_days:
            continue
        last = day if begin < end else day + timedelta(days=1)
        windows.append((datetime.combine(day, begin, zone), datetime.combine(last, end, zone)))
    return windows


def _say(moment: datetime, guards: Guards) -> str:
    return f"{moment.astimezone(ZoneInfo(guards.time_zone)):%A %Y-%m-%d %H:%M} {guards.time_zone}"
