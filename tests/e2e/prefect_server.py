"""One Prefect server for all workers of a test run: the first one starts it, the last one ends it."""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

STARTUP_SECONDS, END_SECONDS = 120, 30


@contextmanager
def shared_server(home: Path) -> Iterator[str]:
    """Use the server whose files are in `home` for a block, and yield its API's URL.

    Everybody holds a shared lock meanwhile, which the kernel drops with its process; who then gets the lock alone
    was the last one.
    """
    with (home / "users.lock").open("w") as users, (home / "start.lock").open("w") as start:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_EX)
        running = home / "server.json"
        if not running.exists():
            running.write_text(json.dumps(_start(home)))
        fcntl.flock(start, fcntl.LOCK_UN)
        server = json.loads(running.read_text())
        try:
            yield server["url"]
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                running.unlink()
                _end(server["pid"])


def _start(home: Path) -> dict[str, str | int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    _wait_until_it_answers(url, server)
    server.returncode = 0  # it is nobody's child to wait for from here on
    return {"url": url, "pid": server.pid}


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    with httpx.Client(trust_env=False, timeout=5) as client:
        for _ in range(STARTUP_SECONDS * 10):
            assert server.poll() is None, "the Prefect server ended"
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pause.wait(0.1)
    server.kill()
    pytest.fail(f"the Prefect server did not answer within {STARTUP_SECONDS} s")


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(process, number)
                if select.select([process], [], [], END_SECONDS)[0]:
                    return
        finally:
            os.close(process)
