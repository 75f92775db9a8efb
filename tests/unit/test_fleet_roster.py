"""A run of the fleet: it starts what is due once, follows it, and loses nothing if it dies."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fleet_world import NOW, OLD, make_roster, managed
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.states import Completed

from flows import fleet as module
from infra.credentials import Credential
from infra.errors import NotFound
from infra.fleet.roster import Roster
from infra.fleet.schedule import Attempt, Due, Facts
from infra.fleet.wave import Limits
from tasks.fleet.runs import choose_deployment, read_ending
from tasks.fleet.table import describe, list_ages, list_rows


def test_what_runs_or_was_started_is_not_due_and_what_is_fresh_is_not_either() -> None:
    roster = make_roster("db-0", "db-1", "db-2", "db-3")
    roster.facts["db-1"] = Facts(NOW)
    roster.facts["db-2"] = replace(OLD, attempts=(Attempt("key", None),))
    [due] = roster.list_due(NOW)[:1]
    roster.begin(due, NOW)
    assert [each.credential for each in roster.list_due(NOW)] == ["db-3"]
    assert sorted(roster.running) == ["db-0", "db-2"]
    assert roster.under_way == ["db-0"]


def test_a_need_that_a_run_left_as_it_was_is_not_tried_again_and_again() -> None:
    roster = make_roster("db-0")
    [due] = roster.list_due(NOW)
    roster.facts["db-0"] = replace(OLD, attempts=(Attempt(due.key, NOW, "nothing-to-do"),))
    assert roster.list_due(NOW + timedelta(days=2)) == []


def test_a_bad_end_counts_against_the_wave_for_a_day_unless_its_credential_is_paused() -> None:
    bad = replace(OLD, attempts=(Attempt("key", NOW, "rolled-back"),))
    roster = Roster({"db-0": managed("db-0"), "db-1": managed("db-1", paused=True)}, {"db-0": bad, "db-1": bad})
    assert roster.list_bad(NOW) == ["db-0"]
    assert roster.list_bad(NOW + timedelta(days=1, seconds=1)) == []


def test_the_table_has_a_row_for_each_and_trouble_comes_first() -> None:
    roster = make_roster("a-fine", "b-overdue", "c-bad", "d-unknown", "e-paused")
    roster.facts |= {
        "a-fine": Facts(NOW - timedelta(days=3)),
        "c-bad": replace(OLD, attempts=(Attempt("key", NOW, "rolled-back"),)),
    }
    del roster.facts["d-unknown"]
    roster.credentials = {**roster.credentials, "e-paused": managed("e-paused", paused=True)}
    errors = {"d-unknown": NotFound("The secret does not exist", name="v/s")}
    rows = list_rows(roster, roster.plan(NOW), errors, {"a-fine": "rotated"}, NOW)
    told = {row["credential"]: (row["age"], row["last"], row["now"]) for row in rows}
    assert list(told) == ["d-unknown", "c-bad", "b-overdue", "a-fine", "e-paused"]
    assert told["d-unknown"] == ("", "", "The secret does not exist")
    assert told["c-bad"] == ("90 d", "rolled back", "overdue; fine")
    assert told["b-overdue"] == ("90 d", "", "overdue; due for its age")
    assert told["a-fine"] == ("3 d", "rotated", "fine")
    assert told["e-paused"] == ("90 d", "", "paused")
    assert [age.credential for age in list_ages(roster, NOW) if age.is_overdue] == ["b-overdue", "c-bad"]
    assert "5 credentials, 3 are scheduled, 2 overdue" in describe(roster, roster.plan(NOW), errors, NOW)
    assert "1 could not be looked at" in describe(roster, roster.plan(NOW), errors, NOW)


def test_a_cluster_with_its_own_deployment_gets_its_rotations() -> None:
    credential = managed("db-0")
    own = f"rotate-{credential.cluster.name}"
    assert choose_deployment(credential, {"rotate", own}) == f"rotate/{own}"
    assert choose_deployment(credential, {"rotate"}) == "rotate/rotate"


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("db-0: rotated. Rotation x: 3 steps.", "rotated"),
        ("db-0: rolled back. Rotation x failed", "rolled-back"),
        ("Flow run encountered an exception: ValueError. No", "failed"),
        ("", "failed"),
    ],
)
def test_a_rotation_in_this_process_ends_with_the_verdict_of_its_message(message: str, verdict: str) -> None:
    assert read_ending("key", "db-0", Completed(message=message)).verdict == verdict


@dataclass
class World:
    """Vaults and Prefect, as far as a fleet sees them: facts that outlive each of its runs."""

    facts: dict[str, Facts]
    verdicts: dict[str, str] = field(default_factory=dict)
    rotations: dict[str, int] = field(default_factory=dict)
    most: int = 0

    def starter(self, dies_after: int) -> "Starter":
        return Starter(self, dies_after)


class Killed(BaseException):
    """The process of the fleet's run is gone."""


