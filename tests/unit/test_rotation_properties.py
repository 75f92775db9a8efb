"""Whatever happens to a rotation, it ends well: a simulated world, killed between any two calls."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rotation_facts import OPTIONS
from rotation_simulation import Simulation
from rotation_world import CLIENTS, Killed, Pair, World

from infra.credentials import UNTIL_NEXT_ROTATION, Strategy
from infra.errors import Code, LoginRefused, Refused
from infra.rotation.execution import Ending, Verdict, execute
from infra.rotation.observation import Phase
from infra.rotation.options import RotationOptions, Sync
from infra.rotation.plan import Plan
from infra.rotation.state import Subject
from infra.rotation.steps import Action, UsernamePolicy
from infra.rotation.strategies import STRATEGIES

FAULTS = ["pods_broken", "logins_refused", "vault_refuses", "sync_paused", "database_down"]
MEANWHILE = ["nothing", "poll", "database restarts", "client restarts"]
MANY, SOME = (int(os.environ.get("KEYTURN_EXAMPLES", default)) for default in ("500", "200"))
"""How many worlds a property is tried in."""
GOOD_ENDS = {Verdict.ROTATED, Verdict.ROLLED_BACK}


@dataclass
class Bomb:
    """Kills the process at its nth call."""

    left: int

    def __call__(self, world: World) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Killed


def check_invariants(world: World) -> None:
    """What must hold after every single call."""
    for versions in world.secrets.values():
        assert versions[-1].facts.enabled, "the newest version is disabled"
    if world.database is not None:
        assert world.open_logins & world.readable_pairs, "nobody knows a login of the running database"
    if world.strategy is Strategy.ALTERNATING and world.client and not world.is_edited_by_hand:
        assert world.client.login in world.open_logins, "the database refuses the client's login"


def run(
    world: World, options: RotationOptions = OPTIONS, fresh_id: str = "r1", calls: int | None = None
) -> Ending | None:
    """Run once; None if the process was killed, which happens at the given call."""
    try:
        return run_until_killed(world, options, fresh_id, Bomb(calls) if calls else lambda _: None)
    except Killed:
        check_invariants(world)
        return None


def run_until_killed(world: World, options: RotationOptions, fresh_id: str, on_call: Callable[[World], None]) -> Ending:
    """Run once, and do something at each call."""
    world.on_call = on_call
    try:
        return execute(Simulation(world, options, check=check_invariants), world.credential, options, fresh_id)
    finally:
        world.on_call = lambda _: None


def check_rotated(world: World) -> None:
    check_settled(world)
    keeps = STRATEGIES[world.strategy].username is UsernamePolicy.KEEP
    for name in ("password",) if keeps else ("username", "password"):
        assert not world.facts(name).older_enabled


def check_settled(world: World) -> None:
    """Vault, database and consumers agree, and still do when a pod restarts."""
    assert world.candidate is None
    assert world.replicas == 1
    assert world.open_logins == {world.newest}
    assert not world.pins
    if client := world.client:
        assert client.login == world.newest or not client.replicas
    if world.strategy is Strategy.RECREATE:
        assert world.files == world.synced == world.newest
    if not world.is_external:
        world.run_pod()
    assert world.database == world.newest, "a database that restarts accepts the newest login"
    if world.client and world.client.consumer.is_restarted:
        world.run_client()
        assert world.client.env == world.newest


def options_with(**changes: Any) -> RotationOptions:
    return OPTIONS.model_copy(update=changes)


worlds = st.builds(
    World.healthy,
    strategy=st.sampled_from(list(Strategy)),
    clients=st.sampled_from(list(CLIENTS)),
    refreshes_at_mount=st.booleans(),
    seconds_per_call=st.sampled_from([0.01, 0.4, 3.0]),
)
graceful_worlds = st.builds(
    World.healthy,
    strategy=st.just(Strategy.ALTERNATING),
    clients=st.sampled_from(list(CLIENTS)),
    refreshes_at_mount=st.booleans(),
    grace=st.sampled_from(["1h", UNTIL_NEXT_ROTATION]),
)
syncs = st.sampled_from(list(Sync))


@given(world=worlds, sync=syncs)
def test_an_undisturbed_rotation_ends_rotated_and_proves_it(world: World, sync: Sync) -> None:
    before = world.newest
    ending = run(world, options_with(sync=sync))
    assert ending is not None
    assert ending.verdict is Verdict.ROTATED
    assert world.newest != before
    check_rotated(world)


@given(world=worlds, kills=st.lists(st.tuples(st.integers(1, 45), syncs), max_size=6), data=st.data())
@settings(max_examples=MANY)
def test_a_rotation_killed_anywhere_is_resumed_and_ends_rotated(
    world: World, kills: list[tuple[int, Sync]], data: st.DataObject
) -> None:
    for number, (calls, sync) in enumerate(kills):
        meanwhile = data.draw(st.sampled_from(MEANWHILE))
        run(world, options_with(sync=sync), f"r{number}", calls)
        if meanwhile == "poll":
            world.poll()
        elif meanwhile == "database restarts" and world.replicas:
            world.run_pod()
        elif meanwhile == "client restarts" and world.client:
            world.run_client()
        check_invariants(world)
    ending = run(world, fresh_id="last")
    assert ending is not None
    assert ending.verdict is Verdict.ROTATED
    check_rotated(world)


@given(
    world=worlds,
    sync=syncs,
    rounds=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(FAULTS), st.booleans()),
        min_size=1,
        max_size=4,
    ),
)
@settings(max_examples=MANY)
def test_any_mixture_of_failures_and_kills_ends_rotated_or_rolled_back_once_the_cause_is_gone(
    world: World, sync: Sync, rounds: list[tuple[int, str, bool]]
) -> None:
    for number, (calls, fault, client_restarts) in enumerate(rounds):
        setattr(world, fault, True)
        run(world, options_with(sync=sync), f"r{number}", calls)
        setattr(world, fault, False)
        if client_restarts and world.client:
            world.run_client()
        check_invariants(world)
    verdicts = []
    for number in range(3):
        ending = run(world, options_with(sync=sync), f"again{number}")
        assert ending is not None
        check_settled(world)
        verdicts.append(ending.verdict)
    assert set(verdicts) <= GOOD_ENDS
    assert verdicts[-1] is Verdict.ROTATED, "after a rollback the next run starts a new rotation and succeeds"
    check_rotated(world)


@given(world=worlds, calls=st.integers(1, 45), name=st.sampled_from(["username", "password"]), sync=syncs)
@settings(max_examples=MANY)
def test_a_version_that_a_person_writes_meanwhile_is_neither_overwritten_nor_disabled(
    world: World, calls: int, name: str, sync: Sync
) -> None:
    if run(world, options_with(sync=sync), calls=calls) is not None:
        return
    was_unfinished = world.live_candidate is not None
    world.write(name, "by hand")
    theirs = world.facts(name).newest
    ending = run(world, options_with(sync=sync), "again")
    assert ending is not None
    assert world.facts(name).newest == theirs
    assert ending.verdict is (Verdict.NEEDS_OPERATOR if was_unfinished else Verdict.REFUSED)
    assert ending.error is not None
    assert ending.error.fix


@given(
    world=worlds.filter(lambda world: not world.is_external),
    calls=st.integers(1, 45),
    replicas=st.sampled_from([0, 1]),
    sync=syncs,
)
@settings(max_examples=MANY)
def test_a_person_who_scales_meanwhile_does_not_keep_the_rotation_from_ending(
    world: World, calls: int, replicas: int, sync: Sync
) -> None:
    killed = run(world, options_with(sync=sync), calls=calls) is None
    world.replicas = replicas
    if replicas and world.pod is None:
        world.run_pod()
    elif not replicas:
        world.stop_pods()
    is_unfinished = world.candidate is not None and world.candidate[0].phase is not Phase.DONE
    ending = run(world, options_with(sync=sync), "again")
    assert ending is not None
    if world.strategy is not Strategy.RECREATE and not replicas:
        assert ending.verdict is not Verdict.ROTATED or world.candidate is None
        world.replicas = 1
        world.run_pod()
        assert (ending := run(world, options_with(sync=sync), "back")) is not None
        assert ending.verdict in GOOD_ENDS
        check_settled(world)
    elif killed and is_unfinished:
        assert ending.verdict is Verdict.ROTATED
        check_rotated(world)


@given(calls=st.integers(1, 60), sync=syncs, given_id=st.sampled_from(["", "first", "second"]), world=worlds)
def test_an_unfinished_rotation_is_resumed_whatever_id_is_given_and_no_other_one_begins(
    calls: int, sync: Sync, given_id: str, world: World
) -> None:
    killed = run(world, options_with(sync=sync), "first", calls) is None
    unfinished, had_ended = world.live_candidate is not None, "first" in written_by(world)
    before = (world.newest, world.newest_versions, world.candidate)
    ending = run(world, options_with(sync=sync, rotation_id=given_id), "third")
    assert ending is not None
    if unfinished:
        assert killed
        assert (ending.verdict, ending.rotation_id) == (Verdict.ROTATED, "first")
        assert written_by(world) == ["first"]
    elif not given_id:
        assert (ending.verdict, ending.rotation_id) == (Verdict.ROTATED, "third")
    elif given_id == "first" and had_ended:
        assert ending.error is None
    else:
        assert_unknown(ending)
        assert (world.newest, world.newest_versions, world.candidate) == before
        return
    check_rotated(world)


def written_by(world: World) -> list[str]:
    """The rotations that wrote the passwords."""
    written = reversed(world.facts("password").versions)
    return [version.rotation_id for version in written if version.rotation_id]


def assert_unknown(ending: Ending | None) -> None:
    assert ending is not None
    assert (ending.verdict, ending.executed, ending.failed) == (Verdict.REFUSED, (), None)
    assert type(ending.error) is Refused
    assert ending.error.code == Code.UNKNOWN_ROTATION
    assert "No rotation of this credential has this id" in str(ending.error)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("given_id", ["r2", "20260101-000000-frst", "20251124-043105-k3f8"])
def test_an_id_that_names_no_rotation_is_refused_and_changes_nothing(strategy: Strategy, given_id: str) -> None:
    world = World.healthy(strategy=strategy)
    run(world, fresh_id="20251124-043105-k3f9")
    before = (world.newest, world.newest_versions, world.open_logins)
    assert_unknown(run(world, options_with(rotation_id=given_id)))
    assert (world.newest, world.newest_versions, world.open_logins, world.candidate) == (*before, None)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("sync", list(Sync))
def test_a_run_with_the_id_of_a_finished_rotation_does_nothing(strategy: Strategy, sync: Sync) -> None:
    world = World.healthy(strategy=strategy)
    run(world, options_with(sync=sync), "first")
    after = world.newest_versions
    ending = run(world, options_with(sync=sync, rotation_id="first"))
    assert ending is not None
    assert ending.verdict is Verdict.NOTHING_TO_DO
    assert world.newest_versions == after


OTHERS = {
    Strategy.RECREATE: Strategy.IN_PLACE,
    Strategy.IN_PLACE: Strategy.RECREATE,
    Strategy.ALTERNATING: Strategy.IN_PLACE,
    Strategy.MANAGED: Strategy.MANAGED,
}
"""Another strategy that somebody may choose for the same database."""


@given(world=worlds, calls=st.integers(1, 60), sync=syncs)
@settings(max_examples=SOME)
def test_an_unfinished_rotation_ends_with_the_strategy_that_it_began_with(world: World, calls: int, sync: Sync) -> None:
    began, other = world.strategy, OTHERS[world.strategy]
    killed = run(world, options_with(sync=sync), calls=calls) is None
    was_unfinished = world.live_candidate is not None
    world.strategy = other
    ending = run(world, options_with(sync=sync), "again")
    assert ending is not None
    assert ending.verdict is Verdict.ROTATED
    assert ending.rotation_id == ("r1" if killed and was_unfinished else "again") or not was_unfinished
    world.strategy = began if was_unfinished else other
    check_rotated(world)


@pytest.mark.parametrize("strategy", [Strategy.ALTERNATING, Strategy.MANAGED])
def test_a_candidate_that_fails_before_it_is_published_is_rolled_back(strategy: Strategy) -> None:
    class Failing(Simulation):
        def _alter(self, current: Pair | None, wanted: Pair | None) -> Iterator[None]:
            yield from super()._alter(current, wanted)
            if wanted == self.world.staged[1]:
                raise LoginRefused("refused", name="db")

        def _enable_alternate(self, plan: Plan, subject: Subject) -> Iterator[None]:
            yield from super()._enable_alternate(plan, subject)
            raise LoginRefused("refused", name=str(subject))

    world = World.healthy(strategy=strategy)
    before, versions = world.newest, world.newest_versions
    ending = execute(Failing(world, OPTIONS), world.credential, OPTIONS, "r1")
    assert ending.verdict is Verdict.ROLLED_BACK
    assert ending.error is not None
    assert type(ending.error.cause) is LoginRefused
    assert "Cause: refused" in str(ending.error)
    assert ending.failed is not None
    assert ending.failed.action in (Action.ENABLE_ALTERNATE, Action.SET_ADMINISTRATOR)
    assert (world.open_logins, world.newest_versions) == ({before}, versions), "nothing was published"
    assert world.candidate is None


def check_grace(world: World, previous: Pair) -> None:
    """The rotation reached everybody listed, and whoever still has the previous login may use it."""
    assert world.staged[0].phase is Phase.GRACE
    assert world.open_logins == {previous, world.newest}
    assert not world.pins
    assert world.newest != previous
    if client := world.client:
        assert client.login == world.newest


@given(world=graceful_worlds, kills=st.lists(st.tuples(st.integers(1, 45), syncs), max_size=4))
@settings(max_examples=SOME)
def test_with_a_grace_a_rotation_ends_rotated_and_the_previous_login_works_on(
    world: World, kills: list[tuple[int, Sync]]
) -> None:
    previous, options = world.newest, options_with()
    for calls, sync in kills:
        run(world, options_with(sync=sync), "first", calls)
    ending = run(world, options, "first")
    assert ending is not None
    assert ending.verdict in (Verdict.ROTATED, Verdict.NOTHING_TO_DO)
    check_grace(world, previous)
    again = run(world, fresh_id="first")
    assert again is not None
    assert again.verdict is Verdict.NOTHING_TO_DO, "its time has not come"
    check_grace(world, previous)


@given(world=graceful_worlds, kills=st.lists(st.integers(1, 60), max_size=5), sync=syncs)
@settings(max_examples=SOME)
def test_the_next_rotation_finishes_a_grace_that_is_over_wherever_it_is_killed(
    world: World, kills: list[int], sync: Sync
) -> None:
    first, options = world.newest, options_with(sync=sync)
    run(world, fresh_id="first")
    second = world.newest
    world.now += timedelta(hours=2)
    for calls in kills:
        run(world, options, "second", calls)
        check_invariants(world)
    ending = run(world, options, "second")
    assert ending is not None
    assert ending.verdict in (Verdict.ROTATED, Verdict.NOTHING_TO_DO)
    check_grace(world, second)
    assert first not in world.open_logins
    world.poll()
    run(world, options_with(no_grace=True, rotation_id="second"))
    check_rotated(world)


def test_a_rotation_within_the_grace_is_refused_and_changes_nothing() -> None:
    world = World.healthy(strategy=Strategy.ALTERNATING, grace="1h")
    previous = world.newest
    run(world, fresh_id="first")
    versions = world.newest_versions
    ending = run(world, fresh_id="second")
    assert ending is not None
    assert (ending.verdict, ending.executed) == (Verdict.REFUSED, ())
    assert ending.error is not None
    assert ending.error.code == Code.GRACE
    assert world.newest_versions == versions
    check_grace(world, previous)


@pytest.mark.parametrize("grace", ["1h", UNTIL_NEXT_ROTATION])
def test_no_grace_ends_an_earlier_one_and_gives_none(grace: str) -> None:
    world = World.healthy(strategy=Strategy.ALTERNATING, grace=grace)
    run(world, fresh_id="first")
    ending = run(world, options_with(no_grace=True), "second")
    assert ending is not None
    assert (ending.verdict, ending.rotation_id) == (Verdict.ROTATED, "second")
    check_rotated(world)


@pytest.mark.parametrize("fault", ["logins_refused", "database_down", "vault_refuses", "sync_paused"])
def test_what_fails_after_a_grace_is_never_rolled_back(fault: str) -> None:
    world = World.healthy(strategy=Strategy.ALTERNATING, clients="same Secret", grace="1h")
    run(world, fresh_id="first")
    options = options_with(rotation_id="first")
    newest = world.newest
    world.now += timedelta(hours=2)
    setattr(world, fault, True)
    ending = run(world, options)
    assert ending is not None
    assert ending.verdict in (Verdict.NEEDS_OPERATOR, Verdict.ROTATED)
    assert world.newest == newest
    setattr(world, fault, False)
    run(world, options)
    check_rotated(world)


def test_a_mistyped_id_ends_no_grace_that_lasts_until_the_next_rotation() -> None:
    world = World.healthy(strategy=Strategy.ALTERNATING, grace=UNTIL_NEXT_ROTATION)
    previous = world.newest
    run(world, fresh_id="first")
    ending = run(world, options_with(rotation_id="frist"))
    assert ending is not None
    assert ending.error is not None
    assert (ending.verdict, ending.executed, ending.error.code) == (Verdict.REFUSED, (), Code.GRACE)
    check_grace(world, previous)
