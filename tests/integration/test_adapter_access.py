"""What the caller may do in a cluster, by access reviews, and writes that are tried and thrown away."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.errors import AccessDenied, InvalidInput
from infra.kubernetes.access import Right, find_missing, get_subject, rehearsing
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret
from infra.kubernetes.workload_handle import RESTARTED_FOR
from infra.settings import Settings
from testing.cluster_world import World

RBAC = "apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def account(world: World, kubeconfig: dict[str, Any]) -> Iterator[Cluster]:
    """A service account that may read one Secret and exec into pods."""
    rules = [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["userpass"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ]
    world.put("roles", {"metadata": {"name": "some"}, "rules": rules}, RBAC)
    subjects = [{"kind": "ServiceAccount", "name": "default", "namespace": world.namespace}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"}
    world.put("rolebindings", {"metadata": {"name": "some"}, "roleRef": reference, "subjects": subjects}, RBAC)
    path = world.path("serviceaccounts", "default") + "/token"
    token = world.cluster.request("POST", path, {}, {"spec": {}})["status"]["token"]
    users = [{"name": user["name"], "user": {"token": token}} for user in kubeconfig["users"]]
    connected = connect(kubeconfig | {"users": users}, Settings(request_timeout_seconds=5))
    yield connected
    connected.close()


def test_a_right_is_what_the_request_to_a_path_needs() -> None:
    assert Right.to("get", "/api/v1/namespaces/dexter/pods/one/exec") == Right("get", "pods/exec", "dexter", "one")
    assert Right.to("list", "/api/v1/namespaces/dexter/pods") == Right("list", "pods", "dexter")
    path = "/apis/apps/v1/namespaces/dexter/deployments/db"
    assert Right.to("patch", path) == Right("patch", "deployments", "dexter", "db", "apps")


def test_only_what_the_caller_may_not_do_is_missing_object_by_object(world: World, account: Cluster) -> None:
    core, apps = f"/api/v1/namespaces/{world.namespace}", f"/apis/apps/v1/namespaces/{world.namespace}"
    given = [
        Right.to("get", f"{core}/secrets/userpass"),
        Right.to("list", f"{core}/secrets/userpass"),
        Right.to("create", f"{core}/pods/one/exec"),
        Right.to("get", f"{apps}/deployments/db"),
    ]
    missing = [
        Right.to("get", f"{core}/secrets/other"),
        Right.to("watch", f"{core}/secrets/userpass"),
        Right.to("list", f"{core}/secrets"),
        Right.to("get", f"{core}/pods/one/exec"),
        Right.to("patch", f"{apps}/deployments/db"),
        Right.to("get", "/apis/apps/v1/namespaces/default/deployments/db"),
    ]
    assert find_missing(account, [*missing, *given]) == missing
    assert find_missing(world.cluster, [*missing, *given]) == []


def test_the_caller_is_told_as_a_binding_names_it(world: World, account: Cluster) -> None:
    assert get_subject(account) == f"--serviceaccount={world.namespace}:default"
    assert get_subject(world.cluster) == "--user=masterclient"


def test_a_rehearsed_write_is_checked_and_changes_nothing(world: World) -> None:
    world.deployment()
    path = world.path("deployments", "db", "apis/apps/v1")
    before = world.cluster.get(path)
    rehearsal = rehearsing(world.cluster)
    answer = rehearsal.patch(path, {"metadata": {"annotations": {RESTARTED_FOR: "r1"}}})
    assert answer["metadata"]["annotations"] == {RESTARTED_FOR: "r1"}
    with pytest.raises(InvalidInput):
        rehearsal.patch(path, {"spec": {"replicas": -1}})
    rehearsal.delete(path)
    assert world.cluster.get(path) == before


def test_a_rehearsed_write_needs_the_right_to_write(world: World, account: Cluster) -> None:
    world.deployment()
    with pytest.raises(AccessDenied):
        rehearsing(account).patch(world.path("deployments", "db", "apis/apps/v1"), {"spec": {"replicas": 0}})


def test_a_rehearsed_write_meets_the_rules_of_an_immutable_secret(world: World) -> None:
    world.put("secrets", {"metadata": {"name": "fixed"}, "data": {}, "immutable": True})
    with pytest.raises(InvalidInput, match="field is immutable"):
        SyncedSecret(rehearsing(world.cluster), world.namespace, "fixed").update({"PASSWORD": "x"})
