"""One Prefect server for all workers of a test run: the first one has it started, and it ends when the last one has.

Run as a script it is the server's guardian: it starts the server and waits for everybody's end, a violent one too.
"""

import fcntl
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

STARTUP_SECONDS, END_SECONDS = 120, 30


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
    guardian = subprocess.Popen([sys.executable, __file__, str(home), str(port)], start_new_session=True)
    _wait_until_it_answers(url, guardian)
    guardian.returncode = 0  # it is nobody's child to wait for from here on
    return {"url": url}


def _wait_until_it_answers(url: str, guardian: subprocess.Popen[bytes]) -> None:
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


def _guard(home: Path, port: str) -> None:
    argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with (home / "server.log").open("w") as log, (home / "users.lock").open("w") as users:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
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
