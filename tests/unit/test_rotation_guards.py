"""When a rotation may start: windows by the clocks of their zone, minimum age, and what is never held back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from rotation_facts import HEALTHY, T0, version, with_candidate, with_secret

from infra.credentials import Day, Window
from infra.rotation.execution import Verdict
from infra.rotation.guards import check_guards, find_opening, is_open, longest_delay
from infra.rotation.observation import Grace, Phase, SecretFacts
from infra.rotation.options import Guards

NIGHT = Guards(window_start="22:00", window_end="04:00", time_zone="America/New_York")
SUNDAYS = Guards(window_start="02:00", window_end="05:00", window_days=(Day.SUNDAY,), time_zone="Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def guards(**fields: Any) -> Guards:
    return Guards.model_validate(fields)


def test_a_restored_password_is_as_old_as_the_value_that_it_restores() -> None:
    restored = SecretFacts(
        "password",
        version("p4", 60 * 24 * 91, rotation_id="r2", restores="p2"),
        (version("p3", 60 * 24 * 91, rotation_id="r2"), version("p2", 60, restores="p1"), version("p1")),
    )
    observed = with_secret(HEALTHY, restored)
    soon, later = (T0 + timedelta(days=days, hours=1) for days in (89, 92))
    assert check_guards(guards(minimum_age_hours=24 * 90), observed, later) is None
    blocker = check_guards(guards(minimum_age_hours=24 * 90), observed, soon)
    assert blocker is not None
    assert blocker.verdict is Verdict.TOO_YOUNG
    unknown = with_secret(HEALTHY, SecretFacts("password", version("p4", 60 * 24 * 91, restores="gone")))
    assert check_guards(guards(minimum_age_hours=24 * 90), unknown, later) is not None


def test_without_guards_a_rotation_starts_at_any_time() -> None:
    assert check_guards(Guards(), HEALTHY, T0) is None


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
def test_a_window_over_midnight_follows_the_clocks_of_its_zone_in_winter_and_summer(when: str, is_inside: bool) -> None:
    assert is_open(NIGHT, at(when)) is is_inside


@pytest.mark.parametrize(
    ("when", "is_inside"),
    [("2026-01-11 01:30", True), ("2026-01-11 00:59", False), ("2026-01-12 01:30", False)],
)
def test_a_window_opens_on_its_days_only(when: str, is_inside: bool) -> None:
    assert is_open(SUNDAYS, at(when)) is is_inside


def test_outside_the_window_the_blocker_says_when_it_opens() -> None:
    blocker = check_guards(SUNDAYS, HEALTHY, at("2026-01-12 12:00"))
    assert blocker is not None
    assert blocker.verdict is Verdict.OUTSIDE_WINDOW
    assert "Sunday 2026-01-18 02:00 Europe/Berlin" in blocker.reason
    assert find_opening(SUNDAYS, at("2026-01-12 12:00")) == at("2026-01-18 01:00")


def test_a_young_password_is_left_alone_and_the_blocker_says_when_it_is_due() -> None:
    blocker = check_guards(guards(minimum_age_hours=24), HEALTHY, T0 + timedelta(hours=23))
    assert blocker is not None
    assert blocker.verdict is Verdict.TOO_YOUNG
    assert "2026-01-02 00:00" in blocker.reason
    assert check_guards(guards(minimum_age_hours=24), HEALTHY, T0 + timedelta(hours=24)) is None


def test_force_ignores_the_window_the_minimum_age_and_the_random_delay() -> None:
    forced = SUNDAYS.model_copy(update={"force": True, "minimum_age_hours": 24, "random_delay_seconds": 60})
    assert check_guards(forced, HEALTHY, at("2026-01-01 12:00")) is None
    assert longest_delay(forced, at("2026-01-01 12:00")) == 0


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_live and phase is not Phase.GRACE])
def test_an_unfinished_rotation_is_never_held_back(phase: Phase) -> None:
    unfinished = with_candidate(HEALTHY, phase=phase)
    assert check_guards(guards(minimum_age_hours=24), unfinished, T0) is None
    assert check_guards(SUNDAYS, unfinished, at("2026-01-12 12:00")) is None


def test_a_finished_rotation_does_not_exempt_the_next_one_from_the_guards() -> None:
    ended = with_candidate(HEALTHY, phase=Phase.DONE)
    assert check_guards(guards(minimum_age_hours=24), ended, T0) is not None


def test_a_rotation_whose_previous_login_has_its_grace_does_not_exempt_the_next_one_from_the_guards() -> None:
    graceful = with_candidate(HEALTHY, phase=Phase.GRACE, grace=Grace(None, is_over=False))
    blocker = check_guards(guards(minimum_age_hours=24), graceful, T0)
    assert blocker is not None
    assert blocker.verdict is Verdict.TOO_YOUNG
    assert check_guards(SUNDAYS, graceful, at("2026-01-12 12:00")) is not None


def test_the_random_delay_ends_with_the_window() -> None:
    spread = SUNDAYS.model_copy(update={"random_delay_seconds": 3600})
    assert longest_delay(spread, at("2026-01-11 03:50")) == 600
    assert longest_delay(spread, at("2026-01-11 01:00")) == 3600
    assert longest_delay(guards(random_delay_seconds=60), T0) == 60


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window_start": "02:00"}, "window_start and window_end belong together"),
        ({"window_start": "02:00", "window_end": "02:00"}, "equal"),
        ({"window_days": ["Monday"]}, "window_days needs"),
        ({"time_zone": "Mars/Olympus"}, "there is no time zone 'Mars/Olympus'"),
        ({"window_start": "2 am", "window_end": "05:00"}, "window_start"),
        ({"window_start": "25:00", "window_end": "05:00"}, "window_start"),
    ],
)
def test_guards_that_make_no_sense_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        guards(**fields)


@pytest.mark.parametrize(
    ("when", "longest"),
    [("2026-01-11 01:00", 10800), ("2026-01-11 03:59", 60), ("2026-01-11 04:00", 86400), ("2026-01-11 00:59", 86400)],
)
def test_the_window_bounds_the_random_delay_from_its_first_moment_to_the_last(when: str, longest: int) -> None:
    spread = SUNDAYS.model_copy(update={"random_delay_seconds": 86400})
    assert longest_delay(spread, at(when)) == longest


def test_without_a_window_a_rotation_may_start_now() -> None:
    assert find_opening(Guards(), T0) == T0


def test_the_age_is_that_of_the_last_secret_which_has_the_password() -> None:
    aged = replace(HEALTHY, secrets=(*HEALTHY.secrets, SecretFacts("url", version("x1", 600))))
    assert check_guards(guards(minimum_age_hours=24), aged, T0 + timedelta(hours=30)) is not None
    assert check_guards(guards(minimum_age_hours=24), aged, T0 + timedelta(hours=34)) is None


def test_the_guards_of_a_window_let_a_rotation_begin_in_it_alone() -> None:
    window = Window(start="22:00", end="04:00", days=(Day.SUNDAY,), time_zone="America/New_York")
    made = Guards.within(window)
    assert made.window == window
    assert made == Guards(window_start="22:00", window_end="04:00", window_days=window.days, time_zone=window.time_zone)
