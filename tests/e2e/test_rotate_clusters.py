"""Clients in two clusters share a credential: each is pinned, waited for and restarted where it runs."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.mgmt.containerservice import ContainerServiceClient
from clients import CLIENT, SECONDS, manifest, running_client
from killing import kill

from infra.azure.clusters import ManagedClusters
from infra.azure.identities import FederatedCredentials
from infra.credentials import ClusterRef, Consumer, Strategy
from infra.errors import Code, Refused
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import open_workload
from infra.provisioning.resources import ManagedCluster
from infra.provisioning.wanted import federation
from infra.rotation.execution import Verdict
from tasks.preflight.rights import CONSUMERS, DISCOVERY, PINS
from testing import bare
from testing.inventory import listed
from testing.rights import write_kubeconfig
from testing.rotating import KEYS, NAMESPACE, PROVISIONED, STACK, Pair, World, options_with, rotate
from testing.rotator import CLUSTER, GROUP, add_account, bind
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

pytestmark = pytest.mark.slow
NORTH = ClusterRef(name="north", resource_group=GROUP)
NORTHERN: Consumer = consumer_like(CLIENT, cluster=NORTH)
"""Namespace, workload, class and Secret have the names of those in the credential's own cluster."""
CREDENTIAL = change(DEXTER, strategy=Strategy.ALTERNATING, consumers=(DATABASE, CLIENT, NORTHERN))
IN_PLACE = change(CREDENTIAL, strategy=Strategy.IN_PLACE)
NEEDED = (CONSUMERS, DISCOVERY, PINS)
"""What docs/security.md lists for a cluster of clients alone: the lock and the Services are in the credential's own."""
PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{CLIENT.workload.name}"


@contextmanager
def northern_cluster(world: World) -> Iterator[Cluster]:
    """A second cluster whose pods read the vault, with a client that is called as the one in the first."""
    clusters = ManagedClusters(world.azure, GROUP)
    clusters.put(
        ManagedCluster(
            name="north",
            location=STACK.location,
            dns_prefix=None,
            poll_interval_seconds=PROVISIONED.poll_interval_seconds,
            node_size=PROVISIONED.node_size,
        )
    )
    trusts = FederatedCredentials(world.azure, STACK.resource_group)
    issuer = clusters.get_issuer("north")
    trusts.put(replace(federation(STACK), name="federated-north", issuer=issuer, cluster="north"))
    try:
        with closing(connect(world.azure.get_kubeconfig(NORTH), world.settings)) as cluster:
            for path, item in list_items(world):
                cluster.request("POST", path, {}, item)
            open_workload(cluster, CLIENT.workload).wait_for_ready(SECONDS)
            yield cluster
    finally:
        with world.azure.management(ContainerServiceClient) as client:
            client.managed_clusters.begin_delete(GROUP, "north").result()


