"""Built-in roles by their real ids, as far as the lab's services ask for their actions.

https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

import re
from dataclasses import dataclass
from functools import cache

_READ_AUTHORIZATION = ("Microsoft.Authorization/*/read",)
_CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"
_DELEGATION_KEY = "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"
_SECRETS = "Microsoft.KeyVault/vaults/secrets"
_MANAGED_CLUSTERS = "Microsoft.ContainerService/managedClusters"
_IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
_IN_CLUSTER_READ = (
    "apps/controllerrevisions",
    "discovery.k8s.io/endpointslices",
    "events.k8s.io/events",
    "events",
    "limitranges",
    "metrics.k8s.io/nodes",
    "metrics.k8s.io/pods",
    "namespaces",
    "resourcequotas",
)
_IN_CLUSTER_WORK = (
    *(f"apps/{plural}" for plural in ("daemonsets", "deployments", "replicasets", "statefulsets")),
    *("autoscaling/horizontalpodautoscalers", "batch/cronjobs", "batch/jobs", "configmaps", "endpoints"),
    *("networking.k8s.io/ingresses", "networking.k8s.io/networkpolicies", "persistentvolumeclaims", "pods"),
    *("policy/poddisruptionbudgets", "replicationcontrollers", "services"),
)
_IN_CLUSTER_HIDDEN = ("secrets", "serviceaccounts")
_DEPLOY = (
    *_READ_AUTHORIZATION,
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
)
_READ_VAULTS = (
    *_DEPLOY,
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
)


@cache
def _pattern(wildcard: str) -> re.Pattern[str]:
    return re.compile(re.escape(wildcard).replace(r"\*", ".*"), re.IGNORECASE)


def _matches(action: str, wildcards: tuple[str, ...]) -> bool:
    return any(_pattern(wildcard).fullmatch(action) for wildcard in wildcards)


@dataclass(frozen=True)
class Role:
    """A role definition; the four tuples hold actions with `*` as wildcard."""

    guid: str
    name: str
    description: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()

    def allows(self, action: str, *, data: bool = False) -> bool:
        """Whether the role has the action, as a data action when `data` is set."""
        given, taken = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        return _matches(action, given) and not _matches(action, taken)


BUILT_IN: tuple[Role, ...] = (
    Role(
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        "Owner",
        "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        ("*",),
    ),
    Role(
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "Contributor",
        "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage "
        "assignments in Azure Blueprints, or share image galleries.",
        ("*",),
        (
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ),
    ),
    Role(
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "Reader",
        "View all resources, but does not allow you to make any changes.",
        ("*/read",),
    ),
    Role(
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        "User Access Administrator",
        "Lets you manage user access to Azure resources.",
        ("*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"),
    ),
    Role(
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "Role Based Access Control Administrator",
        "Manage access to Azure resources by assigning roles using Azure RBAC.",
        (
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ),
    ),
    Role(
        "4633458b-17de-408a-b874-0445c86b69e6",
        "Key Vault Secrets User",
        "Read secret contents. Only works for key vaults that use the 'Azure role-based access control' permission "
        "model.",
        data_actions=(f"{_SECRETS}/getSecret/action", f"{_SECRETS}/readMetadata/action"),
    ),
    Role(
        "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        "Key Vault Secrets Officer",
        "Perform any action on the secrets of a key vault, except manage permissions.",
        _READ_VAULTS,
        data_actions=(f"{_SECRETS}/*",),
    ),
    Role(
        "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        "Key Vault Administrator",
        "Perform all data plane operations on a key vault and all objects in it, including certificates, keys, and "
        "secrets.",
        _READ_VAULTS,
        data_actions=("Microsoft.KeyVault/vaults/*",),
    ),
    Role(
        "f25e0fa2-a7c8-4377-a976-54943a77a395",
        "Key Vault Contributor",
        "Lets you manage key vaults, but not access to them.",
        (*_DEPLOY, "Microsoft.KeyVault/*"),
        ("Microsoft.KeyVault/locations/deletedVaults/purge/action", "Microsoft.KeyVault/hsmPools/*"),
    ),
    Role(
        "a68e7c17-0ab2-4c09-9a58-125dae29748c",
        "Key Vault Purge Operator",
        "Allows permanent deletion of soft-deleted vaults.",
        ("Microsoft.KeyVault/locations/deletedVaults/read", "Microsoft.KeyVault/locations/deletedVaults/purge/action"),
    ),
    Role(
        "21090545-7ca7-4776-b22c-e363652d74d2",
        "Key Vault Reader",
        "Read metadata of key vaults and its certificates, keys, and secrets.",
        _READ_VAULTS,
        data_actions=("Microsoft.KeyVault/vaults/*/read", f"{_SECRETS}/readMetadata/action"),
    ),
    Role(
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        "Storage Blob Data Reader",
        "Allows for read access to Azure Storage blob containers and data",
        (f"{_CONTAINERS}/read", _DELEGATION_KEY),
        data_actions=(f"{_CONTAINERS}/blobs/read",),
    ),
    Role(
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "Storage Blob Data Contributor",
        "Allows for read, write and delete access to Azure Storage blob containers and data",
        (f"{_CONTAINERS}/delete", f"{_CONTAINERS}/read", f"{_CONTAINERS}/write", _DELEGATION_KEY),
        data_actions=tuple(
            f"{_CONTAINERS}/blobs/{verb}" for verb in ("delete", "read", "write", "move/action", "add/action")
        ),
    ),
    Role(
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "Storage Blob Data Owner",
        "Allows for full access to Azure Storage blob containers and data, including assigning POSIX access control.",
        (f"{_CONTAINERS}/*", _DELEGATION_KEY),
        data_actions=(f"{_CONTAINERS}/blobs/*",),
    ),
    Role(
        "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        "Storage Account Contributor",
        "Lets you manage storage accounts, including accessing storage account keys.",
        (*_DEPLOY, "Microsoft.Storage/storageAccounts/*"),
    ),
    Role(
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "Managed Identity Operator",
        "Read and Assign User Assigned Identity",
        (*_DEPLOY, f"{_IDENTITIES}/*/read", f"{_IDENTITIES}/*/assign/action"),
    ),
    Role(
        "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        "Managed Identity Contributor",
        "Create, Read, Update, and Delete User Assigned Identity",
        (
            *_DEPLOY,
            f"{_IDENTITIES}/read",
            f"{_IDENTITIES}/write",
            f"{_IDENTITIES}/delete",
            f"{_IDENTITIES}/federatedIdentityCredentials/*",
        ),
    ),
    Role(
        "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
        "Virtual Machine Contributor",
        "Create and manage virtual machines, but not the network or storage account they are connected to.",
        (
            *_DEPLOY,
            "Microsoft.Compute/virtualMachines/*",
            "Microsoft.Compute/disks/*",
            "Microsoft.Network/networkInterfaces/*",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
        ),
    ),
    Role(
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "Network Contributor",
        "Lets you manage networks, but not access to them.",
        (*_DEPLOY, "Microsoft.Network/*"),
    ),
    Role(
        "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
        "Azure Kubernetes Service Cluster User Role",
        "List cluster user credential action.",
        (f"{_MANAGED_CLUSTERS}/listClusterUserCredential/action", f"{_MANAGED_CLUSTERS}/read"),
    ),
    Role(
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "Azure Kubernetes Service Cluster Admin Role",
        "List cluster admin credential action.",
        (
            f"{_MANAGED_CLUSTERS}/listClusterAdminCredential/action",
            f"{_MANAGED_CLUSTERS}/accessProfiles/listCredential/action",
            f"{_MANAGED_CLUSTERS}/read",
            f"{_MANAGED_CLUSTERS}/runcommand/action",
        ),
    ),
    Role(
        "7f6c6a51-bcf8-42ba-9220-52d62157d7db",
        "Azure Kubernetes Service RBAC Reader",
        "Allows read-only access to see most objects in a namespace, but no secrets, roles or role bindings.",
        _READ_AUTHORIZATION,
        data_actions=tuple(
            f"{_MANAGED_CLUSTERS}/{plural}/read" for plural in (*_IN_CLUSTER_READ, *_IN_CLUSTER_WORK, "serviceaccounts")
        ),
    ),
    Role(
        "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
        "Azure Kubernetes Service RBAC Writer",
        "Allows read/write access to most objects in a namespace, but not to roles or role bindings.",
        _READ_AUTHORIZATION,
        data_actions=(
            *(f"{_MANAGED_CLUSTERS}/{plural}/read" for plural in _IN_CLUSTER_READ),
            *(f"{_MANAGED_CLUSTERS}/coordination.k8s.io/leases/{verb}" for verb in ("read", "write", "delete")),
            *(f"{_MANAGED_CLUSTERS}/{plural}/*" for plural in (*_IN_CLUSTER_WORK, *_IN_CLUSTER_HIDDEN, "events")),
        ),
    ),
    Role(
        "3498e952-d568-435e-9b2c-8d77e338d7f7",
        "Azure Kubernetes Service RBAC Admin",
        "Lets you manage all resources under cluster/namespace, except update or delete resource quotas and "
        "namespaces.",
        _READ_AUTHORIZATION,
        data_actions=(f"{_MANAGED_CLUSTERS}/*",),
        not_data_actions=tuple(
            f"{_MANAGED_CLUSTERS}/{plural}/{verb}"
            for plural in ("resourcequotas", "namespaces")
            for verb in ("write", "delete")
        ),
    ),
    Role(
        "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        "Azure Kubernetes Service RBAC Cluster Admin",
        "Lets you manage all resources in the cluster.",
        _READ_AUTHORIZATION,
        data_actions=(f"{_MANAGED_CLUSTERS}/*",),
    ),
    Role(
        "ed7f3fbd-7b88-4dd4-9017-9adb7ce333f8",
        "Azure Kubernetes Service Contributor Role",
        "Grants access to read and write Azure Kubernetes Service clusters",
        (*_DEPLOY, f"{_MANAGED_CLUSTERS}/read", f"{_MANAGED_CLUSTERS}/write"),
    ),
)

OWNER = BUILT_IN[0]


def find_role(definition_id: str) -> Role | None:
    """The built-in role with this GUID, or with a full role definition id that ends in it."""
    guid = definition_id.rstrip("/").rsplit("/", 1)[-1].lower()
    return next((role for role in BUILT_IN if role.guid == guid), None)


def find_role_by_name(name: str) -> Role | None:
    """The built-in role of this display name."""
    return next((role for role in BUILT_IN if role.name.lower() == name.lower()), None)
