"""The rotation in place: the login gets a new password inside the running database, and its clients restart."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clients import IN_PLACE, WITH_CLIENT, WITH_READER, Client, ready_only_with, running_client, wait_for_sync
from killing import kill

from infra.credentials import Strategy
from infra.errors import Conflict, DatabaseUnreachable, Refused
from infra.rotation.execution import Verdict
from testing.rotating import CANDIDATE, World, fault, generations_and_syncs, rotate
from testing.walkthrough import DATABASE, change

both_generations = generations_and_syncs(("reconciler", "wait"))


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with running_client(world) as running:
        yield running


@contextmanager
def data_kept(world: World) -> Iterator[None]:
    """Make a table that must outlive the block, as must the session that made it."""
    with world.session() as session:
        session.execute("DROP TABLE IF EXISTS kept")
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        yield
        assert session.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    with world.session() as session:
        session.execute("DROP TABLE kept")


def assert_well(world: World) -> None:
    wait_for_sync(world, DATABASE)
    world.assert_well()


@both_generations
def test_the_password_changes_and_the_username_the_data_and_the_database_stay(
    world: World, client: Client, sync: str
) -> None:
    before, database, clients = world.values(), world.pods(), client.uids()
    with data_kept(world):
        ended = rotate(WITH_CLIENT, sync=sync, data_loss="no")
        assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    after = world.values()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert not world.logs_in(before)
    assert world.pods() == database, "the database was not restarted"
    assert client.uids() != clients
    assert client.environment() == after
    assert_well(world)


def test_a_database_that_starts_empty_after_an_express_rotation_has_the_new_password(world: World) -> None:
    with fault(world.lab, "sync-paused"):
        assert rotate(IN_PLACE, sync="express").verdict is Verdict.ROTATED
        world.scale(0)
        world.workload.wait_for_pods_gone(40)
    world.scale(1)
    world.workload.wait_for_ready(40)
    assert_well(world)


def test_a_client_that_re_reads_its_files_is_not_restarted(world: World) -> None:
    with running_client(world, has_environment=False) as client:
        clients = client.uids()
        assert rotate(WITH_READER, sync="wait").verdict is Verdict.ROTATED
        assert client.uids() == clients
        assert_well(world)


def test_recreate_restarts_the_clients_after_the_database(world: World, client: Client) -> None:
    database, clients = world.pods(), client.uids()
    recreated = change(WITH_CLIENT, strategy=Strategy.RECREATE)
    assert rotate(recreated, sync="express").verdict is Verdict.ROTATED
    assert world.pods() != database
    assert client.uids() != clients
    assert client.environment() == world.values()
    world.assert_well()


@pytest.mark.slow
def test_a_client_that_does_not_work_with_the_new_password_brings_the_previous_one_back(world: World) -> None:
    before = world.values()
    with running_client(world, ready_only_with(before[1])) as client, data_kept(world):
        ended = rotate(WITH_CLIENT, sync="express", ready_timeout_seconds=10)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert world.values() == before
        assert world.logs_in(before)
        assert client.environment() == before
        assert world.vault.find_latest(CANDIDATE) is None
    assert rotate(IN_PLACE, sync="express").verdict is Verdict.ROTATED
    assert not world.logs_in(before)
    assert_well(world)


def test_a_sync_that_times_out_rolls_back_since_the_database_refuses_what_is_published(world: World) -> None:
    before = world.values()
    with fault(world.lab, "sync-paused"):
        ended = rotate(IN_PLACE, sync="wait", sync_timeout_seconds=1)
    assert ended.verdict is Verdict.ROLLED_BACK, ended.message
    assert ended.error is not None
    assert ended.error.cause is not None
    assert "new versions" in ended.error.cause.seen
    assert world.values() == before
    assert world.logs_in(before)
    assert rotate(IN_PLACE, sync="express").verdict is Verdict.ROTATED
    assert_well(world)


def test_a_given_username_is_refused_and_nothing_changes(world: World) -> None:
    before = world.snapshot()
    ended = rotate(IN_PLACE, sync="express", new_username="therema")
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is Refused
    assert ended.error.code == "UsernameStays"
    assert world.snapshot() == before


def test_a_database_that_does_not_answer_is_refused(world: World) -> None:
    before = world.versions()
    with fault(world.lab, "database-down"):
        ended = rotate(IN_PLACE, sync="express")
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is DatabaseUnreachable
    assert world.versions() == before


@pytest.mark.slow
def test_a_foreign_version_of_the_password_stays(world: World) -> None:
    before = world.values()
    assert kill("after", "write password", IN_PLACE) == "killed after write password"
    theirs = world.vault.write("password", before[1], {})
    ended = rotate(IN_PLACE, sync="express")
    assert ended.verdict is Verdict.NEEDS_OPERATOR
    assert type(ended.error) is Conflict
    assert theirs.version in ended.error.seen
    assert world.vault.get_latest("password").version == theirs.version
    world.vault.delete(CANDIDATE)
    assert rotate(IN_PLACE, sync="express").verdict is Verdict.ROTATED
    assert_well(world)


@pytest.mark.slow
@pytest.mark.parametrize("nth", range(1, 11))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_killed_around_a_write_is_finished_by_the_next_run(
    world: World, client: Client, when: str, nth: int
) -> None:
    before = world.values()
    with data_kept(world):
        said = kill(when, str(nth), WITH_CLIENT)
        assert any(map(world.logs_in, {before, world.values()})), said
        ended = rotate(WITH_CLIENT, sync="express")
        assert ended.verdict is Verdict.ROTATED, (said, ended.message)
    assert world.values()[0] == before[0]
    assert not world.logs_in(before)
    assert client.environment() == world.values()
    assert_well(world)
