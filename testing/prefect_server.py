"""A Prefect server of one's own for a block, with every service that a real one has: triggers and leases included."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import httpx
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker, PrefectConsoleHandler
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from testing.postgres_process import free_port

SERVER_SECONDS = 400


@contextmanager
def prefect_server(database_url: str = "") -> Iterator[int]:
    """A Prefect server, as a worker has it; this process and its children find it. Yields its process' id.

    Args:
        database_url: where it keeps its runs; a file by default.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-prefect-")))
        port = free_port()
        url = f"http://127.0.0.1:{port}/api"
        variables = {"PREFECT_HOME": str(home), "PREFECT_API_URL": url, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        stack.enter_context(patch.dict(os.environ, variables))
        argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        log = stack.enter_context((home / "server.log").open("w"))
        kept = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url} if database_url else {}
        server = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **kept})
        stack.callback(_end, server)
        _wait_for_server(url, server)
        stack.enter_context(temporary_settings(updates={PREFECT_API_URL: url, PREFECT_HOME: home}))
        stack.enter_context(patch.object(PrefectConsoleHandler, "emit", _print_nothing))
        yield server.pid


def _print_nothing(_handler: PrefectConsoleHandler, _record: logging.LogRecord) -> None:
    """Stand for a handler; a mock would keep every record, and what it is about."""


def _end(server: subprocess.Popen[bytes]) -> None:
    APILogWorker.drain_all(timeout=10)
    EventsWorker.drain_all(timeout=10)
    server.terminate()
    server.wait(30)


def _wait_for_server(url: str, server: subprocess.Popen[bytes]) -> None:
    pause = threading.Event()
    with httpx.Client(trust_env=False, timeout=5) as client:
        for _ in range(SERVER_SECONDS * 10):
            if server.poll() is not None:
                break
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pause.wait(0.1)
    sys.exit("the Prefect server did not start")
