"""Every kind of resource that can be provisioned, in one list."""

from typing import Any

from infra.azure.arm import AzureKind
from infra.azure.client import Azure
from infra.azure.clusters import ManagedClusters
from infra.azure.groups import ResourceGroups
from infra.azure.identities import FederatedCredentials, Identities
from infra.azure.machines import Machines
from infra.azure.networks import NetworkInterfaces, Networks, PublicAddresses, SecurityGroups
from infra.azure.providers import ResourceProviders
from infra.azure.roles import RoleAssignments
from infra.azure.secrets import VaultSecrets
from infra.azure.servers import DatabaseServers, FirewallRules
from infra.azure.storage import Blobs, Containers, StorageAccounts
from infra.azure.vaults import Vaults
from infra.provisioning.kinds import Kinds

KINDS: tuple[type[AzureKind[Any]], ...] = (
    ResourceProviders,
    ResourceGroups,
    SecurityGroups,
    Networks,
    PublicAddresses,
    NetworkInterfaces,
    Machines,
    Vaults,
    VaultSecrets,
    StorageAccounts,
    Containers,
    Blobs,
    Identities,
    FederatedCredentials,
    ManagedClusters,
    RoleAssignments,
    DatabaseServers,
    FirewallRules,
)


def kinds_of(azure: Azure, group: str) -> Kinds:
    """Return every kind, for the resources of one resource group."""
    return {kind.resource: kind(azure, group) for kind in KINDS}
