"""One Prefect server for all workers of a test run: the first one has it started, and it ends when the last one has.

It keeps its runs in a PostgreSQL of its own: on SQLite the runs of several workers stop it for a minute now and then.
Run as a script it is the guardian of both: it starts them and waits for everybody's end, a violent one too.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from testing.labs import ROOT
from testing.postgres_process import PASSWORD, PREFECT, USER, running_server

STARTUP_SECONDS, END_SECONDS = 120, 30
PORT_FILE = "postgres.port"
SERVICES = ("CANCELLATION_CLEANUP", "CLEANUP_RECONCILER", "FOREMAN", "LATE_RUNS", "PAUSE_EXPIRATIONS", "TRIGGERS")
"""Those that no test needs; each asks the database every few seconds, or looks at every event."""
UNUSED = (*(f"SERVICES_{service}_ENABLED" for service in SERVICES), "DATABASE_MIGRATE_ON_START", "UI_ENABLED")


@contextmanager
def shared_server(home: Path) -> Iterator[str]:
    """Use the server whose files are in `home` for a block, and yield its API's URL.

    Everybody holds a shared lock meanwhile, which the kernel drops with its process; the guardian gets the lock alone
    when nobody has it any more.
    """
    with (home / "users.lock").open("w") as users, (home / "start.lock").open("w") as start:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_EX)
        running = home / "server.json"
        if not running.exists():
            running.write_text(json.dumps(_start(home)))
        fcntl.flock(start, fcntl.LOCK_UN)
        yield json.loads(running.read_text())["url"]


def _start(home: Path) -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    argv = [sys.executable, __file__, str(home), str(port)]
    guardian = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    wait_until_it_answers(url, guardian)
    guardian.returncode = 0  # it is nobody's child to wait for from here on
    return {"url": url}


def wait_until_it_answers(url: str, guardian: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers whose process, or its guardian's, runs."""
    pause = threading.Event()
    with httpx.Client(trust_env=False, timeout=5) as client:
        for _ in range(STARTUP_SECONDS * 10):
            assert guardian.poll() is None, "the Prefect server ended"
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pause.wait(0.1)
    guardian.kill()
    pytest.fail(f"the Prefect server did not answer within {STARTUP_SECONDS} s")


def kept_by_prefect(home: Path, named: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of what the server and the flows keep: the database's rows, and files.

    Args:
        home: where Prefect writes.
        named: what the names hold; everything by default.
    """
    port = int((home / PORT_FILE).read_text())
    with psycopg.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres") as database:
        names = database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for table in (name for (name,) in names if named in f"table {name}"):
            rows = database.execute(SQL("SELECT * FROM {}").format(Identifier(table)))
            yield f"table {table}", repr(rows.fetchall()).encode()
    for path in home.rglob("*"):
        if named in path.name and path.is_file():
            yield path.name, path.read_bytes()


def _guard(home: Path, port: str) -> None:
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    unused = {f"PREFECT_SERVER_{name}": "false" for name in UNUSED}
    with (
        running_server(content=PREFECT) as postgres,
        (home / "server.log").open("w") as log,
        (home / "users.lock").open("w") as users,
    ):
        (home / PORT_FILE).write_text(str(postgres.port))
        env = {**os.environ, **unused, "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.url_of_prefect}
        server = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        ended = threading.Thread(target=fcntl.flock, args=(users, fcntl.LOCK_EX), daemon=True)
        ended.start()
        while ended.is_alive() and server.poll() is None:
            ended.join(0.5)
        server.terminate()
        try:
            server.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    _guard(Path(sys.argv[1]), sys.argv[2])
