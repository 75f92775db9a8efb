"""Fixtures of the integration tests."""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.manifests import apply
from infra.settings import Settings
from testing.cluster_world import DEFINITIONS, World, driver
from testing.clusters import SmallCluster, small_cluster

sys.path.append(str(Path(__file__).parents[1] / "lab" / "contract"))
from kubernetes_world import pytest_runtest_makereport
from real_cluster import real_cluster, why_not

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def server() -> Iterator[SmallCluster]:
    """The lab's API server alone; its objects are written by the tests."""
    with small_cluster() as started:
        yield started


@pytest.fixture(scope="session", params=["small", pytest.param("real", marks=pytest.mark.realcluster)])
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The administrator's, for that server and for a real one, both without controllers."""
    if request.param == "small":
        yield request.getfixturevalue("server").kubeconfig
        return
    if reason := why_not():
        pytest.skip(reason)
    with real_cluster(tmp_path_factory.mktemp("real"), has_manager=False) as real:
        yield real


@pytest.fixture(scope="session")
def cluster(kubeconfig: dict[str, Any]) -> Iterator[Cluster]:
    """The adapter's connection to a server that knows the driver's kinds."""
    connected = connect(kubeconfig, Settings(request_timeout_seconds=5))
    apply(connected, [*DEFINITIONS, driver(republish=False)])
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def controlled_cluster() -> Iterator[Cluster]:
    """A server of its own with the lab's controllers, and without a node: the tests say which pods are ready."""
    with small_cluster(controllers=True) as small:
        connected = connect(small.kubeconfig, Settings(request_timeout_seconds=5))
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
