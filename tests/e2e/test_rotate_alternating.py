"""Two logins that alternate, by the real flows: prepared once, rotated, rolled back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from clients import CLIENT, LINGERING, READER, ready_only_with, running_client, wait_for_sync
from reports import verdict

from flows.migrate import migrate
from infra.credentials import UNTIL_NEXT_ROTATION, Strategy
from infra.errors import Code
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR, UNPINNED_OBJECTS, path_of
from infra.kubernetes.pods import find_differing_files
from infra.postgres.owner_role import OwnerRole, find_owner_role
from infra.rotation.execution import Verdict
from infra.rotation.observation import GRACE_UNTIL, ROTATION_ID
from infra.rotation.options import Guards
from testing import bare
from testing.inventory import listed
from testing.rotating import CANDIDATE, NAMESPACE, Pair, World, options_with, rotate
from testing.walkthrough import DATABASE, DEXTER, change

both_generations = pytest.mark.parametrize(
    "lab", [pytest.param("reconciler", marks=pytest.mark.slow), "republish"], indirect=True
)
"""The other tests of this file run on the reconciler."""
LOOK_SECONDS = 0.1
"""How often a login is tried: more often it would take a core of its own."""
ALTERNATING = change(DEXTER, strategy=Strategy.ALTERNATING)
WITH_CLIENT = change(ALTERNATING, consumers=(DATABASE, CLIENT))
WITH_READER = change(ALTERNATING, consumers=(DATABASE, READER))


def prepare(dry_run: bool = False) -> str:
    """Run the flow `migrate` without Prefect's engine and return its verdict."""
    return verdict(bare.run(migrate, listed(ALTERNATING), dry_run=dry_run))


def prepare_by_prefect() -> str:
    return verdict(migrate(listed(ALTERNATING), dry_run=False, return_state=True))


@pytest.fixture
def migrated(world: World) -> Iterator[World]:
    """A database whose logins alternate; afterwards it starts empty with one login."""
    bare.make_owner_role(ALTERNATING)
    yield world
    assert rotate(sync="express").verdict is Verdict.ROTATED


def find_owner(world: World) -> OwnerRole | None:
    with world.session() as session:
        return find_owner_role(session, world.values()[0])


def class_of(world: World) -> dict[str, object]:
    """The SecretProviderClass as people see it, without what every write changes."""
    found = world.cluster.get(path_of(NAMESPACE, DATABASE.delivery.secret_provider_class))
    annotations = set(found["metadata"].get("annotations") or {})
    return {"spec": found["spec"], "pinned": annotations & {PINNED_FOR, UNPINNED_OBJECTS}}


@contextmanager
def never_refused(world: World, values: Pair) -> Iterator[None]:
    """Log in again and again while the block runs; each login must work."""
    stop, tried, refused = threading.Event(), [], []

    def try_often() -> None:
        while not stop.wait(LOOK_SECONDS):
            tried.append(time.monotonic())
            if not world.logs_in(values):
                refused.append(time.monotonic())

    thread = threading.Thread(target=try_often)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert len(tried) > 1
    assert not refused


@both_generations
def test_a_database_is_prepared_once_and_two_logins_alternate_in_it(world: World) -> None:
    if find_owner(world) is not None:
        assert rotate(sync="express").verdict is Verdict.ROTATED
    refused = rotate(ALTERNATING)
    assert (refused.verdict, refused.error and refused.error.code) == (Verdict.REFUSED, "NotMigrated")
    before, database = world.values(), world.pods()
    assert prepare(dry_run=True) == "planned"
    assert find_owner(world) is None
    assert prepare_by_prefect() == "migrated"
    assert prepare() == "unchanged"
    assert world.values() == before
    with world.session(before) as session, running_client(world) as client:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        clients = client.uids()
        ended = rotate(WITH_CLIENT, sync="wait", data_loss="no")
        assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
        assert client.uids() != clients
        assert client.environment() == world.values()
        assert session.execute("SELECT answer FROM kept").fetchall() == [(42,)], "open sessions continue"
    second = world.values()
    assert second[0] != before[0]
    assert not world.logs_in(before)
    assert rotate(ALTERNATING, sync="express").verdict is Verdict.ROTATED
    third = world.values()
    assert third[0] == before[0], "it is the first login's turn again"
    assert third[1] != before[1]
    assert not world.logs_in(second)
    owner = find_owner(world)
    assert owner is not None
    assert set(owner.logins) == {before[0], second[0]}
    with world.session(third) as session:
        owned = session.execute("SELECT tableowner::text FROM pg_tables WHERE tablename = 'kept'").fetchall()
        assert owned == [(owner.name,)]
    assert world.pods() == database, "the database was not restarted"
    wait_for_sync(world, DATABASE)
    world.assert_well()
    assert class_of(world)["pinned"] == set()
    assert rotate(sync="express").verdict is Verdict.ROTATED


