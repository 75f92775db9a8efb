"""Who rotates in tests: an application and a service account that have the documented rights, and no more.

docs/azure.md names the Azure roles, manifests/keyturn/roles.yaml has the cluster's. So a test of a rotation fails when
one of them is missing, and nobody rotates as the owner of the subscription or as the cluster's administrator.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from infra.azure.client import Azure
from infra.azure.names import SERVER_TYPE
from infra.kubernetes.client import Cluster
from infra.kubernetes.kubeconfig import Context
from infra.kubernetes.manifests import apply, parse
from testing.labs import ROOT, RunningLab
from testing.rights import write_kubeconfig
from testing.walkthrough import DEXTER, SERVER

NAMESPACE = ACCOUNT = "keyturn"
"""The namespace of the service account, and its name."""
ROLES = parse("roles.yaml", (ROOT / "manifests" / "keyturn" / "roles.yaml").read_text())
ROLE_NAMES = tuple(str(role["metadata"]["name"]) for role in ROLES)
RBAC = "rbac.authorization.k8s.io"
SIGNS_IN = "Azure Kubernetes Service Cluster User Role"
DEFINITIONS = {
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    SIGNS_IN: "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
}
"""https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""
GROUP, CLUSTER = str(DEXTER.cluster.resource_group), str(DEXTER.cluster.name)
VAULT_TYPE, CLUSTER_TYPE = "Microsoft.KeyVault/vaults", "Microsoft.ContainerService/managedClusters"
DAY_SECONDS = 86400


def make_rotator(lab: RunningLab, azure: Azure, cluster: Cluster) -> dict[str, str]:
    """Make who rotates the walkthrough's credentials, and return the variables that sign in as them.

    Args:
        lab: where.
        azure: the owner's sign-in.
        cluster: the administrator's connection.
    """
    server = getattr(SERVER.endpoint, "server", "")
    caller = add_caller(
        lab,
        azure,
        {
            "Key Vault Secrets Officer": azure.resource_id(GROUP, VAULT_TYPE, DEXTER.vault),
            "Contributor": azure.resource_id(GROUP, SERVER_TYPE, server),
        },
    )
    context = add_account(cluster)
    kubeconfig = lab.state_dir / f"{NAMESPACE}.kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(write_kubeconfig(context, CLUSTER)))
    return {**caller, "KEYTURN_KUBECONFIG": str(kubeconfig)}


def add_account(cluster: Cluster) -> Context:
    """Make the service account and the roles, none of which is bound yet, and return how it signs in."""
    metadata = {"name": ACCOUNT, "namespace": NAMESPACE}
    apply(
        cluster,
        [
            *ROLES,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        ],
    )
    return replace(cluster.context, user={"token": _get_token(cluster)})


def add_caller(lab: RunningLab, azure: Azure, roles: Mapping[str, str]) -> dict[str, str]:
    """Make an application that has roles, each at a scope, and return the variables that sign in as it.

    It may also read the cluster, as everybody must whose kubeconfig is compared with it.
    """
    application = lab.faults.add_application("keyturn-test")
    for role, scope in {**roles, SIGNS_IN: azure.resource_id(GROUP, CLUSTER_TYPE, CLUSTER)}.items():
        _assign(azure, application["object_id"], role, scope)
    return {"AZURE_CLIENT_ID": application["client_id"], "AZURE_CLIENT_SECRET": application["client_secret"]}


def _assign(azure: Azure, principal_id: str, role: str, scope: str) -> None:
    definition = f"/subscriptions/{azure.settings.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
    wanted = RoleAssignmentCreateParameters(
        role_definition_id=f"{definition}/{DEFINITIONS[role]}",
        principal_id=principal_id,
        principal_type="ServicePrincipal",
    )
    with azure.management(AuthorizationManagementClient) as client:
        client.role_assignments.create(scope, str(uuid.uuid4()), wanted)


def bind(cluster: Cluster, namespace: str, roles: tuple[str, ...] = ROLE_NAMES) -> None:
    """Bind roles to the service account in a namespace, and no others."""
    for role in ROLE_NAMES:
        if role not in roles:
            cluster.delete(path_of_binding(namespace, role))
    apply(cluster, [_binding(namespace, role) for role in roles])


def ensure_bound(cluster: Cluster, namespace: str) -> None:
    """Bind all roles in a namespace that was made anew."""
    if cluster.find(path_of_binding(namespace, ROLE_NAMES[-1])) is None:
        bind(cluster, namespace)


def path_of_binding(namespace: str, role: str) -> str:
    """Return the path of a role's binding."""
    return f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings/{role}"


def _binding(namespace: str, role: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }


def _get_token(cluster: Cluster) -> str:
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": DAY_SECONDS},
    }
    return str(cluster.request("POST", path, {}, request)["status"]["token"])
