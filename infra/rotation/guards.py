"""Whether a rotation may start now: maintenance window and minimum age. Pure. An unfinished rotation always resumes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from infra.rotation.execution import Verdict
from infra.rotation.observation import Observation, Phase
from infra.rotation.options import Guards


@dataclass(frozen=True)
class Blocker:
    """What keeps a rotation from starting now.

    Args:
        verdict: how the run ends.
        reason: a sentence for people, with the time when it may start.
    """

    verdict: Verdict
    reason: str


def check_guards(guards: Guards, observation: Observation, now: datetime) -> Blocker | None:
    """Return what keeps a rotation from starting now, if anything does.

    Args:
        guards: when it may start.
        observation: what was observed.
        now: the time, aware of its zone.
    """
    candidate = observation.candidate
    if guards.force or (candidate and candidate.phase.is_live and candidate.phase is not Phase.GRACE):
        return None
    if not is_open(guards, now):
        opens = find_opening(guards, now)
        return Blocker(
            Verdict.OUTSIDE_WINDOW,
            f"It is {_say(now, guards)}, and the maintenance window opens at {_say(opens, guards)}. "
            "With guards.force a rotation starts now.",
        )
    created_at = observation.secrets[-1].value_created_at
    age = now - created_at
    if age < timedelta(hours=guards.minimum_age_hours):
        due = created_at + timedelta(hours=guards.minimum_age_hours)
        return Blocker(
            Verdict.TOO_YOUNG,
            f"The password is {age.total_seconds() / 3600:.1f} hours old, younger than "
            f"{guards.minimum_age_hours}: it is due at {_say(due, guards)}. With guards.force a rotation starts now.",
        )
    return None


def is_open(guards: Guards, now: datetime) -> bool:
    """Whether the maintenance window is open; without one, always."""
    return guards.window is None or guards.window.is_open(now)


def find_opening(guards: Guards, now: datetime) -> datetime:
    """Return when the window opens next; now if it is open."""
    return guards.window.find_opening(now) if guards.window else now


def longest_delay(guards: Guards, now: datetime) -> float:
    """Return the longest random delay in seconds: as asked for, but not beyond the end of the open window."""
    if guards.force:
        return 0.0
    ends = [end for start, end in _openings(guards, now) if start <= now < end]
    left = (max(ends) - now).total_seconds() if ends else float(guards.random_delay_seconds)
    return min(float(guards.random_delay_seconds), left)


def _openings(guards: Guards, now: datetime) -> list[tuple[datetime, datetime]]:
    return guards.window.list_openings(now) if guards.window else []


def _say(moment: datetime, guards: Guards) -> str:
    return f"{moment.astimezone(ZoneInfo(guards.time_zone)):%A %Y-%m-%d %H:%M} {guards.time_zone}"
