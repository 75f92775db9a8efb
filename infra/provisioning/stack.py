"""What a stack is made of: its wanted resources, in the order in which they need each other. Pure."""

import hashlib
from collections.abc import Mapping

from infra.errors import InvalidInput
from infra.provisioning.plan import Found, Wanted
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
from infra.targets import ProvisionOptions, Stack

DEMO_TEXT = "This is a Demo File."
IMAGE = "Canonical:ubuntu-24_04-lts:server"
CALLER = "caller"
SECRETS_USER, SECRETS_OFFICER = "Key Vault Secrets User", "Key Vault Secrets Officer"
BLOB_READER, BLOB_CONTRIBUTOR = "Storage Blob Data Reader", "Storage Blob Data Contributor"
RESERVED_LOGINS = ("azure_superuser", "azure_pg_admin", "azuresu", "admin", "administrator", "root", "guest", "public")


def get_subject(stack: Stack) -> str:
    """Return the subject that the service account's tokens have."""
    return f"system:serviceaccount:{stack.namespace}:{stack.service_account}"


def check_first_username(stack: Stack) -> None:
    """Refuse a first username that a Flexible Server does not take as its administrator.

    Raises:
        InvalidInput: it is reserved. See
            https://learn.microsoft.com/azure/postgresql/flexible-server/quickstart-create-server
    """
    login = stack.first_username
    if login in RESERVED_LOGINS or login.startswith("pg_"):
        raise InvalidInput(
            "The first username cannot be a server's administrator",
            name="first_username",
            seen=login,
            fix=f"take another than {', '.join(RESERVED_LOGINS)} and pg_*",
        )


def make_stack(
    stack: Stack, options: ProvisionOptions, tenant: str, found: Mapping[str, Found], username: str = ""
) -> tuple[Wanted, ...]:
    """Return the wanted resources of a stack.

    Args:
        stack: the names.
        options: sizes and versions.
        tenant: the id of the tenant that the vault trusts.
        found: what was found; only the cluster's issuer is read from it.
        username: the server administrator's login in the vault, if it can be read.
    """
    group = ResourceGroup(name=stack.resource_group, location=stack.location)
    return (
        Wanted(group),
        *_vault(stack, tenant, group.key),
        *_storage(stack, group.key),
        *_machine(stack, options, group.key),
        *_cluster(stack, options, group.key, found),
        *_readers(stack),
        *_server(stack, options, group.key, username),
    )


def _vault(stack: Stack, tenant: str, group: str) -> tuple[Wanted, ...]:
    vault = Vault(name=stack.vault, resource_group=stack.resource_group.lower(), location=stack.location, tenant=tenant)
    officer = role(SECRETS_OFFICER, vault.key, CALLER)
    names = (
        stack.username_secret,
        stack.password_secret,
        stack.server_username_secret,
        stack.server_password_secret,
    )
    return (
        Wanted(vault, (group,)),
        Wanted(officer, (vault.key,)),
        *(Wanted(VaultSecret(name=name, parent=stack.vault), (officer.key,)) for name in names),
    )


def _storage(stack: Stack, group: str) -> tuple[Wanted, ...]:
    account = StorageAccount(name=stack.storage_account, location=stack.location)
    contributor = role(BLOB_CONTRIBUTOR, account.key, CALLER)
    container = Container(name=stack.container, parent=stack.storage_account)
    content = DEMO_TEXT.encode()
    blob = Blob(
        name=stack.blob,
        parent=container.label,
        size_bytes=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
    )
    return (
        Wanted(account, (group,)),
        Wanted(contributor, (account.key,)),
        Wanted(container, (contributor.key,)),
        Wanted(blob, (container.key,)),
    )


def _machine(stack: Stack, options: ProvisionOptions, group: str) -> tuple[Wanted, ...]:
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
        Wanted(guard, (group,)),
        Wanted(network, (guard.key,)),
        Wanted(address, (group,)),
        Wanted(interface, (network.key, address.key)),
        Wanted(machine, (interface.key,)),
    )


def _cluster(stack: Stack, options: ProvisionOptions, group: str, found: Mapping[str, Found]) -> tuple[Wanted, ...]:
    identity = Identity(name=stack.identity, location=stack.location)
    cluster = ManagedCluster(
        name=stack.cluster,
        location=stack.location,
        poll_interval_seconds=stack.poll_interval_seconds,
        node_size=options.node_size,
        node_count=options.node_count,
    )
    there = found.get(cluster.key)
    issuer = there.resource.issuer if there and isinstance(there.resource, ManagedCluster) else ""
    federated = FederatedCredential(
        name=stack.federated_credential,
        parent=stack.identity,
        issuer=issuer or UNKNOWN_ISSUER,
        subject=get_subject(stack),
    )
    return (
        Wanted(identity, (group,)),
        Wanted(cluster, (group,)),
        Wanted(federated, (identity.key, cluster.key)),
    )


def _readers(stack: Stack) -> tuple[Wanted, ...]:
    """Both identities read the vault's secrets and the blobs: the pods' and the machine's."""
    scopes = {
        SECRETS_USER: f"{Vault.KIND} {stack.vault}",
        BLOB_READER: f"{StorageAccount.KIND} {stack.storage_account}",
    }
    principals = (f"{Identity.KIND} {stack.identity}", f"{Machine.KIND} {stack.virtual_machine}")
    return tuple(
        Wanted(role(name, scope, principal), (scope, principal))
        for principal in principals
        for name, scope in scopes.items()
    )


def _server(stack: Stack, options: ProvisionOptions, group: str, username: str) -> tuple[Wanted, ...]:
    server = DatabaseServer(
        name=stack.server,
        location=stack.location,
        version=options.server_version,
        administrators=(stack.first_username, username or stack.first_username),
        size=options.server_size,
    )
    rule = FirewallRule(
        name="keyturn",
        parent=stack.server,
        first_address=options.first_address,
        last_address=options.last_address,
    )
    secrets = tuple(
        VaultSecret(name=name, parent=stack.vault).key
        for name in (stack.server_username_secret, stack.server_password_secret)
    )
    return Wanted(server, (group, *secrets)), Wanted(rule, (server.key,))


def role(name: str, scope: str, principal: str) -> RoleAssignment:
    """Return the assignment of a role to the identity, machine or caller with that key."""
    return RoleAssignment(name=name, scope=scope, principal=principal)
