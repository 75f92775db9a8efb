"""Fixtures of the flows' tests: one Prefect server for the run, and a lab with the walkthrough's stack in it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trustme
from changed_stacks import ChangeStack, change_stack
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    temporary_settings,
)
from prefect_server import shared_server

from testing.inventory import list_shipped_alone
from testing.labs import RunningLab
from testing.rotating import NAMESPACE, World, install_stack
from testing.rotator import ensure_bound


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Everything that Prefect writes for all workers of this run: its database, its results."""
    base = tmp_path_factory.getbasetemp()
    home = (base if worker_id == "master" else base.parent) / "prefect"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one authority: each of Prefect's clients reads all that it trusts, and none speaks TLS here."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def prefect_api(prefect_home: Path, small_bundle: Path) -> Iterator[str]:
    """A Prefect server; this process and its children find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(prefect_home))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("PREFECT_API_SSL_CERT_FILE", str(small_bundle))
        with shared_server(prefect_home) as url:
            patch.setenv("PREFECT_API_URL", url)
            with temporary_settings(
                {
                    PREFECT_API_URL: url,
                    PREFECT_HOME: prefect_home,
                    PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
                    PREFECT_API_SSL_CERT_FILE: str(small_bundle),
                }
            ):
                yield url
            APILogWorker.drain_all(timeout=10)
            EventsWorker.drain_all(timeout=10)


@pytest.fixture(scope="session")
def stacks() -> Iterator[dict[str, World]]:
    """The labs in which the walkthrough's stack runs, by the driver's generation."""
    made: dict[str, World] = {}
    yield made
    for world in made.values():
        world.close()


@pytest.fixture(scope="session")
def stack(lab: RunningLab, stacks: dict[str, World], prefect_api: str) -> Iterator[World]:
    """A lab in which the walkthrough's stack runs; its variables are this process' own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in lab.env.items():
            patch.setenv(name, value)
        if lab.options.driver not in stacks:
            install_stack()
            stacks[lab.options.driver] = World(lab)
        yield stacks[lab.options.driver]


@pytest.fixture
def world(stack: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The stack, without what earlier tests left. Who runs flows may rotate and no more, but for the mark `owner`."""
    stack.lab.faults.clear_faults()
    list_shipped_alone()
    if request.node.get_closest_marker("owner") is None:
        for name, value in stack.rotator.items():
            monkeypatch.setenv(name, value)
        ensure_bound(stack.cluster, NAMESPACE)
    yield stack
    stack.lab.faults.clear_faults()


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChangeStack:
    """Changes the files of the walkthrough's stack, once, for the test."""
    return partial(change_stack, tmp_path, monkeypatch)
