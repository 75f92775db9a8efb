"""Fixtures of the flows' tests: one Prefect server for the session, and a lab with the walkthrough's stack in it."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from rotating import World, install_stack

from tests.conftest import RunningLab

STARTUP_SECONDS = 120
SDK_SOCKETS = (
    "ignore:unclosed <ssl.SSLSocket:ResourceWarning",
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning",
)
"""The vendors' clients leave some sockets to the garbage collector; in other tests that is an error."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Endure the clients' sockets in the tests of this folder."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for text in SDK_SOCKETS:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that Prefect writes: its database, its results."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_api(prefect_home: Path) -> Iterator[str]:
    """A Prefect server; this process and its children find it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    with pytest.MonkeyPatch.context() as patch, (prefect_home / "server.log").open("w") as log:
        patch.setenv("PREFECT_HOME", str(prefect_home))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        argv = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(argv, stdout=log, stderr=log)
        patch.setenv("PREFECT_API_URL", url)
        try:
            _wait_until_it_answers(url, server)
            with temporary_settings(updates={PREFECT_API_URL: url, PREFECT_HOME: prefect_home}):
                yield url
        finally:
            APILogWorker.drain_all(timeout=10)
            EventsWorker.drain_all(timeout=10)
            server.terminate()
            server.wait(30)


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
    pytest.fail(f"the Prefect server did not answer within {STARTUP_SECONDS} s")


@pytest.fixture(scope="session")
def stack(lab: RunningLab, prefect_api: str) -> Iterator[World]:
    """A lab in which the walkthrough's stack runs; its variables are this process' own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.env.items():
            patch.setenv(name, value)
        install_stack()
        yield World(lab)


@pytest.fixture
def world(stack: World) -> Iterator[World]:
    """The stack, without faults from earlier tests."""
    stack.lab.faults.clear_faults()
    yield stack
    stack.lab.faults.clear_faults()