@dataclass
class Starter:
    """Starts rotations that end when they are collected; the run dies after so many."""

    world: World
    dies_after: int
    running: dict[str, Due] = field(default_factory=dict)

    def start(self, due: Due, credential: Credential) -> None:
        if self.dies_after <= 0:
            raise Killed
        self.dies_after -= 1
        facts = self.world.facts[due.credential]
        assert not facts.is_running, "nothing is started twice at a time"
        assert due.key not in {attempt.key for attempt in facts.attempts}
        self.world.facts[due.credential] = replace(facts, attempts=(*facts.attempts, Attempt(due.key, None)))
        self.running[due.credential] = due
        self.world.most = max(self.world.most, sum(each.is_running for each in self.world.facts.values()))

    def collect(self, seconds: float) -> Mapping[str, Attempt]:
        name = next(iter(self.running))
        return {name: end_rotation(self.world, name, self.running.pop(name).key)}


def end_rotation(world: World, name: str, key: str) -> Attempt:
    """Let a rotation end, whether the run of the fleet that started it lives or not."""
    verdict = world.verdicts.pop(name, "rotated")
    now = datetime.now(UTC)
    ended = Attempt(key, now, verdict)
    facts = world.facts[name]
    attempts = (*(attempt for attempt in facts.attempts if attempt.key != key), ended)
    created_at = now if verdict == "rotated" else facts.created_at
    world.facts[name] = replace(facts, created_at=created_at, attempts=attempts)
    world.rotations[name] = world.rotations.get(name, 0) + (verdict == "rotated")
    return ended


