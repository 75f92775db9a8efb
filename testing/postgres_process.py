"""A PostgreSQL server as one process of its own, for tests of the adapter, and sessions of clients somewhere else."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from infra.credentials import Login
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database
from infra.settings import Settings
from lab.cluster.controllers.forwards import Forward, Listen
from lab.databases.binaries import SWITCH, find_binaries

USER, PASSWORD = "dexter", "Admin123"
ADMIN = Login(USER, PASSWORD)
"""The superuser that initdb makes."""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    port: int
    log: Path

    def database(self, name: str = "postgres", tls: Tls = Tls.DISABLE, settings: Settings | None = None) -> Database:
        return Database(Address("127.0.0.1", self.port, name, tls), settings or Settings())


@contextmanager
def running_server(*more_flags: str, rules: str = "", postgres: str = "") -> Iterator[Server]:
    """Run a server for a block.

    Args:
        more_flags: further arguments of `postgres`.
        rules: lines of pg_hba.conf that come before all others.
        postgres: which, as KEYTURN_LAB_POSTGRES says it; by default the one that the lab runs.
    """
    folder = Path(tempfile.mkdtemp(prefix="keyturn-pg-"))
    folder.chmod(0o711)
    home = folder / "server"
    home.mkdir()
    who = {"user": "nobody"} if os.geteuid() == 0 else {}
    if who:
        os.chown(home, *pwd.getpwnam("nobody")[2:4])
    port, binaries = free_port(), find_binaries({**os.environ, **({SWITCH: postgres} if postgres else {})}).folder
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    options = ["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync", "--pwfile"]
    argv = [binaries / "initdb", "-D", home / "data", *options, folder / "password"]
    subprocess.run(argv, check=True, capture_output=True, cwd=folder, env={}, **who)
    rules += "host trusting all 127.0.0.1/32 trust\n" + (home / "data/pg_hba.conf").read_text()
    (home / "data/pg_hba.conf").write_text(rules)
    flags = ["-c", "fsync=off", "-c", f"port={port}", "-k", home, "-c", "listen_addresses=127.0.0.1", *more_flags]
    with (folder / "log").open("w") as log:
        argv = [binaries / "postgres", "-D", home / "data", *flags]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env={}, **who)
    try:
        running = Server(port, folder / "log")
        running.database().wait_for(ADMIN, timeout_seconds=30)
        yield running
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder)


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
