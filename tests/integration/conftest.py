"""Fixtures of the integration tests."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.manifests import apply
from infra.settings import Settings
from lab.commands.tools import get_cache_dir
from testing.cluster_world import DEFINITIONS, World, driver
from testing.clusters import SmallCluster, small_cluster


@pytest.fixture(scope="session")
def postgres_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the lab keeps PostgreSQL's template, so that it is made once."""
    return get_cache_dir(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def server() -> Iterator[SmallCluster]:
    """The lab's API server alone; its objects are written by the tests."""
    with small_cluster() as started:
        yield started


@pytest.fixture(scope="session")
def cluster(server: SmallCluster) -> Iterator[Cluster]:
    """The adapter's connection to that server, which knows the driver's kinds."""
    connected = connect(server.kubeconfig, Settings(request_timeout_seconds=5))
    apply(connected, [*DEFINITIONS, driver(republish=False)])
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """What makes the names of namespaces differ."""
    return count()


@pytest.fixture
def world(cluster: Cluster, numbers: Iterator[int]) -> World:
    """A namespace of the test's own."""
    return World(cluster, f"dexter-{next(numbers)}")
