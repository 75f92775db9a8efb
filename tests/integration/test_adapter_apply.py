"""The adapter applies manifests, deletes them and says who may not, on an API server without controllers."""

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from infra.credentials import WorkloadRef
from infra.errors import AccessDenied, AuthenticationFailed, InvalidInput, NotFound
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.manifests import apply, load
from infra.kubernetes.services import list_service_accounts
from infra.kubernetes.workloads import RestartFacts, WorkloadHandle, open_workload
from infra.settings import Settings
from testing.cluster_world import CLASS, World
from testing.clusters import SmallCluster
from testing.manifest_values import FOLDER, VALUES
from tests.kubernetes_objects import delete


def test_applying_creates_in_order_and_a_second_time_changes_nothing(world: World) -> None:
    documents = world.manifest("dexter.yaml")
    first = apply(world.cluster, documents)
    assert [(applied.kind, applied.name, applied.action) for applied in first] == [
        ("Namespace", world.namespace, "unchanged"),
        ("SecretProviderClass", CLASS, "created"),
        ("ServiceAccount", "dexter-sa", "created"),
        ("Deployment", "postgres-pod-kv", "created"),
        ("Service", "dexter-service", "created"),
    ]
    assert {applied.action for applied in apply(world.cluster, documents)} == {"unchanged"}


def test_a_change_is_listed_field_by_field(world: World) -> None:
    [document] = world.manifest("medoko.yaml")
    apply(world.cluster, [document])
    document["spec"]["replicas"] = 3
    [applied] = apply(world.cluster, [document])
    assert (applied.action, applied.changes) == ("configured", ("spec.replicas: 1 -> 3",))


def test_a_dry_run_says_what_would_change_and_changes_nothing(world: World) -> None:
    [document] = world.manifest("medoko.yaml")
    [absent] = apply(world.cluster, [document], dry_run=True)
    assert absent.action == "created"
    assert world.cluster.find(world.path("deployments", "get-storage", "apis/apps/v1")) is None
    apply(world.cluster, [document])
    document["spec"]["replicas"] = 3
    [planned] = apply(world.cluster, [document], dry_run=True)
    assert (planned.action, planned.changes) == ("configured", ("spec.replicas: 1 -> 3",))
    assert workload(world.cluster, world, "get-storage").get().replicas == 1


def test_a_dry_run_reaches_into_a_namespace_that_does_not_exist_yet(cluster: Cluster) -> None:
    documents = load("dexter.yaml", VALUES | {"NAMESPACE": "nowhere"}, FOLDER)
    assert {applied.action for applied in apply(cluster, documents, dry_run=True)} == {"created"}
    assert cluster.find("/api/v1/namespaces/nowhere") is None


def test_fields_that_another_manager_has_set_are_taken_over(world: World) -> None:
    [document] = world.manifest("medoko.yaml")
    apply(world.cluster, [document], "somebody-else")
    document["spec"]["replicas"] = 2
    [applied] = apply(world.cluster, [document])
    assert applied.changes == ("spec.replicas: 1 -> 2",)


def test_a_kind_that_the_cluster_does_not_know_is_named(world: World) -> None:
    document = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}}
    with pytest.raises(NotFound) as caught:
        apply(world.cluster, [document])
    assert (caught.value.name, caught.value.code) == ("example.com/v1 Thing", "NoKindMatch")


def test_an_unknown_field_is_refused_and_nothing_is_made(world: World) -> None:
    [document] = world.manifest("medoko.yaml")
    document["spec"]["replicaz"] = 2
    with pytest.raises(InvalidInput) as caught:
        apply(world.cluster, [document])
    assert "replicaz" in caught.value.seen
    assert world.cluster.find(world.path("deployments", "get-storage", "apis/apps/v1")) is None


def test_deleting_again_is_fine(world: World) -> None:
    documents = world.manifest("medoko.yaml")
    apply(world.cluster, documents)
    delete(world.cluster, documents)
    delete(world.cluster, documents)
    assert world.cluster.find(world.path("deployments", "get-storage", "apis/apps/v1")) is None


def test_service_accounts_name_their_identity(world: World) -> None:
    apply(world.cluster, world.manifest("dexter.yaml")[2:3])
    found = {account.name: account.client_id for account in list_service_accounts(world.cluster, world.namespace)}
    assert found["dexter-sa"] == VALUES["CLIENT_ID"]


def workload(cluster: Cluster, world: World, name: str = "db") -> WorkloadHandle:
    return open_workload(cluster, WorkloadRef(namespace=world.namespace, name=name))


def with_token(config: dict[str, Any], token: str) -> Cluster:
    users = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    return connect(config | {"users": users}, Settings(request_timeout_seconds=5))


def test_a_kubeconfig_whose_token_has_expired_is_not_recognised(server: SmallCluster) -> None:
    token = server.call(server.server.token, "somebody", [], timedelta(0))
    with (
        closing(with_token(server.kubeconfig, token)) as cluster,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        open_workload(cluster, WorkloadRef(namespace="default", name="db")).restart("r1")
    assert caught.value.code == "Unauthorized"
    assert "expired" in caught.value.fix


def test_a_caller_without_rights_reads_what_was_denied_and_nothing_is_changed(
    kubeconfig: dict[str, Any], world: World
) -> None:
    world.deployment(replicas=1)
    path = world.path("serviceaccounts", "default") + "/token"
    token = world.cluster.request("POST", path, {}, {"spec": {}})["status"]["token"]
    with (
        closing(with_token(kubeconfig, token)) as cluster,
        pytest.raises(AccessDenied) as caught,
    ):
        workload(cluster, world).restart("r1")
    assert caught.value.code == "Forbidden"
    assert f"system:serviceaccount:{world.namespace}:default" in caught.value.seen
    assert world.workload.get().restart == RestartFacts()