def run_fleet(world: World, dies_after: int, limits: Limits) -> Roster:
    """Let one run of the fleet do what is due, or die in between."""
    credentials = {name: managed(name, vault=f"vault-{int(name[3:]) % 5}") for name in world.facts}
    roster = Roster(credentials, dict(world.facts), limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ByDeployment", lambda sync: world.starter(dies_after))
        patch.setattr(module, "run_logger", logging.getLogger)
        module._carry_out(roster, {}, module.RotateIn.DEPLOYMENT, module.Sync.WAIT, timedelta(minutes=14))
    return roster


@settings(max_examples=40)
@given(st.integers(1, 25), st.lists(st.integers(0, 6), max_size=6), st.integers(1, 5))
def test_runs_that_die_anywhere_lose_nothing_and_start_nothing_twice(
    size: int, deaths: list[int], in_flight: int
) -> None:
    world = World({f"db-{number}": OLD for number in range(size)})
    limits = Limits(in_flight=in_flight, per_vault=3, per_server=200)
    for dies_after in [*deaths, 1000]:
        try:
            run_fleet(world, dies_after, limits)
        except Killed:
            for name, facts in list(world.facts.items()):  # the workers go on without it
                if facts.is_running:
                    end_rotation(world, name, facts.attempts[-1].key)
    assert world.rotations == dict.fromkeys(world.facts, 1)
    assert world.most <= in_flight


def test_a_rotation_that_ends_badly_stops_no_other_below_the_bound_and_fails_the_run() -> None:
    world = World({f"db-{number}": OLD for number in range(6)}, {"db-3": "rolled-back"})
    roster = run_fleet(world, 1000, Limits(per_server=200))
    assert roster.failed == ["db-3"]
    assert world.rotations == {f"db-{number}": int(number != 3) for number in range(6)}


def test_too_many_bad_ends_stop_the_wave_in_the_middle() -> None:
    names = [f"db-{number}" for number in range(9)]
    world = World(dict.fromkeys(names, OLD), dict.fromkeys(names, "refused"))
    run_fleet(world, 1000, Limits(in_flight=1, per_server=200, stop_after=3))
    assert sum(1 for facts in world.facts.values() if facts.attempts) == 3


def test_one_that_cannot_be_started_keeps_no_other_from_starting() -> None:
    roster, errors = make_roster("db-0", "db-1"), dict[str, Any]()
    starter = Starter(World(dict(roster.facts)), 1000)

    def start(due: Due, credential: Credential) -> None:
        if due.credential == "db-0":
            raise ConnectionError("the API is away")
        Starter.start(starter, due, credential)

    starter.start = start  # type: ignore[method-assign]
    module._start(roster, roster.plan(NOW), starter, errors, datetime.now(UTC))
    assert roster.under_way == ["db-1"]
    assert errors["db-0"].seen.startswith("builtins.ConnectionError")


def test_a_look_that_prefect_does_not_answer_is_made_again_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    [due], credential = Roster({"db-0": managed("db-0")}, {"db-0": OLD}).list_due(NOW), managed("db-0")
    run, ended, looks = uuid4(), Attempt(due.key, NOW, "rotated"), list[int]()

    def look(names: Mapping[UUID, str], now: datetime) -> Mapping[UUID, Attempt]:
        looks.append(len(names))
        if len(looks) == 1:
            raise ConnectionError("500 Internal Server Error")
        return dict.fromkeys(names, ended)

    monkeypatch.setattr(module.runs, "find_deployments", lambda: {"rotate"})
    monkeypatch.setattr(module.runs, "start_rotation", lambda *_: run)
    monkeypatch.setattr(module.runs, "look_at_runs", look)
    starter = module.ByDeployment(module.Sync.WAIT)
    starter.start(due, credential)
    assert starter.collect(0.0) == {}
    assert starter.collect(0.0) == {"db-0": ended}
    assert looks == [1, 1]


def test_wherever_a_rotation_runs_it_is_given_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    window = {"start": "01:00", "end": "05:00"}
    credential, given = managed("db-0", window=window), list[Any]()
    [due] = Roster({"db-0": credential}, {"db-0": OLD}).list_due(NOW.replace(hour=4, minute=59))
    monkeypatch.setattr(module.runs, "find_deployments", lambda: {"rotate"})
    monkeypatch.setattr(module.runs, "start_rotation", lambda *told: given.append(told[-1]))
    module.ByDeployment(module.Sync.WAIT).start(due, credential)

    def rotate(name: str, *, guards: module.Guards, **_: Any) -> Any:
        given.append(guards)
        return Completed(message=f"{name}: outside window. It is late.")

    monkeypatch.setattr(module, "rotate", rotate)
    with ThreadPoolExecutor(1) as pool:
        here = module.InThisProcess(module.Sync.WAIT, pool)
        here.start(due, credential)
        ended = here.collect(30)
    assert [guards.window for guards in given] == [credential.window, credential.window]
    roster = Roster({"db-0": credential}, {"db-0": OLD})
    roster.begin(due, NOW)
    roster.end("db-0", ended["db-0"])
    [row] = list_rows(roster, roster.plan(NOW), {}, {}, NOW)
    assert (row["last"], row["now"]) == ("outside window", "overdue; outside window")
    assert (roster.failed, roster.list_bad(NOW)) == ([], [])
