"""What of a stack is there: each kind of resource looked up by its adapter, in waves, many at a time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from infra.azure import clusters, groups, identities, machines, networks, roles, servers, storage, vaults
from infra.azure.credentials import Caller, signed_in
from infra.azure.names import get_resource_id
from infra.azure.secrets import Secrets
from infra.errors import AccessDenied, KeyturnError, NotFound
from infra.provisioning import resources
from infra.provisioning.comparing import Resource
from infra.provisioning.plan import Found, State
from infra.provisioning.stack import CALLER
from infra.settings import Settings

WORKERS = 8
NESTED = (
    resources.VaultSecret,
    resources.Container,
    resources.Blob,
    resources.FederatedCredential,
    resources.RoleAssignment,
    resources.FirewallRule,
)
GLOBAL = (resources.ResourceGroup, resources.Vault, resources.StorageAccount, resources.DatabaseServer)
"""What can be in the way even when the resource group is not there: their names are unique in all of Azure."""
SCOPE_KINDS = {
    resources.Vault.KIND: "Microsoft.KeyVault/vaults",
    resources.StorageAccount.KIND: "Microsoft.Storage/storageAccounts",
}
Finder = Callable[[Any, str, Settings], Found | None]


def find_all(wanted: Sequence[Resource], group: str, caller: Caller, settings: Settings) -> dict[str, Found]:
    """Return what is there of the wanted resources, by key; what is not there is not in it.

    Raises:
        KeyturnError: it cannot be looked at.
    """
    with signed_in(settings):
        return _find_all(wanted, group, caller, settings)


def _find_all(wanted: Sequence[Resource], group: str, caller: Caller, settings: Settings) -> dict[str, Found]:
    outer = [one for one in wanted if not isinstance(one, NESTED)]
    if groups.find_group(group, settings) is None:
        outer = [one for one in outer if isinstance(one, GLOBAL)]
    found = _look(outer, lambda one: find(one, group, settings))
    inner = [one for one in wanted if isinstance(one, NESTED)]
    return found | _look(inner, lambda one: _find_nested(one, group, caller, found, settings))


def find(wanted: Resource, group: str, settings: Settings) -> Found | None:
    """Return one resource that is looked up by its name alone; see `find_assignment` for roles."""
    return FINDERS[type(wanted)](wanted, group, settings)


def find_assignment(
    wanted: resources.RoleAssignment, principal_id: str, group: str, settings: Settings
) -> Found | None:
    """Return a role assignment of a principal, or None."""
    return Found(wanted) if roles.is_assigned(as_assignment(wanted, principal_id, group, settings), settings) else None


def as_assignment(
    wanted: resources.RoleAssignment, principal_id: str, group: str, settings: Settings, principal_kind: str = ""
) -> roles.Assignment:
    """Return a wanted role assignment with the ids of its scope and principal."""
    kind = next(kind for kind in SCOPE_KINDS if wanted.scope.startswith(kind))
    scope = get_resource_id(settings.subscription_id, group, SCOPE_KINDS[kind], wanted.scope.removeprefix(f"{kind} "))
    return roles.Assignment(wanted.name, scope, principal_id, principal_kind or "ServicePrincipal")


def get_principal_id(found: Mapping[str, Found], principal: str, caller: Caller) -> str:
    """Return the object id behind a principal's key; empty when it is not there."""
    if principal == CALLER:
        return caller.object_id
    resource = found[principal].resource if principal in found else None
    return resource.principal_id if isinstance(resource, resources.Identity | resources.Machine) else ""


def _look(wanted: Sequence[Resource], look: Callable[[Resource], Found | None]) -> dict[str, Found]:
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        found = pool.map(lambda one: one[0].run(look, one[1]), [(copy_context(), one) for one in wanted])
        return {one.key: there for one, there in zip(wanted, found, strict=True) if there is not None}


