"""Making one resource of a stack as it is wanted, whatever state it is in: the same call begins, resumes, repairs."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from infra.azure import clusters, groups, identities, machines, networks, roles, servers, storage, vaults
from infra.azure.credentials import get_caller, signed_in
from infra.azure.finding import as_assignment, find, find_assignment, is_unreachable
from infra.azure.operations import OnProgress, wait_until_settled
from infra.azure.secrets import Secrets
from infra.errors import AccessDenied, NotFound, NotYetPropagated
from infra.provisioning import resources
from infra.provisioning.comparing import Resource
from infra.provisioning.first_password import check_first_password
from infra.provisioning.plan import Action, Found, State, Wanted, make_step, refuse
from infra.provisioning.stack import CALLER, DEMO_TEXT
from infra.rotation.passwords import generate_password
from infra.settings import Settings
from infra.targets import Stack

DATA = (resources.VaultSecret, resources.Container, resources.Blob)
"""What is made on a data plane, by a role that the same plan may have assigned a moment ago."""
Maker = Callable[[Any, Stack, Settings, OnProgress], None]


def make(wanted: Resource, stack: Stack, settings: Settings, on_progress: OnProgress) -> Action:
    """Make a resource as it is wanted, and return what was done.

    Looks first: what another run has begun is waited for, what is as wanted is left.

    Raises:
        CannotChange: it was found to differ in what cannot be changed in place.
        NotYetPropagated: a role, an identity or a host name that is new has no effect yet.
    """
    with signed_in(settings):
        if isinstance(wanted, resources.RoleAssignment):
            return _assign(wanted, stack, settings)
        return _make(wanted, stack, settings, on_progress)


def _make(wanted: Resource, stack: Stack, settings: Settings, on_progress: OnProgress) -> Action:
    if isinstance(wanted, resources.FederatedCredential):
        issuer = clusters.get_issuer(stack.cluster, stack.resource_group, settings)
        wanted = dataclasses.replace(wanted, issuer=issuer)
    group = stack.resource_group
    found = wait_until_settled(lambda: find(wanted, group, settings), wanted.key, on_progress)
    step = make_step(Wanted(wanted), found)
    if step.action is Action.REFUSE:
        raise refuse([step])
    if step.action is Action.LEAVE:
        return Action.LEAVE
    try:
        _get_maker(wanted, found)(wanted, stack, settings, on_progress)
    except (AccessDenied, NotFound) as error:
        if isinstance(wanted, DATA) and (isinstance(error, AccessDenied) or is_unreachable(error)):
            raise NotYetPropagated(
                error.what, name=error.name, seen=error.seen, fix=error.fix, code=error.code
            ) from None
        raise
    return Action.CREATE if step.action is Action.CHECK else step.action


def check_variables(stack: Stack, environment: Mapping[str, str]) -> None:
    """Refuse a first password, given by a variable, that is missing or that Azure would refuse.

    Raises:
        InvalidInput: it is missing or too weak; says which, never the value.
    """
    if name := stack.first_password_variable:
        check_first_password(name, environment.get(name, ""), stack.first_username)


def _assign(wanted: resources.RoleAssignment, stack: Stack, settings: Settings) -> Action:
    group = stack.resource_group
    if wanted.principal == CALLER:
        caller = get_caller(settings)
        principal_id, kind = caller.object_id, caller.kind
    else:
        name = wanted.principal.rsplit(" ", 1)[-1]
        is_machine = wanted.principal.startswith(resources.Machine.KIND)
        look = machines.get_machine if is_machine else identities.get_identity
        principal_id, kind = look(name, group, settings).principal_id, "ServicePrincipal"
    if find_assignment(wanted, principal_id, group, settings):
        return Action.LEAVE
    return (
        Action.CREATE
        if roles.assign(as_assignment(wanted, principal_id, group, settings, kind), settings)
        else Action.LEAVE
    )


def _get_maker(wanted: Resource, found: Found | None) -> Maker:
    if found is not None and found.state is State.DELETED:
        return RECOVERERS[type(wanted)]
    return MAKERS[type(wanted)]


def _write_first_secret(
    wanted: resources.VaultSecret, stack: Stack, settings: Settings, on_progress: OnProgress
) -> None:
    vault = Secrets(wanted.parent, settings)
    if wanted.name in (stack.username_secret, stack.server_username_secret):
        vault.write(wanted.name, stack.first_username)
    elif wanted.name == stack.password_secret and stack.first_password_variable:
        check_variables(stack, os.environ)
        vault.write(wanted.name, os.environ[stack.first_password_variable])
    else:
        vault.write(wanted.name, generate_password())


def _make_server(wanted: resources.DatabaseServer, stack: Stack, settings: Settings, on_progress: OnProgress) -> None:
    found = servers.find_server(wanted.name, stack.resource_group, settings)
    if found is not None and found.resource is not None:
        servers.change_server(wanted, stack.resource_group, settings, on_progress)
        return
    vault = Secrets(stack.vault, settings)
    administrator, password = vault.read(stack.server_username_secret), vault.read(stack.server_password_secret)
    servers.create_server(wanted, administrator, password, stack.resource_group, settings, on_progress)


def _in_group(put: Callable[[Any, str, Settings, OnProgress], None]) -> Maker:
    return lambda one, stack, settings, on_progress: put(one, stack.resource_group, settings, on_progress)


MAKERS: dict[type[Resource], Maker] = {
    resources.ResourceGroup: lambda one, stack, settings, on_progress: groups.put_group(one, settings),
    resources.SecurityGroup: _in_group(networks.put_security_group),
    resources.Network: _in_group(networks.put_network),
    resources.PublicAddress: _in_group(networks.put_public_address),
    resources.NetworkInterface: _in_group(networks.put_interface),
    resources.Machine: _in_group(machines.put_machine),
    resources.Vault: _in_group(vaults.put_vault),
    resources.VaultSecret: _write_first_secret,
    resources.StorageAccount: _in_group(storage.put_account),
    resources.Container: lambda one, stack, settings, on_progress: storage.put_container(one, settings),
    resources.Blob: lambda one, stack, settings, on_progress: storage.put_blob(one, DEMO_TEXT.encode(), settings),
    resources.Identity: lambda one, stack, settings, on_progress: identities.put_identity(
        one, stack.resource_group, settings
    ),
    resources.FederatedCredential: lambda one, stack, settings, on_progress: identities.put_federated(
        one, stack.resource_group, settings
    ),
    resources.ManagedCluster: _in_group(clusters.put_cluster),
    resources.DatabaseServer: _make_server,
    resources.FirewallRule: _in_group(servers.put_firewall_rule),
}
RECOVERERS: dict[type[Resource], Maker] = {
    resources.Vault: _in_group(vaults.recover_vault),
    resources.VaultSecret: lambda one, stack, settings, on_progress: Secrets(one.parent, settings).recover(one.name),
}
