"""What a stack is made of: its wanted resources, in the order in which they need each other. Pure."""

import hashlib
from collections.abc import Mapping

from infra.provisioning.changes import WantedResource
from infra.provisioning.comparing import Resource
from infra.provisioning.kinds import Found
from infra.provisioning.options import ProvisionOptions, Stack
from infra.provisioning.resources import (
    UNKNOWN_ISSUER,
    Blob,
    Container,
    DatabaseServer,
    FederatedCredential,
    FirewallRule,
    Identity,
    Machine,
    ManagedCluster,
    Network,
    NetworkInterface,
    PublicAddress,
    ResourceGroup,
    RoleAssignment,
    SecurityGroup,
    StorageAccount,
    Vault,
    VaultSecret,
)

DEMO_TEXT = "This is a Demo File."
IMAGE = "Canonical:ubuntu-24_04-lts:server"
SECRETS_USER, SECRETS_OFFICER = "Key Vault Secrets User", "Key Vault Secrets Officer"
BLOB_READER, BLOB_CONTRIBUTOR = "Storage Blob Data Reader", "Storage Blob Data Contributor"


def list_wanted(
    stack: Stack, options: ProvisionOptions, tenant: str, found: Mapping[str, Found], username: str = ""
) -> tuple[WantedResource, ...]:
    """Return the wanted resources of a stack, each after those that it needs.

    Args:
        stack: the names.
        options: sizes and versions.
        tenant: the id of the tenant that the vault trusts.
        found: what was found; only the cluster's issuer is read from it.
        username: the server administrator's login in the vault, if it can be read.
    """
    group = ResourceGroup(name=stack.resource_group, location=stack.location)
    return (
        WantedResource(group),
        *_vault(stack, options, tenant, group.key),
        *_storage(stack, group.key),
        *_machine(stack, options, group.key),
        *_cluster(stack, options, group.key, found),
        *_readers(stack),
        *_server(stack, options, group.key, username),
    )


def read_rights(stack: Stack, principal: Identity | Machine) -> tuple[RoleAssignment, ...]:
    """Return the roles by which a principal reads secrets, and, last, the blobs.

    The machine reads all of the vault's secrets, the pods those that they mount.
    """
    scopes: list[Resource] = [Vault(name=stack.vault)]
    if isinstance(principal, Identity):
        scopes = [VaultSecret(name=name, parent=stack.vault) for name in stack.database.secrets.names]
    account = StorageAccount(name=stack.storage_account)
    return (*(role(SECRETS_USER, scope, principal) for scope in scopes), role(BLOB_READER, account, principal))


def federation(stack: Stack, issuer: str = UNKNOWN_ISSUER) -> FederatedCredential:
    """Return the federated credential that lets the service account's tokens stand for the identity."""
    return FederatedCredential(
        name=stack.federated_credential,
        parent=stack.identity,
        issuer=issuer,
        subject=f"system:serviceaccount:{stack.namespace}:{stack.service_account}",
        cluster=stack.cluster,
    )


def role(name: str, scope: Resource, principal: Identity | Machine | None) -> RoleAssignment:
    """Return the assignment of a role to an identity, a machine, or, with None, the caller."""
    return RoleAssignment(name=name, scope=scope, principal=principal)


def _vault(stack: Stack, options: ProvisionOptions, tenant: str, group: str) -> tuple[WantedResource, ...]:
    vault = Vault(
        name=stack.vault,
        resource_group=stack.resource_group.lower(),
        location=stack.location,
        tenant=tenant,
        drop_policies=options.drop_access_policies,
    )
    officer = role(SECRETS_OFFICER, vault, None)
    return (
        WantedResource(vault, (group,)),
        WantedResource(officer, (vault.key,)),
        *(WantedResource(secret, (officer.key,)) for secret in _secrets(stack)),
    )


