"""Whatever happens to a rotation, it ends well: a simulated world, killed between any two calls."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rotation_simulation import Simulation
from rotation_world import CLIENTS, OPTIONS, Killed, World

from infra.errors import LoginRefused
from infra.rotation.execution import Ending, carry_out
from infra.rotation.observation import Phase
from infra.rotation.plan import Plan
from infra.rotation.steps import Username
from infra.rotation.strategies import STRATEGIES
from infra.rotation.verdict import Verdict
from infra.targets import RotationOptions, Strategy, Sync

FAULTS = ["pods_broken", "forged_logins", "vault_refuses", "sync_paused", "database_down"]
MEANWHILE = ["nothing", "poll", "database begins anew", "client begins anew"]
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
    if world.strategy is Strategy.ALTERNATING and world.client and not world.is_touched:
        assert world.client.uses in world.open_logins, "the database refuses the client's login"


def run(
    world: World, options: RotationOptions = OPTIONS, fresh_id: str = "r1", calls: int | None = None
) -> Ending | None:
    """Run once; None when the process was killed."""
    world.on_call = Bomb(calls) if calls else lambda _: None
    try:
        return carry_out(Simulation(world, options, check=check_invariants), world.target, options, fresh_id)
    except Killed:
        check_invariants(world)
        return None
    finally:
        world.on_call = lambda _: None


def check_rotated(world: World) -> None:
    check_settled(world)
    stays = STRATEGIES[world.strategy].username is Username.STAYS
    for name in ("password",) if stays else ("username", "password"):
        assert not world.facts(name).older_enabled


def check_settled(world: World) -> None:
    """Vault, database and consumers agree, and go on doing so when a pod begins anew."""
    assert world.candidate is None
    assert world.replicas == 1
    assert world.open_logins == {world.newest}
    assert not world.held
    if client := world.client:
        assert client.uses == world.newest or not client.replicas
    if world.strategy is Strategy.RECREATE:
        assert world.files == world.synced == world.newest
    if not world.is_external:
        world.run_pod()
    assert world.database == world.newest, "a database that begins anew takes the newest login"
    if world.client and world.client.names.needs_restart:
        world.run_client()
        assert world.client.env == world.newest


worlds = st.builds(
    World.begin,
    strategy=st.sampled_from(list(Strategy)),
    clients=st.sampled_from(list(CLIENTS)),
    refreshes_at_mount=st.booleans(),
    seconds_per_call=st.sampled_from([0.01, 0.4, 3.0]),
)
syncs = st.sampled_from(list(Sync))


@given(world=worlds, sync=syncs)
def test_a_rotation_without_trouble_ends_rotated_and_proves_it(world: World, sync: Sync) -> None:
    before = world.newest
    ending = run(world, options_with(sync=sync))
    assert ending is not None
    assert ending.verdict is Verdict.ROTATED
    assert world.newest != before
    check_rotated(world)


@given(world=worlds, kills=st.lists(st.tuples(st.integers(1, 45), syncs), max_size=6), data=st.data())
@settings(max_examples=500, deadline=None)
def test_a_rotation_killed_anywhere_ends_rotated_when_run_again(
    world: World, kills: list[tuple[int, Sync]], data: st.DataObject
) -> None:
    for number, (calls, sync) in enumerate(kills):
        meanwhile = data.draw(st.sampled_from(MEANWHILE))
        run(world, options_with(sync=sync), f"r{number}", calls)
        if meanwhile == "poll":
            world.poll()
        elif meanwhile == "database begins anew" and world.replicas:
            world.run_pod()
        elif meanwhile == "client begins anew" and world.client:
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
@settings(max_examples=500, deadline=None)
def test_failures_and_kills_in_any_mixture_end_rotated_or_rolled_back_once_the_cause_is_gone(
    world: World, sync: Sync, rounds: list[tuple[int, str, bool]]
) -> None:
    for number, (calls, fault, client_begins_anew) in enumerate(rounds):
        setattr(world, fault, True)
        run(world, options_with(sync=sync), f"r{number}", calls)
        setattr(world, fault, False)
        if client_begins_anew and world.client:
            world.run_client()
        check_invariants(world)
    verdicts = []
    for number in range(3):
        ending = run(world, options_with(sync=sync), f"again{number}")
        assert ending is not None
        check_settled(world)
        verdicts.append(ending.verdict)
    assert set(verdicts) <= GOOD_ENDS
    assert verdicts[-1] is Verdict.ROTATED, "a rotation after a rollback begins anew and succeeds"
    check_rotated(world)


@given(world=worlds, calls=st.integers(1, 45), name=st.sampled_from(["username", "password"]), sync=syncs)
@settings(max_examples=500, deadline=None)
def test_a_version_that_a_person_writes_meanwhile_is_never_overwritten_nor_disabled(
    world: World, calls: int, name: str, sync: Sync
) -> None:
    if run(world, options_with(sync=sync), calls=calls) is not None:
        return
    was_under_way = world.candidate is not None and world.candidate[0].phase.is_live
    world.write(name, "by hand")
    theirs = world.facts(name).newest
    ending = run(world, options_with(sync=sync), "again")
    assert ending is not None
    assert world.facts(name).newest == theirs
    assert ending.verdict is (Verdict.NEEDS_OPERATOR if was_under_way else Verdict.REFUSED)
    assert ending.error is not None
    assert ending.error.fix


@given(
    world=worlds.filter(lambda world: not world.is_external),
    calls=st.integers(1, 45),
    replicas=st.sampled_from([0, 1]),
    sync=syncs,
)
@settings(max_examples=500, deadline=None)
def test_a_person_who_scales_meanwhile_does_not_stop_the_rotation_from_ending(
    world: World, calls: int, replicas: int, sync: Sync
) -> None:
    killed = run(world, options_with(sync=sync), calls=calls) is None
    world.replicas = replicas
    if replicas and world.pod is None:
        world.run_pod()
    elif not replicas:
        world.stop_pods()
    under_way = world.candidate is not None and world.candidate[0].phase is not Phase.DONE
    ending = run(world, options_with(sync=sync), "again")
    assert ending is not None
    if world.strategy is not Strategy.RECREATE and not replicas:
        assert ending.verdict is not Verdict.ROTATED or world.candidate is None
        world.replicas = 1
        world.run_pod()
        assert (ending := run(world, options_with(sync=sync), "back")) is not None
        assert ending.verdict in GOOD_ENDS
        check_settled(world)
    elif killed and under_way:
        assert ending.verdict is Verdict.ROTATED
        check_rotated(world)


@given(calls=st.integers(1, 45), sync=syncs, world=worlds)
def test_another_id_than_the_unfinished_one_finishes_that_first_and_then_rotates(
    calls: int, sync: Sync, world: World
) -> None:
    killed = run(world, options_with(sync=sync, rotation_id="one"), calls=calls) is None
    ending = run(world, options_with(sync=sync, rotation_id="two"))
    assert killed or calls > 15
    assert ending is not None
    assert (ending.verdict, ending.rotation_id) == (Verdict.ROTATED, "two")
    check_rotated(world)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("sync", list(Sync))
def test_the_same_id_again_does_nothing(strategy: Strategy, sync: Sync) -> None:
    world = World.begin(strategy=strategy)
    options = options_with(sync=sync, rotation_id="one")
    run(world, options)
    after = world.newest_versions
    ending = run(world, options)
    assert ending is not None
    assert ending.verdict is Verdict.NOTHING_TO_DO
    assert world.newest_versions == after


OTHERS = {
    Strategy.RECREATE: Strategy.IN_PLACE,
    Strategy.IN_PLACE: Strategy.RECREATE,
    Strategy.ALTERNATING: Strategy.IN_PLACE,
    Strategy.MANAGED: Strategy.MANAGED,
}
"""What somebody may come to choose for the same database."""


@given(world=worlds, calls=st.integers(1, 60), sync=syncs)
@settings(max_examples=200, deadline=None)
def test_an_unfinished_rotation_ends_with_the_strategy_that_it_began_with(world: World, calls: int, sync: Sync) -> None:
    began, other = world.strategy, OTHERS[world.strategy]
    killed = run(world, options_with(sync=sync), calls=calls) is None
    under_way = world.candidate is not None and world.candidate[0].phase.is_live
    world.strategy = other
    ending = run(world, options_with(sync=sync), "again")
    assert ending is not None
    assert ending.verdict is Verdict.ROTATED
    assert ending.rotation_id == ("r1" if killed and under_way else "again") or not under_way
    world.strategy = began if under_way else other
    check_rotated(world)


def options_with(**changes: object) -> RotationOptions:
    return OPTIONS.model_copy(update=changes)


@pytest.mark.parametrize("strategy", [Strategy.ALTERNATING, Strategy.MANAGED])
def test_a_candidate_that_fails_before_it_is_published_ends_the_run_rolled_back(strategy: Strategy) -> None:
    class Failing(Simulation):
        def _prove_candidate(self, plan: Plan, subject: str) -> Iterator[None]:
            yield
            raise LoginRefused("refused", name=subject)

    world = World.begin(strategy=strategy)
    before, versions = world.newest, world.newest_versions
    ending = carry_out(Failing(world, OPTIONS), world.target, OPTIONS, "r1")
    assert ending.verdict is Verdict.ROLLED_BACK
    assert ending.error is not None
    assert "refused" in ending.error.seen
    assert (world.open_logins, world.newest_versions) == ({before}, versions), "nothing was published"
    assert world.candidate is None
