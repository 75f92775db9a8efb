"""The rotation of the walkthrough, on both generations of the CSI driver."""

import threading

from infra.kubernetes.leases import Holder, Lock
from tasks.locking import lease_name
from testing.rotating import TARGET, World, fault, generations_and_syncs, options_with, rotate, rotate_by_prefect

both_generations = generations_and_syncs(("reconciler", "express"), ("republish", "wait"))


@both_generations
def test_a_rotation_proves_the_new_login_and_retires_the_old(world: World, sync: str) -> None:
    before, pods = world.values(), world.pods()
    ended = rotate_by_prefect(sync=sync)
    assert (ended.name, ended.error) == ("Rotated", None)
    world.assert_well()
    after = world.values()
    assert after[0] != before[0]
    assert len(after[1]) == 32
    assert not world.logs_in(before)
    assert world.pods() != pods


def test_the_plan_alone_changes_nothing_and_is_what_quick_run_does(world: World) -> None:
    from flows.rotate import rotate as flow

    before = world.snapshot()
    state = flow(return_state=True)
    assert state.name == "Planned"
    assert "would be refused" in (state.message or ""), "the default has no consent to data loss"
    state = flow(TARGET, options_with(dry_run=True), return_state=True)
    assert state.name == "Planned"
    assert "scale dexter/postgres-pod-kv to 0" in (state.message or "")
    assert world.snapshot() == before


def test_the_same_rotation_id_again_does_nothing(world: World) -> None:
    assert rotate(sync="express", rotation_id="same-again").name == "Rotated"
    before = world.snapshot()
    assert rotate(sync="express", rotation_id="same-again").name == "NothingToDo"
    assert world.snapshot() == before


def test_a_given_username_is_respected(world: World) -> None:
    assert rotate(sync="express", new_username="therema").name == "Rotated"
    assert world.values()[0] == "therema"
    world.assert_well()


def test_a_second_rotation_is_refused_while_one_is_under_way(world: World) -> None:
    before = world.snapshot()
    name, elsewhere = lease_name(TARGET), Holder("r0", "another-machine", "1.1", "elsewhere")
    lock = Lock(world.cluster, TARGET.namespace, name, elsewhere, duration_seconds=3)
    lock.acquire()
    stopped = threading.Event()
    keeper = threading.Thread(target=lock.keep, args=(stopped,))
    keeper.start()
    try:
        ended = rotate(sync="express")
    finally:
        stopped.set()
        keeper.join()
        lock.release()
    assert ended.name == "Refused"
    assert ended.error is not None
    assert ended.error.code == "Locked"
    assert "elsewhere" in ended.error.seen
    assert world.snapshot() == before


def test_pods_that_do_not_start_bring_the_old_login_back(world: World) -> None:
    before = world.values()
    with fault(world.lab, "pods-not-starting"):
        stuck = rotate(sync="express", ready_timeout_seconds=2)
    assert stuck.name == "NeedsOperator", "the old pods do not start either"
    assert stuck.error is not None
    assert "Nothing was deleted" in stuck.error.fix
    assert "goes on from here" in stuck.error.fix
    ended = rotate(sync="express")
    assert ended.name == "RolledBack"
    assert world.values() == before
    assert world.logs_in(before)
    assert rotate(sync="express").name == "Rotated"
    world.assert_well()
