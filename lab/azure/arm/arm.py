"""Azure Resource Manager, put together."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from lab.azure.access import Access
from lab.azure.arm.accounts import Accounts, BlobServices, Containers
from lab.azure.arm.app import FrontDoor
from lab.azure.arm.authorization import Permissions, RoleAssignments, RoleDefinitions
from lab.azure.arm.availability import Availability
from lab.azure.arm.catalogues import CATALOGUES
from lab.azure.arm.clusters import AgentPools, ManagedClusters
from lab.azure.arm.context import Context
from lab.azure.arm.groups import Groups
from lab.azure.arm.identities import FederatedCredentials, UserAssignedIdentities
from lab.azure.arm.ids import parse
from lab.azure.arm.machines import VirtualMachines
from lab.azure.arm.network import (
    Interfaces,
    PublicAddresses,
    SecurityGroups,
    SecurityRules,
    Subnets,
    VirtualNetworks,
)
from lab.azure.arm.operations import Operations
from lab.azure.arm.parameters import Parameters
from lab.azure.arm.registration import Registrations
from lab.azure.arm.routing import Routing
from lab.azure.arm.servers import Databases, FirewallRules, FlexibleServers
from lab.azure.arm.store import Store
from lab.azure.arm.subscriptions import Locations, Providers, Resources, Subscriptions, Tenants
from lab.azure.arm.vaults import DeletedVaults, Vaults
from lab.azure.backends import Backends, RunningCluster
from lab.azure.blobs.store import StorageStore
from lab.azure.directory import Directory
from lab.azure.key_vault.store import VaultStore
from lab.azure.served import NAME_OF, OPERATIONS
from lab.azure.tokens import Tokens
from lab.control.options import LabOptions

MAX_BODY_BYTES = 4 << 20
KINDS = (
    Interfaces,
    PublicAddresses,
    SecurityGroups,
    SecurityRules,
    Subnets,
    VirtualNetworks,
    VirtualMachines,
    Vaults,
    DeletedVaults,
    Accounts,
    BlobServices,
    Containers,
    UserAssignedIdentities,
    FederatedCredentials,
    AgentPools,
    FlexibleServers,
    FirewallRules,
    Databases,
    Parameters,
)


def _now() -> datetime:
    return datetime.now(UTC)


class Arm:
    """management.azure.com of one lab: an empty subscription to begin with.

    Args:
        options: of the lab.
        directory: the principals.
        access: the role assignments.
        tokens: checks who asks.
        backends: makes clusters, machines and servers real.
        vaults: the vaults' data plane.
        storage: the blobs.
        now: the clock.
    """

    def __init__(
        self,
        options: LabOptions,
        directory: Directory,
        access: Access,
        tokens: Tokens,
        backends: Backends,
        vaults: VaultStore,
        storage: StorageStore,
        now: Callable[[], datetime] = _now,
    ) -> None:
        operations = Operations(options.operation_seconds, now)
        self._operations = operations
        registrations = Registrations(options.is_fresh, now, timedelta(seconds=options.operation_seconds))
        parts = (directory, access, backends, vaults, storage, Store(), operations, registrations)
        context = Context(options, *parts, now)
        self._clusters = ManagedClusters(context)
        availability = Availability(context)
        self._routing = Routing(self._kinds(context), availability.check)
        self._front_door = FrontDoor(context, tokens, self._routing)

    def app(self) -> web.Application:
        """The application for the host management.azure.com."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app[OPERATIONS] = self._routing.operations()
        app[NAME_OF] = lambda request: self._routing.name_of(request.method, parse(request.rel_url.raw_path))
        app.router.add_route("*", "/{path:.*}", self._front_door.handle)
        return app

    def find_issuer(self, issuer_url: str) -> RunningCluster | None:
        """The running cluster that issues service account tokens as `issuer_url`, or None."""
        return self._clusters.find_issuer(issuer_url)

    async def stop(self) -> None:
        """End all operations and clusters."""
        await self._operations.stop()
        await self._clusters.stop()

    def _kinds(self, context: Context) -> dict[str, Any]:
        kinds = [self._clusters, *(kind(context) for kind in KINDS)]
        answering: dict[str, Any] = {kind.type_name.lower(): kind for kind in kinds}
        answering["microsoft.keyvault/deletedvaults"] = answering[DeletedVaults.type_name.lower()]
        for catalogue in CATALOGUES:
            answering[catalogue.type_name.lower()] = catalogue(context)
        for provider in (RoleAssignments(context), RoleDefinitions(context), Permissions(context)):
            answering[provider.type_name.lower()] = provider
        answering["tenants"] = Tenants()
        answering["subscriptions"] = Subscriptions(context)
        answering["subscriptions/locations"] = Locations()
        answering["subscriptions/resourcegroups"] = Groups(context, kinds)
        resources = Resources(context)
        answering["subscriptions/resources"] = answering["subscriptions/resourcegroups/resources"] = resources
        answering["subscriptions/providers"] = Providers(context, [kind.type_name for kind in kinds])
        return answering
