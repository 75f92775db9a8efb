"""PostgreSQL servers of the lab: the system's and the wheel's, with and without namespaces."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from postgres_server import PostgresServer
from psycopg import sql

from lab.control.network import reserve
from lab.databases.binaries import find_binaries
from lab.databases.postgres import Postgres
from lab.errors import NotFound, ServiceFailed
from lab.sandbox.sandboxes import Isolation, Sandboxes
from testing.labs import ROOT, make_state_folder

HARD = "a'b\"c$\\x`; --"


@pytest.fixture
def address() -> Iterator[str]:
    with reserve() as network:
        yield network.address("220.1")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that temporary files of this test go to, and those of no other test or lab."""
    folder = make_state_folder()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    folder.rmdir()


@pytest.fixture(params=["system", "wheel", "mapped"])
async def postgres(request: pytest.FixtureRequest, postgres_cache: Path, tmp_path: Path) -> Postgres:
    switch = {} if request.param == "system" else {"KEYTURN_LAB_POSTGRES": "wheel"}
    sandboxes = await Sandboxes.detect()
    cache = postgres_cache
    if request.param == "mapped":
        sandboxes, switch = Sandboxes(Isolation.MAPPED), {}
    try:
        return await Postgres.prepare(sandboxes, cache, dict(os.environ) | switch)
    except (NotFound, ServiceFailed) as error:
        pytest.skip(str(error))


@pytest.fixture
async def server(postgres: Postgres, tmp_path: Path, address: str) -> AsyncIterator[PostgresServer]:
    started = await PostgresServer.start(
        postgres,
        tmp_path / "server",
        address=address,
        port=5432,
        user="dex'\"ter",
        password=HARD,
        log_file=tmp_path / "postgres.log",
    )
    yield started
    await started.stop()


async def login(address: str, user: str, password: str, database: str = "postgres") -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(
        host=address, port=5432, user=user, password=password, dbname=database, connect_timeout=5
    )


async def test_the_user_and_password_asked_for_log_in_and_no_other(server: PostgresServer, address: str) -> None:
    async with await login(address, "dex'\"ter", HARD) as connection:
        row = await (
            await connection.execute("select current_user, usesuper from pg_user where usename = current_user")
        ).fetchone()
        assert row == ("dex'\"ter", True)
    for user, password in (("dex'\"ter", "wrong"), ("postgres", HARD)):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await login(address, user, password)


async def test_databases_look_as_in_the_image(server: PostgresServer, address: str) -> None:
    async with await login(address, "dex'\"ter", HARD) as connection:
        columns = "datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate"
        query = sql.SQL("select {} from pg_database order by 1").format(sql.SQL(columns))
        rows = await (await connection.execute(query)).fetchall()
    collations = {row[3] for row in rows}
    assert [row[:3] for row in rows] == [(name, "dex'\"ter", "UTF8") for name in ("postgres", "template0", "template1")]
    assert collations in ({"en_US.utf8"}, {"C.UTF-8"})


async def test_no_password_is_in_the_log(server: PostgresServer, address: str, tmp_path: Path) -> None:
    async with await login(address, "dex'\"ter", HARD) as connection:
        statement = sql.SQL("alter role nobody password {}").format("never-logged")
        with pytest.raises(psycopg.errors.UndefinedObject):
            await connection.execute(statement)
    text = (tmp_path / "postgres.log").read_text()
    assert 'role "nobody" does not exist' in text
    assert HARD not in text
    assert "never-logged" not in text


async def test_sql_runs_as_the_superuser_without_a_password(server: PostgresServer) -> None:
    assert await server.execute("create role x; select rolname from pg_roles where rolname = 'x'") == "x\n"
    with pytest.raises(ServiceFailed):
        await server.execute("select 1 from nowhere")


async def test_nothing_is_left_when_it_is_stopped(
    postgres: Postgres, tmp_path: Path, temporary: Path, address: str
) -> None:
    started = await PostgresServer.start(
        postgres,
        tmp_path / "server",
        address=address,
        port=5432,
        user="dexter",
        password="Admin123",
        log_file=tmp_path / "postgres.log",
    )
    assert started.running
    assert bool(list(temporary.iterdir())) == (postgres.sandboxes.isolation is Isolation.MAPPED)
    await started.stop()
    assert not (tmp_path / "server").exists()
    assert not list(temporary.iterdir())
    assert servers_at(address) == []


async def test_everything_dies_with_the_daemon(
    postgres: Postgres, postgres_cache: Path, tmp_path: Path, temporary: Path, address: str
) -> None:
    isolation = postgres.sandboxes.isolation.value
    wheel = "wheel" if postgres.binaries.package else ""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "KEYTURN_LAB_SANDBOX": isolation,
        "KEYTURN_LAB_POSTGRES": wheel,
    }
    program = str(Path(__file__).with_name("postgres_daemon.py"))
    argv = [sys.executable, program, str(postgres_cache), str(tmp_path), address]
    daemon = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=asyncio.subprocess.PIPE)
    assert daemon.stdout is not None
    async with asyncio.timeout(30):
        assert await daemon.stdout.readline() == b"started\n"
    assert servers_at(address)
    daemon.send_signal(signal.SIGKILL)
    await daemon.communicate()
    async with asyncio.timeout(10):
        while servers_at(address) or list(temporary.iterdir()):
            await asyncio.sleep(0.02)


def servers_at(address: str) -> list[str]:
    """Processes that were told to listen on an address."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"listen_addresses={address}".encode() in words:
            found.append(folder.name)
    return found


def test_a_machine_without_postgresql_says_where_it_looked() -> None:
    with pytest.raises(NotFound, match="/nowhere"):
        find_binaries({"KEYTURN_LAB_POSTGRES": "/nowhere"})
