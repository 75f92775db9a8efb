"""The rotation of the walkthrough, on both generations of the CSI driver."""

import threading

import pytest

from infra.errors import Code, NotFound, Refused
from infra.kubernetes.leases import Holder, Lock
from infra.rotation.execution import Verdict
from infra.rotation.observation import ROTATION_ID
from tasks.rotation.lock import lease_name
from testing.inventory import listed
from testing.rotating import NAMESPACE, World, ended, fault, generations_and_syncs, rotate, rotate_by_prefect
from testing.walkthrough import DEXTER

both_generations = generations_and_syncs(("reconciler", "express"), ("republish", "wait"))


@both_generations
def test_a_rotation_proves_the_new_login_and_retires_the_previous_one(world: World, sync: str) -> None:
    before, pods = world.values(), world.pods()
    rotated = rotate_by_prefect(sync=sync)
    assert (rotated.verdict, rotated.error) == (Verdict.ROTATED, None)
    world.assert_well()
    after = world.values()
    assert after[0] != before[0]
    assert len(after[1]) == 32
    assert not world.logs_in(before)
    assert world.pods() != pods


def test_by_default_the_plan_is_shown_and_nothing_changes(world: World) -> None:
    from flows.rotate import rotate as flow

    before = world.snapshot()
    refused = ended(flow(listed(DEXTER), return_state=True))
    assert (refused.verdict, refused.code) == (Verdict.REFUSED, "ConsentMissing")
    assert type(refused.error) is Refused
    assert "would be refused" in refused.message, "the default has no consent to data loss"
    planned = rotate_by_prefect(dry_run=True)
    assert (planned.verdict, planned.error) == (Verdict.PLANNED, None)
    assert "scale deployment dexter/postgres-pod-kv to 0" in planned.message
    assert world.snapshot() == before


@pytest.mark.usefixtures("prefect_api")
def test_a_credential_that_the_inventory_does_not_have_is_named_with_those_that_it_has() -> None:
    from flows.rotate import rotate as flow

    state = flow("nosuch-db", return_state=True)
    error = state.result(raise_on_failure=False)
    assert state.name == "Failed"
    assert type(error) is NotFound
    assert error.name == "nosuch-db"
    assert all(name in error.seen for name in ("dexter", "dexter-server"))


def test_the_id_of_a_rotation_that_ended_does_nothing_and_a_mistyped_one_is_refused(world: World) -> None:
    assert rotate(sync="express").verdict is Verdict.ROTATED
    before, rotation_id = world.snapshot(), world.vault.get_latest(DEXTER.secrets.names[-1]).tags[ROTATION_ID]
    assert rotate(sync="express", rotation_id=rotation_id).verdict is Verdict.NOTHING_TO_DO
    mistyped = rotate(sync="express", rotation_id=f"{rotation_id[:-1]}-")
    assert (mistyped.verdict, mistyped.code) == (Verdict.REFUSED, Code.UNKNOWN_ROTATION)
    assert world.snapshot() == before


def test_a_given_username_is_taken(world: World) -> None:
    assert rotate(sync="express", new_username="therema").verdict is Verdict.ROTATED
    assert world.values()[0] == "therema"
    world.assert_well()


def test_a_second_rotation_is_refused_while_one_is_running(world: World) -> None:
    before = world.snapshot()
    name, elsewhere = lease_name(DEXTER), Holder("r0", "another-machine", "1.1", "elsewhere")
    lock = Lock(world.cluster, NAMESPACE, name, elsewhere, duration_seconds=3)
    lock.acquire()
    stopped = threading.Event()
    renewal = threading.Thread(target=lock.keep, args=(stopped,))
    renewal.start()
    try:
        refused = rotate(sync="express")
    finally:
        stopped.set()
        renewal.join()
        lock.release()
    assert refused.verdict is Verdict.REFUSED
    assert refused.error is not None
    assert refused.error.code == "Locked"
    assert "elsewhere" in refused.error.seen
    assert world.snapshot() == before


@pytest.mark.slow
def test_pods_that_do_not_start_bring_the_previous_login_back(world: World) -> None:
    before = world.values()
    with fault(world.lab, "pods-not-starting"):
        stuck = rotate(sync="express", ready_timeout_seconds=2)
    assert stuck.verdict is Verdict.NEEDS_OPERATOR, "the pods with the previous values do not start either"
    assert stuck.error is not None
    assert "Nothing was deleted" in stuck.error.fix
    assert "resumes here" in stuck.error.fix
    assert rotate(sync="express").verdict is Verdict.ROLLED_BACK
    assert world.values() == before
    assert world.logs_in(before)
    assert rotate(sync="express").verdict is Verdict.ROTATED
    world.assert_well()