def _secrets(stack: Stack) -> tuple[VaultSecret, ...]:
    """Both logins start with the first username; the variable's password is that of the database in the cluster."""
    vault, login = stack.vault, stack.first_username
    database, server = stack.database_secrets, stack.administrator_secrets
    return (
        VaultSecret(name=database.username, parent=vault, username=login),
        VaultSecret(name=database.password, parent=vault, login=login, variable=stack.first_password_variable),
        VaultSecret(name=server.username, parent=vault, username=login),
        VaultSecret(name=server.password, parent=vault, login=login),
    )


def _storage(stack: Stack, group: str) -> tuple[WantedResource, ...]:
    account = StorageAccount(name=stack.storage_account, location=stack.location)
    contributor = role(BLOB_CONTRIBUTOR, account, None)
    container = Container(name=stack.container, parent=stack.storage_account)
    content = DEMO_TEXT.encode()
    blob = Blob(
        name=stack.blob,
        parent=container.label,
        size_bytes=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        content=content,
    )
    return (
        WantedResource(account, (group,)),
        WantedResource(contributor, (account.key,)),
        WantedResource(container, (contributor.key,)),
        WantedResource(blob, (container.key,)),
    )


def _machine(stack: Stack, options: ProvisionOptions, group: str) -> tuple[WantedResource, ...]:
    name, location = stack.virtual_machine, stack.location
    guard = SecurityGroup(name=f"{name}-nsg", location=location)
    network = Network(
        name=f"{name}-vnet", location=location, addresses="10.40.0.0/24", subnet="default", security_group=guard.name
    )
    address = PublicAddress(name=f"{name}-ip", location=location)
    interface = NetworkInterface(
        name=f"{name}-nic",
        location=location,
        network=network.name,
        subnet=network.subnet,
        public_address=address.name,
    )
    machine = Machine(
        name=name, location=location, size=options.machine_size, image=IMAGE, network_interface=interface.name
    )
    return (
        WantedResource(guard, (group,)),
        WantedResource(network, (guard.key,)),
        WantedResource(address, (group,)),
        WantedResource(interface, (network.key, address.key)),
        WantedResource(machine, (interface.key,)),
    )


def _cluster(
    stack: Stack, options: ProvisionOptions, group: str, found: Mapping[str, Found]
) -> tuple[WantedResource, ...]:
    identity = Identity(name=stack.identity, location=stack.location)
    cluster = ManagedCluster(
        name=stack.cluster,
        location=stack.location,
        poll_interval_seconds=options.poll_interval_seconds,
        node_size=options.node_size,
        node_count=options.node_count,
    )
    seen = found.get(cluster.key)
    issuer = seen.resource.issuer if seen and isinstance(seen.resource, ManagedCluster) else ""
    federated = federation(stack, issuer or UNKNOWN_ISSUER)
    return (
        WantedResource(identity, (group,)),
        WantedResource(cluster, (group,)),
        WantedResource(federated, (identity.key, cluster.key)),
    )


def _readers(stack: Stack) -> tuple[WantedResource, ...]:
    """Both identities read the vault's secrets and the blobs: the pods' and the machine's."""
    principals = Identity(name=stack.identity), Machine(name=stack.virtual_machine)
    return tuple(
        WantedResource(right, (right.scope.key, principal.key))
        for principal in principals
        for right in read_rights(stack, principal)
    )


def _server(stack: Stack, options: ProvisionOptions, group: str, username: str) -> tuple[WantedResource, ...]:
    server = DatabaseServer(
        name=stack.server,
        location=stack.location,
        version=options.server_version or None,
        administrators=(stack.first_username, username or stack.first_username),
        size=options.server_size,
        vault=stack.vault,
        secrets=stack.administrator.secrets,
    )
    rule = FirewallRule(
        name="keyturn",
        parent=stack.server,
        first_address=options.first_address,
        last_address=options.last_address,
    )
    secrets = tuple(VaultSecret(name=name, parent=stack.vault).key for name in stack.administrator.secrets.names)
    return WantedResource(server, (group, *secrets)), WantedResource(rule, (server.key,))
