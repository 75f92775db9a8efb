"""What starts now: urgent before routine, ring by ring, within every limit, and nothing new once verdicts go bad."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from infra.fleet.schedule import Due, Urgency, Why
from infra.fleet.wave import Limits, Place, Wave, plan_wave
from testing.walkthrough import DEXTER, SERVER, change

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMITS = Limits(in_flight=3, per_vault=2, per_server=2, stop_after=2)
PLACES = {f"db-{number}": Place(f"vault-{number}", f"server-{number}", 1) for number in range(9)}


def due(name: str, why: Why = Why.AGE, hours: int = 0) -> Due:
    return Due(name, why, NOW + timedelta(hours=hours), NOW)


def plan(*items: Due, running: tuple[str, ...] = (), bad: tuple[str, ...] = (), **rings: int) -> Wave:
    places = {
        name: replace(place, ring=rings.get(name.replace("-", "_"), place.ring)) for name, place in PLACES.items()
    }
    return plan_wave(items, running, bad, places, LIMITS)


def names(wave: Wave) -> list[str]:
    return [item.credential for item in wave.starts]


def test_the_longest_due_start_first_and_the_others_say_why_they_wait() -> None:
    wave = plan(due("db-1", hours=4), due("db-2", hours=1), due("db-3", hours=3), due("db-4", hours=2))
    assert names(wave) == ["db-2", "db-4", "db-3"]
    assert wave.waiting == {"db-1": "3 rotations are in flight"}


def test_what_runs_takes_room() -> None:
    assert names(plan(due("db-1"), due("db-2"), running=("db-3", "db-4"))) == ["db-1"]


def test_urgent_comes_before_routine_and_what_is_unfinished_before_both() -> None:
    wave = plan(
        due("db-1", hours=-9), due("db-2", Why.REQUESTED), due("db-3", Why.GRACE_OVER), due("db-4", Why.UNFINISHED)
    )
    assert names(wave) == ["db-3", "db-4", "db-2"]


def test_a_vault_and_a_server_get_no_more_than_their_limits() -> None:
    places = {name: Place("one", f"server-{name}") for name in ("a", "b", "c")}
    wave = plan_wave([due("a"), due("b"), due("c")], (), (), places, LIMITS)
    assert (names(wave), wave.waiting) == (["a", "b"], {"c": "2 rotations use the vault one"})
    places = {name: Place(f"vault-{name}", "one") for name in ("a", "b", "c")}
    wave = plan_wave([due("a"), due("b")], ("c",), (), places, LIMITS)
    assert (names(wave), wave.waiting) == (["a"], {"b": "2 rotations use the server one"})


def test_a_ring_waits_until_the_rings_before_it_are_finished() -> None:
    assert names(plan(due("db-1"), due("db-2"), db_1=0)) == ["db-1"]
    wave = plan(due("db-2"), running=("db-1",), db_1=0)
    assert wave.waiting == {"db-2": "ring 0 is not finished"}
    assert names(plan(due("db-2"), db_1=0)) == ["db-2"]


def test_an_urgent_one_does_not_wait_for_routine_of_an_earlier_ring() -> None:
    assert names(plan(due("db-1"), due("db-2", Why.REQUESTED), db_1=0)) == ["db-2", "db-1"]


def test_a_failed_canary_stops_the_rings_after_it_and_may_be_tried_again_itself() -> None:
    wave = plan(due("db-1"), due("db-2"), due("db-3", Why.GRACE_OVER), bad=("db-1",), db_1=0)
    assert names(wave) == ["db-3", "db-1"]
    assert wave.waiting == {"db-2": "ring 0 failed: db-1"}


def test_too_many_bad_verdicts_stop_all_that_is_new_and_finish_what_is_not() -> None:
    wave = plan(due("db-1"), due("db-2", Why.REQUESTED), due("db-3", Why.UNFINISHED), bad=("db-8", "db-7"))
    assert names(wave) == ["db-3"]
    assert wave.stopped == "the wave has stopped: 2 credentials ended badly (db-7, db-8)"
    assert set(wave.waiting) == {"db-1", "db-2"}


def test_what_ended_badly_itself_may_be_tried_again_which_is_how_a_stop_ends() -> None:
    assert names(plan(due("db-8"), due("db-1"), bad=("db-8", "db-7"))) == ["db-8"]


def test_a_place_is_a_vault_and_a_server_whatever_their_spelling() -> None:
    assert Place.of(change(SERVER, vault="DexterKeyVault", ring=4)) == Place(
        "dexterkeyvault", "sonarqube-postgresql3", 4
    )
    assert Place.of(DEXTER).server == "dexter-service in dexter of integrateakskv-cluster in integrateakskv-rg"


class CountedPlaces(dict[str, Place]):
    """Places that count how often they are looked up."""

    looks = 0

    def __getitem__(self, name: str) -> Place:
        self.looks += 1
        return super().__getitem__(name)


def test_a_wave_of_a_thousand_looks_at_each_a_few_times() -> None:
    places = CountedPlaces(
        {f"db-{number}": Place(f"vault-{number % 30}", f"server-{number % 10}") for number in range(1000)}
    )
    wave = plan_wave([due(name, Why.REQUESTED) for name in places], (), (), places, LIMITS)
    assert len(wave.starts) == LIMITS.in_flight
    assert places.looks < 10 * len(places)


places_of = st.dictionaries(
    st.integers(0, 40).map(lambda number: f"db-{number}"),
    st.builds(Place, st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 2)),
    min_size=1,
)


@given(
    st.data(),
    places_of,
    st.builds(Limits, in_flight=st.integers(1, 9), per_vault=st.integers(1, 4), per_server=st.integers(1, 4)),
)
def test_repeated_waves_start_all_within_the_limits(
    data: st.DataObject, places: dict[str, Place], limits: Limits
) -> None:
    left = {name: due(name, data.draw(st.sampled_from(Why))) for name in places}
    running: list[str] = []
    for _ in range(len(places) + 1):
        wave = plan_wave(list(left.values()), running, (), places, limits)
        running += names(wave)
        assert len(running) <= limits.in_flight
        assert max(Counter(places[name].vault for name in running).values(), default=0) <= limits.per_vault
        assert max(Counter(places[name].server for name in running).values(), default=0) <= limits.per_server
        assert set(wave.waiting) | set(names(wave)) == set(left)
        urgencies = [item.urgency for item in wave.starts]
        assert urgencies == sorted(urgencies, reverse=True)
        for name in names(wave):
            del left[name]
        running = running[1:]
        if not left:
            return
    raise AssertionError(f"left: {sorted(left)}")


def test_finishing_is_the_most_urgent() -> None:
    assert max(Urgency) is due("db-1", Why.UNFINISHED).urgency is due("db-1", Why.GRACE_OVER).urgency
