"""When a rotation may begin: windows by the clocks of their zone, minimum age, and what is never kept back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from rotation_facts import STAGED, T0, WELL

from infra.rotation.guards import find_hindrance, find_opening, is_open, longest_jitter
from infra.rotation.observation import Phase
from infra.rotation.verdict import Verdict
from infra.targets import Day, Guards

NIGHT = Guards(window_begin="22:00", window_end="04:00", time_zone="America/New_York")
SUNDAYS = Guards(window_begin="02:00", window_end="05:00", window_days=(Day.SUNDAY,), time_zone="Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def guards(**fields: Any) -> Guards:
    return Guards.model_validate(fields)


def test_without_guards_a_rotation_begins_at_any_time() -> None:
    assert find_hindrance(Guards(), WELL, T0) is None


@pytest.mark.parametrize(
    ("when", "is_inside"),
    [
        ("2026-01-10 02:59", False),
        ("2026-01-10 03:00", True),
        ("2026-01-10 08:59", True),
        ("2026-01-10 09:00", False),
        ("2026-07-10 02:00", True),
        ("2026-07-10 08:00", False),
    ],
)
def test_a_window_over_midnight_follows_its_zones_clocks_in_winter_and_summer(when: str, is_inside: bool) -> None:
    assert is_open(NIGHT, at(when)) is is_inside


@pytest.mark.parametrize(
    ("when", "is_inside"),
    [("2026-01-11 01:30", True), ("2026-01-11 00:59", False), ("2026-01-12 01:30", False)],
)
def test_a_window_has_days(when: str, is_inside: bool) -> None:
    assert is_open(SUNDAYS, at(when)) is is_inside


def test_outside_the_window_the_run_says_when_it_opens() -> None:
    hindrance = find_hindrance(SUNDAYS, WELL, at("2026-01-12 12:00"))
    assert hindrance is not None
    assert hindrance.verdict is Verdict.OUTSIDE_WINDOW
    assert "Sunday 2026-01-18 02:00 Europe/Berlin" in hindrance.reason
    assert find_opening(SUNDAYS, at("2026-01-12 12:00")) == at("2026-01-18 01:00")


def test_a_young_password_is_left_and_the_run_says_when_it_is_due() -> None:
    hindrance = find_hindrance(guards(minimum_age_hours=24), WELL, T0 + timedelta(hours=23))
    assert hindrance is not None
    assert hindrance.verdict is Verdict.TOO_YOUNG
    assert "2026-01-02 00:00" in hindrance.reason
    assert find_hindrance(guards(minimum_age_hours=24), WELL, T0 + timedelta(hours=24)) is None


def test_force_looks_at_neither_window_nor_age_nor_jitter() -> None:
    forced = SUNDAYS.model_copy(update={"force": True, "minimum_age_hours": 24, "jitter_seconds": 60})
    assert find_hindrance(forced, WELL, at("2026-01-01 12:00")) is None
    assert longest_jitter(forced, at("2026-01-01 12:00")) == 0


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_live])
def test_an_unfinished_rotation_is_never_kept_back(phase: Phase) -> None:
    unfinished = replace(WELL, candidate=replace(STAGED, phase=phase))
    assert find_hindrance(guards(minimum_age_hours=24), unfinished, T0) is None
    assert find_hindrance(SUNDAYS, unfinished, at("2026-01-12 12:00")) is None


def test_an_ended_rotation_keeps_nothing_open() -> None:
    ended = replace(WELL, candidate=replace(STAGED, phase=Phase.DONE))
    assert find_hindrance(guards(minimum_age_hours=24), ended, T0) is not None


def test_the_jitter_ends_with_the_window() -> None:
    spread = SUNDAYS.model_copy(update={"jitter_seconds": 3600})
    assert longest_jitter(spread, at("2026-01-11 03:50")) == 600
    assert longest_jitter(spread, at("2026-01-11 01:00")) == 3600
    assert longest_jitter(guards(jitter_seconds=60), T0) == 60


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"window_begin": "02:00"}, "given together"),
        ({"window_begin": "02:00", "window_end": "02:00"}, "equal"),
        ({"window_days": ["Monday"]}, "window_days needs"),
        ({"time_zone": "Mars/Olympus"}, "no time zone is called 'Mars/Olympus'"),
        ({"window_begin": "2 am", "window_end": "05:00"}, "window_begin"),
        ({"window_begin": "25:00", "window_end": "05:00"}, "window_begin"),
    ],
)
def test_guards_that_mean_nothing_are_refused_by_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        guards(**fields)
