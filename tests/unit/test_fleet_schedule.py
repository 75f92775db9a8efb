"""When a credential is due: by age, expiry, request or an unfinished rotation, at a moment of its own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.credentials import Credential, Strategy
from infra.errors import Code, Refused
from infra.fleet.schedule import (
    LONGEST_PAUSE,
    STALE,
    Attempt,
    Due,
    Facts,
    Urgency,
    Why,
    check_request,
    find_due,
    guard,
    pause_after,
)
from infra.rotation.options import Guards
from testing.walkthrough import DEXTER, SERVER, change

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NIGHT = {"start": "01:00", "end": "05:00"}
FRESH = Facts(NOW)


def managed(name: str = "orders-db", **fields: Any) -> Credential:
    return change(SERVER, name=name, **fields)


def due_of(credential: Credential, facts: Facts = FRESH, now: datetime = NOW) -> Due:
    due = find_due(credential, facts, now)
    assert due is not None
    return due


def test_a_credential_without_a_schedule_is_never_due() -> None:
    assert find_due(managed(), Facts(NOW - 3650 * DAY, NOW - DAY), NOW) is None


def test_age_makes_it_due_in_the_last_tenth_of_its_interval_and_overdue_after_it() -> None:
    due = due_of(managed(every="60d"))
    assert (due.why, due.urgency, due.limit) == (Why.AGE, Urgency.ROUTINE, NOW + 60 * DAY)
    assert NOW + 54 * DAY <= due.at <= NOW + 60 * DAY
    assert not due.is_overdue(NOW + 60 * DAY)
    assert due.is_overdue(NOW + 60 * DAY + timedelta(seconds=1))


def test_expiry_makes_it_due_as_long_before_as_is_asked() -> None:
    due = due_of(managed(before_expiry="20d"), Facts(NOW, NOW + 90 * DAY))
    assert (due.why, due.limit) == (Why.EXPIRY, NOW + 70 * DAY)
    assert NOW + 68 * DAY <= due.at <= NOW + 70 * DAY
    assert find_due(managed(before_expiry="20d"), FRESH, NOW) is None, "a version without an expiry never expires"


def test_a_thousand_credentials_of_one_day_spread_evenly_over_their_days_and_stay_there() -> None:
    moments = [due_of(managed(f"db-{number}", every="60d")).at for number in range(1000)]
    again = [due_of(managed(f"db-{number}", every="60d"), now=NOW + 7 * DAY).at for number in range(1000)]
    assert moments == again
    by_day = [sum(1 for moment in moments if (moment - NOW).days == day) for day in range(54, 60)]
    assert sum(by_day) == 1000
    assert min(by_day) > 120


def test_they_spread_over_the_first_half_of_their_windows() -> None:
    dues = [due_of(managed(f"db-{number}", every="60d", window=NIGHT)) for number in range(300)]
    assert {due.at.hour for due in dues} == {1, 2}
    assert len({due.at.date() for due in dues}) == 6
    assert all(due.starts_at == due.at for due in dues)


def test_a_window_before_the_limit_is_taken_rather_than_one_after_it() -> None:
    weekly = {**NIGHT, "days": ["Sunday"]}
    for number in range(50):
        due = due_of(managed(f"db-{number}", every="30d", window=weekly))
        assert due.limit is not None
        assert due.limit - 8 * DAY < due.at <= due.limit
        assert due.at.weekday() == 6


def test_outside_its_window_it_starts_in_the_next_one_at_its_moment() -> None:
    overdue = Facts(NOW - 90 * DAY)
    starts = [due_of(managed(f"db-{number}", every="60d", window=NIGHT), overdue).starts_at for number in range(50)]
    tomorrow = NOW.replace(hour=0) + DAY
    assert all(tomorrow + timedelta(hours=1) <= start < tomorrow + timedelta(hours=3) for start in starts)
    assert len(set(starts)) == 50


def test_in_the_open_window_it_starts_once_its_moment_has_come_and_the_key_stays() -> None:
    credential, overdue = managed(every="60d", window=NIGHT), Facts(NOW - 90 * DAY)
    early = due_of(credential, overdue, NOW.replace(hour=1))
    late = due_of(credential, overdue, NOW.replace(hour=4))
    assert early.starts_at == late.starts_at <= NOW.replace(hour=4)
    assert early.key == late.key


def test_a_request_ignores_the_window_until_a_newer_password_exists() -> None:
    credential = managed(every="60d", window=NIGHT)
    due = due_of(credential, replace(FRESH, requested_at=NOW + DAY), NOW + DAY)
    assert (due.why, due.urgency, due.starts_at) == (Why.REQUESTED, Urgency.URGENT, NOW + DAY)
    assert due_of(credential, Facts(NOW + 2 * DAY, requested_at=NOW + DAY)).why is Why.AGE


def test_a_paused_credential_begins_nothing_and_finishes_what_it_began() -> None:
    credential = managed(every="60d", paused=True)
    assert find_due(credential, Facts(NOW - 90 * DAY, requested_at=NOW), NOW) is None
    facts = Facts(NOW - 90 * DAY, unfinished="r1", changed_at=NOW - DAY)
    assert due_of(credential, facts).why is Why.UNFINISHED


def test_an_unfinished_rotation_is_resumed_once_nothing_was_written_for_a_while() -> None:
    due = due_of(managed(), Facts(NOW - DAY, unfinished="r1", changed_at=NOW))
    assert (due.why, due.urgency, due.starts_at) == (Why.UNFINISHED, Urgency.FINISHING, NOW + STALE)


def test_a_grace_is_finished_when_it_is_over_and_one_until_the_next_rotation_is_not() -> None:
    facts = Facts(NOW, unfinished="r1", changed_at=NOW, is_grace=True, grace_until=NOW + DAY)
    due = due_of(managed(every="60d"), facts)
    assert (due.why, due.starts_at) == (Why.GRACE_OVER, NOW + DAY)
    assert due_of(managed(every="60d"), replace(facts, grace_until=None)).why is Why.AGE


def test_recreate_is_never_due_because_it_loses_data_but_is_finished() -> None:
    credential = change(DEXTER, every="1d")
    assert credential.strategy is Strategy.RECREATE
    assert find_due(credential, Facts(NOW - 90 * DAY, requested_at=NOW), NOW) is None
    assert due_of(credential, Facts(NOW - DAY, unfinished="r1", changed_at=NOW)).why is Why.UNFINISHED


@pytest.mark.parametrize("verdict", ["refused", "rolled-back", "sync-pending", "needs-operator", "failed", ""])
def test_after_a_bad_end_it_pauses_longer_each_time_and_gets_a_new_key(verdict: str) -> None:
    credential, facts = managed(every="60d"), Facts(NOW - 90 * DAY)
    first = due_of(credential, facts)
    once = due_of(credential, replace(facts, attempts=(Attempt(first.key, NOW, verdict),)))
    twice = due_of(credential, replace(facts, attempts=(Attempt(first.key, NOW, verdict), Attempt(once.key, NOW))))
    assert once.starts_at == NOW + timedelta(minutes=15)
    assert twice.starts_at == NOW + timedelta(hours=1)
    assert len({first.key, once.key, twice.key}) == 3
    assert pause_after(9) == pause_after(99) == LONGEST_PAUSE


def test_a_rotation_that_came_too_late_for_its_window_is_started_again_in_the_next_one() -> None:
    credential, facts = managed(every="60d", window=NIGHT), Facts(NOW - 90 * DAY)
    first = due_of(credential, facts, NOW.replace(hour=1))
    missed = Attempt(first.key, NOW.replace(hour=5), "outside-window")
    again = due_of(credential, replace(facts, attempts=(missed,)), NOW.replace(hour=6))
    assert again.key != first.key
    assert again.starts_at == first.starts_at + DAY, "without a pause: nothing went wrong"
    bad = replace(facts, attempts=(Attempt(first.key, NOW, "refused"), replace(missed, key=again.key)))
    assert len(bad.failures) == 1, "it is no good end, which would forget the bad ones"
    assert due_of(credential, bad).key not in (first.key, again.key)


def test_the_window_holds_for_what_is_routine_wherever_it_waits_and_for_nothing_else() -> None:
    credential, old = managed(every="60d", window=NIGHT), Facts(NOW - 90 * DAY)
    routine = guard(due_of(credential, old), credential)
    assert routine.window == credential.window
    assert guard(due_of(managed(every="60d"), old), managed(every="60d")) == Guards()
    for facts in (
        replace(old, requested_at=NOW),
        replace(old, unfinished="r1", changed_at=NOW),
        replace(old, unfinished="r1", changed_at=NOW, is_grace=True, grace_until=NOW),
    ):
        assert guard(due_of(credential, facts), credential) == Guards()


def test_whoever_asks_for_what_the_fleet_never_begins_is_told_so() -> None:
    check_request([managed()])
    paused, lossy = managed(paused=True), change(DEXTER, name="lossy")
    with pytest.raises(Refused) as caught:
        check_request([managed(), paused, lossy])
    error = caught.value
    assert (error.code, error.name) == (Code.FLEET_NEVER_BEGINS, f"{paused.name}, lossy")
    assert f"{paused.name}: it is paused; lossy: the strategy recreate empties the database" in error.seen


def test_a_good_end_forgets_the_bad_ones_before_it() -> None:
    attempts = (Attempt("a", NOW, "refused"), Attempt("b", NOW, "rotated"), Attempt("c", None))
    facts = Facts(NOW, attempts=attempts)
    assert facts.failures == ()
    assert facts.is_running


lengths = st.integers(1, 400).map(lambda days: f"{days}d")
windows = st.none() | st.builds(
    lambda start, end, days: {
        "start": f"{start:02}:00",
        "end": f"{end:02}:30",
        "days": days,
        "time_zone": "Europe/Berlin",
    },
    st.integers(0, 23),
    st.integers(0, 23),
    st.lists(st.sampled_from(["Monday", "Thursday", "Sunday"]), unique=True),
)


@given(st.integers(0, 9999), lengths, windows, st.timedeltas(timedelta(), 500 * DAY))
def test_whatever_the_schedule_it_is_due_before_its_limit_and_starts_in_its_window(
    number: int, every: str, window: dict[str, Any] | None, age: timedelta
) -> None:
    credential = managed(f"db-{number}", every=every, window=window)
    facts = Facts(NOW - age)
    due = due_of(credential, facts)
    assert due.limit is not None
    assert facts.created_at <= due.at <= due.limit
    assert due.starts_at >= due.at
    assert credential.window is None or credential.window.is_open(due.starts_at) or due.starts_at == facts.created_at
    assert due_of(credential, facts, NOW + timedelta(minutes=15)).key == due.key
