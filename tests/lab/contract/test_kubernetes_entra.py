"""Principals of Entra ID in a managed cluster: their tokens, and what roles of Azure or bindings let them do.

https://learn.microsoft.com/azure/aks/manage-azure-rbac
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from kubernetes_world import Api

from lab.azure.access import Access
from lab.azure.backends import EntraSpec
from lab.azure.cluster_access import ClusterAccess
from lab.azure.directory import Directory, Principal
from lab.azure.roles import find_role_by_name
from lab.azure.tokens import Tokens
from lab.cluster.api.security.entra import EntraUsers
from testing.clusters import SmallCluster, small_cluster

CLUSTER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"
AUDIENCE = "6dae42f8-4368-4678-94ff-3960e28e3630"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
READER, WRITER, ADMIN, CLUSTER_ADMIN = (
    f"Azure Kubernetes Service RBAC {name}" for name in ("Reader", "Writer", "Admin", "Cluster Admin")
)
CSI = "secrets-store.csi.x-k8s.io"


@dataclass
class Cluster:
    """A managed cluster with its tenant."""

    small: SmallCluster
    users: EntraUsers
    directory: Directory
    tokens: Tokens
    access: Access

    def token(self, principal: Principal, audience: str = AUDIENCE, lifetime: timedelta | None = None) -> str:
        return self.tokens.issue(principal, audience, lifetime)

    def api(self, token: str) -> Api:
        return Api(self.small.kubeconfig, token)

    def give(self, principal: Principal, role: str, below: str = "") -> None:
        found = find_role_by_name(role)
        assert found
        self.access.assign(CLUSTER + below, found.guid, principal.object_id, str(uuid4()))


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    def now() -> datetime:
        return datetime.now(UTC)

    directory, access = Directory(now, "operator"), Access(now)
    tokens = Tokens("a-tenant", directory, now)
    users = EntraUsers(ClusterAccess(tokens, directory, access), CLUSTER, None)
    with small_cluster(entra=users) as small:
        yield Cluster(small, users, directory, tokens, access)


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """A cluster with Azure RBAC."""
    running.users.spec = EntraSpec(azure_rbac=True)
    return running


@pytest.fixture
def somebody(cluster: Cluster) -> Principal:
    return cluster.directory.add_user_identity(f"/identities/{uuid4()}")


def may(api: Api, verb: str, resource: str, namespace: str = "dexter") -> bool:
    """Whether the caller may do something, by the API's own review."""
    plural, _, group = resource.partition(".")
    plural, _, subresource = plural.partition("/")
    asked = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace}
    answer = api("POST", REVIEWS, {"spec": {"resourceAttributes": asked}})
    assert answer.code == 201, answer
    return bool(answer.body["status"]["allowed"])


def test_a_principal_is_known_by_its_object_id(cluster: Cluster, somebody: Principal) -> None:
    cluster.directory.add_to_group("a-group", somebody.object_id)
    review = cluster.api(cluster.token(somebody))("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert review.body["status"]["userInfo"] == {
        "username": somebody.object_id,
        "groups": ["a-group", "system:authenticated"],
        "extra": {"oid": [somebody.object_id]},
    }


@pytest.mark.parametrize(
    "broken",
    [
        lambda cluster, who: cluster.token(who, "https://management.azure.com"),
        lambda cluster, who: cluster.token(who, lifetime=timedelta(seconds=-1)),
        lambda cluster, who: cluster.token(who)[:-4] + "AAAA",
        lambda cluster, who: Tokens("a-tenant", cluster.directory, lambda: datetime.now(UTC)).issue(who, AUDIENCE),
    ],
    ids=["another audience", "expired", "changed", "another tenant's key"],
)
def test_a_token_that_is_not_for_clusters_is_unauthorized(
    cluster: Cluster, somebody: Principal, broken: Callable[[Cluster, Principal], str]
) -> None:
    answer = cluster.api(broken(cluster, somebody))("GET", "/api")
    assert (answer.code, answer.reason) == (401, "Unauthorized")


def test_a_cluster_without_entra_id_knows_no_principal(cluster: Cluster, somebody: Principal) -> None:
    cluster.users.spec = None
    assert cluster.api(cluster.token(somebody))("GET", "/api").code == 401


def test_without_a_role_a_principal_may_nothing_but_ask(cluster: Cluster, somebody: Principal) -> None:
    api = cluster.api(cluster.token(somebody))
    assert api("GET", "/api").code == 200
    answer = api("GET", "/api/v1/namespaces/dexter/pods")
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert f'User "{somebody.object_id}" cannot list resource "pods"' in answer.message
    assert not may(api, "get", "pods")


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        (READER, ["get pods", "watch deployments.apps"], ["get secrets", "patch deployments.apps", "create pods/exec"]),
        (
            WRITER,
            ["patch deployments.apps", "create pods/exec", "watch secrets", "update leases.coordination.k8s.io"],
            [f"get secretproviderclasses.{CSI}", "create roles.rbac.authorization.k8s.io", "create namespaces"],
        ),
        (
            ADMIN,
            [f"patch secretproviderclasses.{CSI}", "create roles.rbac.authorization.k8s.io"],
            ["create namespaces", "patch resourcequotas"],
        ),
        (CLUSTER_ADMIN, ["create namespaces", f"patch secretproviderclasses.{CSI}", "patch resourcequotas"], []),
    ],
    ids=["Reader", "Writer", "Admin", "Cluster Admin"],
)
def test_each_of_azures_roles_lets_do_what_it_says(
    cluster: Cluster, somebody: Principal, role: str, allowed: list[str], denied: list[str]
) -> None:
    cluster.give(somebody, role)
    api = cluster.api(cluster.token(somebody))
    assert {what: may(api, *what.split()) for what in allowed} == dict.fromkeys(allowed, True)
    assert {what: may(api, *what.split()) for what in denied} == dict.fromkeys(denied, False)


def test_a_role_on_a_namespace_counts_there_alone(cluster: Cluster, somebody: Principal) -> None:
    cluster.give(somebody, ADMIN, "/namespaces/dexter")
    api = cluster.api(cluster.token(somebody))
    assert may(api, "get", "secrets")
    assert not may(api, "get", "secrets", "other")
    assert not may(api, "get", "secrets", "")


@pytest.mark.parametrize("kind", ["User", "Group"])
def test_bindings_count_for_principals_only_without_azure_rbac(
    cluster: Cluster, somebody: Principal, kind: str
) -> None:
    group = str(uuid4())
    cluster.directory.add_to_group(group, somebody.object_id)
    subject = {"apiGroup": RBAC[6:-3], "kind": kind, "name": {"User": somebody.object_id, "Group": group}[kind]}
    reference = {"apiGroup": RBAC[6:-3], "kind": "ClusterRole", "name": "view"}
    body = {"metadata": {"name": group}, "roleRef": reference, "subjects": [subject]}
    Api(cluster.small.kubeconfig).create(f"{RBAC}/clusterrolebindings", body)
    api = cluster.api(cluster.token(somebody))
    assert not may(api, "list", "pods")
    cluster.users.spec = EntraSpec(azure_rbac=False)
    assert may(api, "list", "pods")
    assert not may(api, "get", "secrets")