def _find_nested(
    wanted: Resource, group: str, caller: Caller, found: Mapping[str, Found], settings: Settings
) -> Found | None:
    if isinstance(wanted, resources.RoleAssignment):
        principal_id = get_principal_id(found, wanted.principal, caller)
        if not principal_id or not _is_there(found, wanted.scope):
            return None
        return find_assignment(wanted, principal_id, group, settings)
    outer = _get_outer(wanted)
    if outer in found and found[outer].state is State.DELETED:
        return Found(None, State.HIDDEN, f"seen when the {outer} is recovered")
    return find(wanted, group, settings) if _is_there(found, outer) else None


def _is_there(found: Mapping[str, Found], key: str) -> bool:
    return key in found and found[key].resource is not None and found[key].state is not State.DELETED


def _get_outer(wanted: Resource) -> str:
    """Return the key of what a nested resource is in."""
    kinds: dict[type[Resource], type[Resource]] = {
        resources.VaultSecret: resources.Vault,
        resources.Container: resources.StorageAccount,
        resources.Blob: resources.StorageAccount,
        resources.FederatedCredential: resources.Identity,
        resources.FirewallRule: resources.DatabaseServer,
    }
    return f"{kinds[type(wanted)].KIND} {wanted.parent.split('/')[0]}"


def _find_secret(wanted: resources.VaultSecret, group: str, settings: Settings) -> Found | None:
    vault = Secrets(wanted.parent, settings)
    latest = vault.find_latest(wanted.name)
    if latest is not None:
        return Found(
            resources.VaultSecret(name=wanted.name, parent=wanted.parent, newest_version_enabled=latest.enabled)
        )
    if vault.find_deleted(wanted.name):
        return Found(wanted, State.DELETED, "soft-deleted; recovering keeps its versions")
    return None


def _hidden_when_denied(look: Finder) -> Finder:
    """Make of a refusal something to be looked at later: the plan gives the caller the role that it lacks."""

    def hidden(wanted: Any, group: str, settings: Settings) -> Found | None:
        try:
            return look(wanted, group, settings)
        except AccessDenied as error:
            return Found(None, State.HIDDEN, f"not readable yet: {error.seen}", error.code)
        except NotFound as error:
            if not is_unreachable(error):
                raise
            return Found(None, State.HIDDEN, "its host is not known yet")

    return hidden


def is_unreachable(error: KeyturnError) -> bool:
    """Tell whether it was the host that was not found: a new vault's or account's name takes a while."""
    return error.code == "HostNotFound"


FINDERS: dict[type[Resource], Finder] = {
    resources.ResourceGroup: lambda one, group, settings: groups.find_group(one.name, settings),
    resources.SecurityGroup: lambda one, group, settings: networks.find_security_group(one.name, group, settings),
    resources.Network: networks.find_network,
    resources.PublicAddress: lambda one, group, settings: networks.find_public_address(one.name, group, settings),
    resources.NetworkInterface: lambda one, group, settings: networks.find_interface(one.name, group, settings),
    resources.Machine: lambda one, group, settings: machines.find_machine(one.name, group, settings),
    resources.Vault: vaults.find_vault,
    resources.VaultSecret: _hidden_when_denied(_find_secret),
    resources.StorageAccount: lambda one, group, settings: storage.find_account(one.name, group, settings),
    resources.Container: _hidden_when_denied(
        lambda one, group, settings: storage.find_container(one.name, one.parent, settings)
    ),
    resources.Blob: _hidden_when_denied(
        lambda one, group, settings: storage.find_blob(
            one.name, one.parent.split("/", 1)[1], one.parent.split("/", 1)[0], settings
        )
    ),
    resources.Identity: lambda one, group, settings: identities.find_identity(one.name, group, settings),
    resources.FederatedCredential: lambda one, group, settings: identities.find_federated(
        one.name, one.parent, group, settings
    ),
    resources.ManagedCluster: lambda one, group, settings: clusters.find_cluster(one.name, group, settings),
    resources.DatabaseServer: lambda one, group, settings: servers.find_server(one.name, group, settings),
    resources.FirewallRule: lambda one, group, settings: servers.find_firewall_rule(
        one.name, one.parent, group, settings
    ),
}
