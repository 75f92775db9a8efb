"""Two logins that alternate, by the real flows: prepared once, rotated, rolled back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clients import CLIENT, LINGERING, READER, client_of, ready_with_alone, wait_for_sync
from reports import verdict

from flows.migrate import migrate
from infra.credentials import Login
from infra.kubernetes.holding import OBJECTS_BEFORE
from infra.kubernetes.mounted_files import differing_files
from infra.kubernetes.provider_classes import HELD_FOR, path_of
from infra.kubernetes.workloads import get_workload
from infra.postgres.database import Database
from infra.postgres.handshake import Connection
from infra.postgres.owner_role import OwnerRole, find_owner_role
from infra.targets import Strategy, Target
from testing.inventory import listed, of_target
from testing.rotating import CANDIDATE, DATABASE, TARGET, World, rotate

both_generations = pytest.mark.parametrize(
    "lab", [pytest.param("reconciler", marks=pytest.mark.slow), "republish"], indirect=True
)
"""The other tests of this file run on the reconciler."""
ALTERNATING = TARGET.model_copy(update={"strategy": Strategy.ALTERNATING})
WITH_CLIENT = ALTERNATING.model_copy(update={"consumers": (DATABASE, CLIENT)})
WITH_READER = ALTERNATING.model_copy(update={"consumers": (DATABASE, READER)})


def prepare(target: Target = ALTERNATING, dry_run: bool = False) -> str:
    state = migrate(listed(of_target(target)), dry_run, return_state=True)
    return verdict(state)


@pytest.fixture
def migrated(world: World) -> Iterator[World]:
    """A database whose logins alternate; afterwards it starts anew with one."""
    prepare()
    yield world
    assert rotate(TARGET, sync="express").name == "Rotated"


@contextmanager
def session_of(world: World, values: tuple[str, str]) -> Iterator[Connection]:
    with Database(world.endpoint, world.settings).connected(Login(*values)) as session:
        yield session


def owner_of(world: World) -> OwnerRole | None:
    values = world.values()
    with session_of(world, values) as session:
        return find_owner_role(session, values[0])


def class_of(world: World) -> dict[str, object]:
    """The class as people see it, without what every write changes."""
    found = world.cluster.get(path_of(DATABASE.namespace, DATABASE.secret_provider_class))
    annotations = set(found["metadata"].get("annotations") or {})
    return {"spec": found["spec"], "held": annotations & {HELD_FOR, OBJECTS_BEFORE}}


@contextmanager
def never_refused(world: World, values: tuple[str, str]) -> Iterator[None]:
    """Log in again and again while the block runs; each login must work."""
    stop, tried, refused = threading.Event(), [], []

    def try_often() -> None:
        while not stop.wait(0.02):
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
    if owner_of(world) is not None:
        assert rotate(TARGET, sync="express").name == "Rotated"
    refused = rotate(ALTERNATING)
    assert (refused.name, refused.error and refused.error.code) == ("Refused", "NotMigrated")
    before, database = world.values(), world.pods()
    assert prepare(dry_run=True) == "planned"
    assert owner_of(world) is None
    assert prepare() == "migrated"
    assert prepare() == "unchanged"
    assert world.values() == before
    with session_of(world, before) as session, client_of(world) as client:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        clients = client.uids()
        ended = rotate(WITH_CLIENT, sync="wait", data_loss="no")
        assert (ended.name, ended.error) == ("Rotated", None)
        assert client.uids() != clients
        assert client.environment() == world.values()
        assert session.execute("SELECT answer FROM kept").fetchall() == [(42,)], "open sessions continue"
    second = world.values()
    assert second[0] != before[0]
    assert not world.logs_in(before)
    assert rotate(ALTERNATING, sync="express").name == "Rotated"
    third = world.values()
    assert third[0] == before[0], "it is the first login's turn again"
    assert third[1] != before[1]
    assert not world.logs_in(second)
    owner = owner_of(world)
    assert owner is not None
    assert set(owner.logins) == {before[0], second[0]}
    with session_of(world, third) as session:
        owned = session.execute("SELECT tableowner::text FROM pg_tables WHERE tablename = 'kept'").fetchall()
        assert owned == [(owner.name,)]
    assert world.pods() == database, "the database was not restarted"
    wait_for_sync(world, DATABASE)
    world.assert_well()
    assert class_of(world)["held"] == set()
    assert rotate(TARGET, sync="express").name == "Rotated"


def test_the_previous_login_works_until_everybody_has_the_new_one(migrated: World) -> None:
    world, before = migrated, migrated.values()
    with client_of(world) as client:
        clients = client.uids()
        ended = rotate(WITH_READER, sync="express", data_loss="no")
        assert ended.name == "Rotated", ended.message
        assert client.uids() == clients, "a client that re-reads its files is not restarted"
        files = dict(zip(("/credential/username", "/credential/password"), world.values(), strict=True))
        (pod,) = get_workload(world.cluster, CLIENT.namespace, CLIENT.workload).pods
        assert differing_files(world.cluster, CLIENT.namespace, pod.name, files) == []
    assert not world.logs_in(before)


def test_the_previous_login_works_until_the_replaced_pods_have_ended(migrated: World) -> None:
    world, before = migrated, migrated.values()
    stop, refused_while_there = threading.Event(), []

    def watch(old: str) -> None:
        while not stop.wait(0.02) and world.logs_in(before):
            pass
        pods = get_workload(world.cluster, CLIENT.namespace, CLIENT.workload).pods
        refused_while_there.extend(pod.name for pod in pods if pod.uid == old)

    with client_of(world, command=LINGERING, grace_seconds=4) as client:
        thread = threading.Thread(target=watch, args=client.uids())
        thread.start()
        try:
            assert rotate(WITH_CLIENT, sync="express", data_loss="no").name == "Rotated"
        finally:
            stop.set()
            thread.join()
    assert refused_while_there == []
    assert not world.logs_in(before)


def test_a_client_that_cannot_work_with_the_new_login_brings_the_previous_one_back(migrated: World) -> None:
    world, before, spec = migrated, migrated.values(), class_of(migrated)
    with client_of(world, ready_with_alone(before[1])) as client, never_refused(world, before):
        ended = rotate(WITH_CLIENT, sync="express", ready_timeout_seconds=8)
        assert ended.name == "RolledBack", ended.message
        assert world.values() == before
        assert client.environment() == before
    assert world.vault.find_latest(CANDIDATE) is None
    assert class_of(world) == spec
    owner = owner_of(world)
    assert owner is not None
    with session_of(world, before) as session:
        enabled = session.execute("SELECT rolname::text FROM pg_roles WHERE rolcanlogin ORDER BY 1").fetchall()
    assert enabled == [(before[0],)], "the failed login is disabled"