def test_the_previous_login_works_until_everybody_has_the_new_one(migrated: World) -> None:
    world, before = migrated, migrated.values()
    with running_client(world, has_environment=False) as client:
        clients = client.uids()
        ended = rotate(WITH_READER, sync="express", data_loss="no")
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert client.uids() == clients, "a client that re-reads its files is not restarted"
        files = dict(zip(("/credential/username", "/credential/password"), world.values(), strict=True))
        (pod,) = client.workload.get().pods
        assert find_differing_files(world.cluster, NAMESPACE, pod.name, files) == []
    assert not world.logs_in(before)


def test_the_previous_login_works_until_the_replaced_pods_have_ended(migrated: World) -> None:
    world, before = migrated, migrated.values()
    stop, refused_while_there = threading.Event(), []

    with running_client(world, command=LINGERING, grace_seconds=4) as client:
        (old,) = client.uids()

        def watch() -> None:
            while not stop.wait(LOOK_SECONDS) and world.logs_in(before):
                pass
            refused_while_there.extend(pod.name for pod in client.workload.get().pods if pod.uid == old)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            assert rotate(WITH_CLIENT, sync="express", data_loss="no").verdict is Verdict.ROTATED
        finally:
            stop.set()
            thread.join()
    assert refused_while_there == []
    assert not world.logs_in(before)


def test_a_client_that_does_not_work_with_the_new_login_brings_the_previous_one_back(migrated: World) -> None:
    world, before, spec = migrated, migrated.values(), class_of(migrated)
    with running_client(world, ready_only_with(before[1])) as client, never_refused(world, before):
        ended = rotate(WITH_CLIENT, sync="express", ready_timeout_seconds=8)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert world.values() == before
        assert client.environment() == before
    assert world.vault.find_latest(CANDIDATE) is None
    assert class_of(world) == spec
    assert find_owner(world) is not None
    with world.session(before) as session:
        enabled = session.execute("SELECT rolname::text FROM pg_roles WHERE rolcanlogin ORDER BY 1").fetchall()
    assert enabled == [(before[0],)], "the failed login is disabled"


@pytest.mark.slow
def test_a_grace_leaves_the_previous_login_working_until_it_is_over(migrated: World) -> None:
    world = migrated
    graceful = change(WITH_CLIENT, grace="1h")
    first = world.values()
    with running_client(world) as client:
        ended = rotate(graceful, sync="express")
        assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
        assert "the previous one works on for its grace" in ended.message
        second = world.values()
        assert client.environment() == second
        assert world.logs_in(first)
        assert world.logs_in(second)
        rotation_id = world.vault.get_latest(CANDIDATE).tags[ROTATION_ID]
        assert rotate(graceful, sync="express", rotation_id=rotation_id).verdict is Verdict.NOTHING_TO_DO
        early = rotate(graceful, sync="express")
        assert (early.verdict, early.code) == (Verdict.REFUSED, Code.GRACE)
        assert (world.values(), world.logs_in(first)) == (second, True), "nothing has changed"
        candidate = world.vault.get_latest(CANDIDATE)
        over = {**candidate.tags, GRACE_UNTIL: (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}
        world.vault.set_tags(CANDIDATE, candidate.version, over)
        young = bare.run_rotation(listed(graceful), options_with(sync="express"), Guards(minimum_age_hours=1000))
        assert (young.verdict, young.error) == (Verdict.ROTATED, None), "a run that may not rotate finishes the grace"
        assert not world.logs_in(first)
        assert world.logs_in(second)
        assert client.environment() == second
        assert world.vault.find_latest(CANDIDATE) is None
        assert rotate(change(WITH_CLIENT, grace=UNTIL_NEXT_ROTATION), sync="express").verdict is Verdict.ROTATED
        assert world.logs_in(second), "it works until the next rotation"
        assert rotate(graceful, sync="express", no_grace=True).verdict is Verdict.ROTATED
        assert not world.logs_in(second)
        assert world.vault.find_latest(CANDIDATE) is None
