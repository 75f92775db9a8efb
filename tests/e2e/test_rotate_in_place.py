"""The rotation in place: the login gets a new password inside the running database, and its clients restart."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clients import (
    IN_PLACE,
    WITH_CLIENT,
    WITH_READER,
    Client,
    client_of,
    ready_with_alone,
    wait_for_sync,
)
from killing import kill

from infra.errors import Conflict, DatabaseUnreachable, Refused
from infra.kubernetes.workloads import wait_for_pods_gone, wait_for_ready
from infra.postgres.connection import connected
from infra.targets import Strategy
from testing.rotating import CANDIDATE, DATABASE, World, fault, generations_and_syncs, rotate

both_generations = generations_and_syncs(("reconciler", "wait"), ("republish", "express"))


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with client_of(world) as running:
        yield running


@contextmanager
def data(world: World) -> Iterator[None]:
    """A table that must outlive the block, and an open session that must as well."""
    with connected(world.endpoint, *world.values(), world.settings) as session:
        session.execute("DROP TABLE IF EXISTS kept")
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        yield
        assert session.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    with connected(world.endpoint, *world.values(), world.settings) as session:
        session.execute("DROP TABLE kept")


def assert_well(world: World) -> None:
    wait_for_sync(world, DATABASE)
    world.assert_well()


@both_generations
def test_the_password_changes_and_the_username_the_data_and_the_database_stay(
    world: World, client: Client, sync: str
) -> None:
    before, database, clients = world.values(), world.pods(), client.uids()
    with data(world):
        ended = rotate(WITH_CLIENT, sync=sync, data_loss="no")
        assert (ended.name, ended.error) == ("Rotated", None)
    after = world.values()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert not world.logs_in(before)
    assert world.pods() == database, "the database was not restarted"
    assert client.uids() != clients
    assert client.environment() == after
    assert_well(world)


def test_a_database_that_begins_anew_after_an_express_takes_the_new_password(world: World) -> None:
    with fault(world.lab, "sync-paused"):
        assert rotate(IN_PLACE, sync="express").name == "Rotated"
        world.scale(0)
        wait_for_pods_gone(world.cluster, DATABASE.namespace, DATABASE.workload, 40)
    world.scale(1)
    wait_for_ready(world.cluster, DATABASE.namespace, DATABASE.workload, 40)
    assert_well(world)


def test_a_client_that_reads_its_files_again_is_not_restarted(world: World) -> None:
    with client_of(world) as client:
        clients = client.uids()
        assert rotate(WITH_READER, sync="wait").name == "Rotated"
        assert client.uids() == clients
        assert_well(world)


def test_recreate_restarts_the_clients_after_the_database(world: World, client: Client) -> None:
    database, clients = world.pods(), client.uids()
    target = WITH_CLIENT.model_copy(update={"strategy": Strategy.RECREATE})
    assert rotate(target, sync="express").name == "Rotated"
    assert world.pods() != database
    assert client.uids() != clients
    assert client.environment() == world.values()
    world.assert_well()


def test_a_client_that_cannot_live_with_the_new_password_brings_the_old_one_back(world: World) -> None:
    before = world.values()
    with client_of(world, ready_with_alone(before[1])) as client, data(world):
        ended = rotate(WITH_CLIENT, sync="express", ready_timeout_seconds=10)
        assert ended.name == "RolledBack", ended.message
        assert world.values() == before
        assert world.logs_in(before)
        assert client.environment() == before
        assert world.vault.find_latest(CANDIDATE) is None
    assert rotate(IN_PLACE, sync="express").name == "Rotated"
    assert not world.logs_in(before)
    assert_well(world)


def test_a_sync_that_never_comes_rolls_back_since_the_database_does_not_take_what_is_published(world: World) -> None:
    before = world.values()
    with fault(world.lab, "sync-paused"):
        ended = rotate(IN_PLACE, sync="wait", sync_timeout_seconds=1)
    assert ended.name == "RolledBack", ended.message
    assert ended.error is not None
    assert "new versions" in ended.error.seen
    assert world.values() == before
    assert world.logs_in(before)
    assert rotate(IN_PLACE, sync="express").name == "Rotated"
    assert_well(world)


def test_a_given_username_is_refused_and_nothing_changes(world: World) -> None:
    before = world.snapshot()
    ended = rotate(IN_PLACE, sync="express", new_username="therema")
    assert ended.name == "Refused"
    assert type(ended.error) is Refused
    assert ended.error.code == "UsernameStays"
    assert world.snapshot() == before


def test_a_database_that_does_not_answer_is_refused(world: World) -> None:
    before = world.versions()
    with fault(world.lab, "database-down"):
        ended = rotate(IN_PLACE, sync="express")
    assert ended.name == "Refused"
    assert type(ended.error) is DatabaseUnreachable
    assert world.versions() == before


@pytest.mark.slow
def test_a_password_that_somebody_writes_meanwhile_stays(world: World) -> None:
    before = world.values()
    kill("after", "2", IN_PLACE)
    theirs = world.vault.write("password", before[1], {})
    ended = rotate(IN_PLACE, sync="express")
    assert ended.name == "NeedsOperator"
    assert type(ended.error) is Conflict
    assert theirs.version in ended.error.seen
    assert world.vault.get_latest("password").version == theirs.version
    world.vault.delete(CANDIDATE)
    assert rotate(IN_PLACE, sync="express").name == "Rotated"
    assert_well(world)


@pytest.mark.slow
@pytest.mark.parametrize("nth", range(1, 11))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_killed_around_a_write_is_finished_by_the_next_run(
    world: World, client: Client, when: str, nth: int
) -> None:
    before = world.values()
    with data(world):
        said = kill(when, str(nth), WITH_CLIENT)
        assert any(map(world.logs_in, {before, world.values()})), said
        ended = rotate(WITH_CLIENT, sync="express")
        assert ended.name == "Rotated", (said, ended.message)
    assert world.values()[0] == before[0]
    assert not world.logs_in(before)
    assert client.environment() == world.values()
    assert_well(world)