def list_items(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what the client needs in its cluster, each with where it is made."""
    base = f"/api/v1/namespaces/{NAMESPACE}"
    class_path = path_of(NAMESPACE, DATABASE.delivery.secret_provider_class)
    yield "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}
    for path in (f"{base}/serviceaccounts/dexter-sa", class_path):
        found = world.cluster.get(path)
        metadata = {key: found["metadata"][key] for key in ("name", "annotations") if key in found["metadata"]}
        spec = {"spec": found["spec"]} if "spec" in found else {}
        kind: dict[str, Any] = {key: found[key] for key in ("apiVersion", "kind") if key in found}
        yield path.rpartition("/")[0], {**kind, "metadata": metadata, **spec}
    yield PATH.rpartition("/")[0], manifest(["true"])


@pytest.fixture(scope="module")
def north(stack: World) -> Iterator[Cluster]:
    """The second cluster, for all tests of this file."""
    with northern_cluster(stack) as cluster:
        yield cluster


@pytest.fixture
def everywhere(world: World, north: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Who rotates has what is documented in both clusters, and no more; a client runs in each."""
    contexts = [write_kubeconfig(add_account(world.cluster), CLUSTER), write_kubeconfig(add_account(north), "north")]
    bind(north, NAMESPACE, NEEDED)
    merged = {key: [*contexts[0][key], *contexts[1][key]] for key in ("clusters", "contexts", "users")}
    (tmp_path / "config").write_text(yaml.safe_dump({**merged, "current-context": CLUSTER}))
    monkeypatch.setenv("KEYTURN_KUBECONFIG", str(tmp_path / "config"))
    with running_client(world):
        yield world


@pytest.fixture
def migrated(everywhere: World) -> Iterator[World]:
    """A database whose logins alternate; afterwards it starts empty with one login, and every client has it."""
    bare.make_owner_role(CREDENTIAL)
    yield everywhere
    recreated = change(CREDENTIAL, strategy=Strategy.RECREATE)
    assert rotate(recreated, sync="express").verdict is Verdict.ROTATED


def environments(world: World, north: Cluster) -> dict[str, Pair]:
    """Cluster -> the username and the password that its client's process has."""
    return {"own": read_environment(world.cluster), "north": read_environment(north)}


def read_environment(cluster: Cluster) -> Pair:
    (pod,) = open_workload(cluster, CLIENT.workload).get().live_pods.values()
    read = [run_in_pod(cluster, NAMESPACE, pod, ["printenv", key]).stdout.strip() for key in KEYS]
    return read[0], read[1]


def pins(world: World, north: Cluster) -> list[Mapping[str, str]]:
    names = DEXTER.secrets.names
    return [open_delivery(cluster, CLIENT).observe(names, None).pinned for cluster in (world.cluster, north)]


def test_clients_in_both_clusters_get_the_new_login_by_a_rotation(migrated: World, north: Cluster) -> None:
    ended = rotate(CREDENTIAL, sync="express")
    assert ended.verdict is Verdict.ROTATED, ended.message
    assert environments(migrated, north) == {"own": migrated.values(), "north": migrated.values()}
    assert pins(migrated, north) == [{}, {}]


def test_a_rotation_killed_between_the_two_clusters_is_finished_in_the_second(migrated: World, north: Cluster) -> None:
    before = environments(migrated, north)
    assert kill("after", f"PATCH {PATH}", CREDENTIAL) == f"killed after PATCH {PATH}"
    assert read_environment(north) == before["north"], "only the client in the credential's own cluster was restarted"
    ended = rotate(CREDENTIAL, sync="express")
    assert ended.verdict is Verdict.ROTATED, ended.message
    assert environments(migrated, north) == {"own": migrated.values(), "north": migrated.values()}
    assert before["north"] != migrated.values()
    assert pins(migrated, north) == [{}, {}]


def test_rights_that_are_missing_in_the_second_cluster_are_named_with_it(everywhere: World, north: Cluster) -> None:
    bind(north, NAMESPACE, (DISCOVERY,))
    versions = everywhere.versions()
    ended = bare.run_rotation(listed(IN_PLACE), options_with(sync="express"), dry_run=True)
    bind(north, NAMESPACE, NEEDED)
    assert ended.verdict is Verdict.REFUSED
    [cause] = ended.causes
    assert (type(cause), cause.code) == (Refused, Code.RIGHTS_MISSING)
    assert cause.name == f"the namespace {NAMESPACE} in cluster north in {GROUP}"
    assert cause.fix.startswith(f"kubectl --context north create rolebinding {CONSUMERS} ")
    assert everywhere.versions() == versions


def test_a_client_that_nobody_listed_is_found_in_the_second_cluster(everywhere: World, north: Cluster) -> None:
    other = consumer_like(NORTHERN, name="other")
    north.request("POST", PATH.rpartition("/")[0], {}, {**manifest(["true"]), "metadata": {"name": "other"}})
    try:
        ended = bare.run_rotation(listed(IN_PLACE), options_with(sync="express"), dry_run=True)
        assert ended.verdict is Verdict.REFUSED
        assert (ended.code, ended.error and ended.error.name) == (Code.UNLISTED_CONSUMER, other.key)
    finally:
        north.delete(PATH.replace(CLIENT.workload.name, "other"))
