"""A PostgreSQL server as one process of its own, for tests of the adapter, and sessions of clients somewhere else.

What it begins with is made once for each version of PostgreSQL, kept with the lab's templates, and copied.
"""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from infra.credentials import Login
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database
from infra.settings import Settings
from lab.cluster.controllers.forwards import Forward, Listen
from lab.commands.tools import get_cache_dir
from lab.databases.binaries import SWITCH, Binaries, find_binaries
from testing.labs import ROOT

USER, PASSWORD = "dexter", "Admin123"
ADMIN = Login(USER, PASSWORD)
"""The superuser that initdb makes."""
AS_SERVER: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
"""Who runs PostgreSQL, which drops root."""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    port: int
    log: Path

    def database(self, name: str = "postgres", tls: Tls = Tls.DISABLE, settings: Settings | None = None) -> Database:
        return Database(Address("127.0.0.1", self.port, name, tls), settings or Settings())

    @property
    def url_of_prefect(self) -> str:
        """What a Prefect server is told, to keep its runs here."""
        return f"postgresql+asyncpg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"


@dataclass(frozen=True)
class Content:
    """What a server begins with.

    Args:
        name: tells it from others, together with the version of PostgreSQL.
        fill: makes it in an empty server.
    """

    name: str
    fill: Callable[[Server], None] | None = None


def _migrate(server: Server) -> None:
    """Make Prefect's tables."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "PREFECT_HOME": home, "PREFECT_SERVER_DATABASE_CONNECTION_URL": server.url_of_prefect}
        argv = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(argv, check=True, capture_output=True, env=env)


NOTHING = Content("empty")
PREFECT = Content(f"prefect-{version('prefect')}", _migrate)
"""The tables of Prefect's server, which needs ten CPU seconds for them in an empty database."""


@contextmanager
def running_server(
    *more_flags: str, rules: str = "", postgres: str = "", content: Content = NOTHING
) -> Iterator[Server]:
    """Run a server for a block.

    Args:
        more_flags: further arguments of `postgres`.
        rules: lines of pg_hba.conf that come before all others.
        postgres: which, as KEYTURN_LAB_POSTGRES says it; by default the one that the lab runs.
        content: what it begins with.
    """
    binaries = find_binaries({**os.environ, **({SWITCH: postgres} if postgres else {})})
    template = _find_template(binaries, content)
    with _folder() as home:
        _copy(template, home)
        rules += "host trusting all 127.0.0.1/32 trust\n" + (home / "data/pg_hba.conf").read_text()
        (home / "data/pg_hba.conf").write_text(rules)
        with _running(binaries, home, more_flags) as server:
            yield server


def _find_template(binaries: Binaries, content: Content) -> Path:
    """Return a folder with the content; make it, unless somebody has."""
    cache = get_cache_dir(ROOT / ".keyturn")
    template = cache / f"tests-{content.name}-postgres-{binaries.version}"
    if template.exists():
        return template
    with _folder() as home:
        if content.fill:
            _copy(_find_template(binaries, NOTHING), home)
            with _running(binaries, home) as server:
                content.fill(server)
        else:
            _initdb(binaries, home)
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            made = Path(draft, template.name)
            subprocess.run(["cp", "-R", "--no-preserve=mode", home / "data", made], check=True)
            with suppress(OSError):
                made.rename(template)
    return template


def _initdb(binaries: Binaries, home: Path) -> None:
    options = ["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync", "--wal-segsize=1"]
    password = home.parent / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    argv = [binaries.folder / "initdb", "-D", home / "data", *options, "--pwfile", password]
    subprocess.run(argv, check=True, capture_output=True, cwd=home, env={}, **AS_SERVER)


def _copy(template: Path, home: Path) -> None:
    subprocess.run(["cp", "-R", template, home / "data"], check=True)
    subprocess.run(["chmod", "-R", "go=", home / "data"], check=True)
    if AS_SERVER:
        subprocess.run(["chown", "-R", AS_SERVER["user"], home / "data"], check=True)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for a server and its data; its path is short, for sockets have short names."""
    folder = Path(tempfile.mkdtemp(prefix="keyturn-pg-"))
    folder.chmod(0o711)
    home = folder / "server"
    home.mkdir()
    if AS_SERVER:
        os.chown(home, *pwd.getpwnam(AS_SERVER["user"])[2:4])
    try:
        yield home
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(binaries: Binaries, home: Path, more_flags: Sequence[str] = ()) -> Iterator[Server]:
    port, path = free_port(), home.parent / "log"
    flags = ["-c", "fsync=off", "-c", f"port={port}", "-k", home, "-c", "listen_addresses=127.0.0.1", *more_flags]
    with path.open("w") as log:
        argv = [binaries.folder / "postgres", "-D", home / "data", *flags]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=home, env={}, **AS_SERVER)
    try:
        server = Server(port, path)
        server.database().wait_for(ADMIN, timeout_seconds=30)
        yield server
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def session_from(address: str, server: tuple[str, int], login: Login, application: str = "") -> Iterator[None]:
    """Keep a session for a block whose client has an address of its own on loopback.

    Args:
        address: the client's.
        server: the server's address and port.
        login: who logs in.
        application: what the client calls itself.
    """
    forward, loop = Forward(Listen(address, free_port())), asyncio.new_event_loop()
    carrying = threading.Thread(target=loop.run_forever)
    carrying.start()
    try:
        asyncio.run_coroutine_threadsafe(forward.direct([server]), loop).result(10)
        with psycopg.connect(
            host=address,
            port=forward.listen.port,
            user=login.username,
            password=login.password,
            dbname="postgres",
            application_name=application,
            autocommit=True,
        ):
            yield
    finally:
        asyncio.run_coroutine_threadsafe(forward.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        carrying.join()
        loop.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
