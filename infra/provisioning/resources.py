"""What can be provisioned: one class a kind of resource, with what compares of it. Pure.

See infra.provisioning.comparing for the fields, and infra.azure.kinds for how each kind is found and made.
"""

from dataclasses import dataclass

from infra.credentials import SecretLayout
from infra.provisioning.comparing import Resource, at_least, fixed, free, one_of

UNKNOWN_ISSUER = "(read from the cluster once it exists)"
NEW_SERVER_VERSION = "17"
"""The version of PostgreSQL that a new server gets if none is wanted."""
AUDIENCE = "api://AzureADTokenExchange"
CALLER = "caller"


@dataclass(frozen=True, kw_only=True)
class ResourceProvider(Resource):
    """A resource provider of the subscription, by its namespace: without it Azure makes none of its resources."""

    KIND = "resource provider"


@dataclass(frozen=True, kw_only=True)
class ResourceGroup(Resource):
    """The group that everything is in."""

    KIND = "resource group"
    location: str = fixed()


@dataclass(frozen=True, kw_only=True)
class SecurityGroup(Resource):
    """A network security group with Azure's default rules: nothing comes in from the internet."""

    KIND = "network security group"
    location: str = fixed()


@dataclass(frozen=True, kw_only=True)
class Network(Resource):
    """A virtual network with one subnet."""

    KIND = "virtual network"
    location: str = fixed()
    addresses: str = fixed()
    subnet: str = ""
    security_group: str = free()


@dataclass(frozen=True, kw_only=True)
class PublicAddress(Resource):
    """A static public address: the machine's way out."""

    KIND = "public address"
    location: str = fixed()
    sku: str = fixed("Standard")


@dataclass(frozen=True, kw_only=True)
class NetworkInterface(Resource):
    """The machine's network interface."""

    KIND = "network interface"
    location: str = fixed()
    network: str = fixed()
    subnet: str = ""
    public_address: str = free()


@dataclass(frozen=True, kw_only=True)
class Machine(Resource):
    """A Linux virtual machine with a system-assigned identity; nobody logs in to it.

    Args:
        principal_id: the identity's object id, a fact.
    """

    KIND = "virtual machine"
    location: str = fixed()
    size: str = free()
    image: str = fixed()
    system_assigned_identity: bool = free(True)
    network_interface: str = fixed()
    principal_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Vault(Resource):
    """A key vault in RBAC mode with soft delete.

    Args:
        soft_delete_days: how long what is deleted is kept; Azure accepts it at creation only.
        policies: its access policies, a fact: who may do what. In RBAC mode they have no effect.
        drop_policies: consent to that.
    """

    KIND = "vault"
    TYPE = "Microsoft.KeyVault/vaults"
    resource_group: str = fixed()
    location: str = fixed()
    tenant: str | None = fixed()
    rbac: bool | None = free(True)
    soft_delete_days: int = 7
    policies: tuple[str, ...] = ()
    drop_policies: bool = False

    @property
    def accepts_losses(self) -> bool:
        """Whether access policies may lose their effect."""
        return self.drop_policies

    def losses(self, found: Resource) -> str:
        """Return the access policies that lose their effect when the vault goes into RBAC mode."""
        if not isinstance(found, Vault) or not self.rbac or found.rbac is not False or not found.policies:
            return ""
        return f"in RBAC mode these access policies have no effect: {'; '.join(found.policies)}"


@dataclass(frozen=True, kw_only=True)
class VaultSecret(Resource):
    """A secret of the vault that must exist, whatever its value; `parent` is the vault.

    Args:
        newest_version_enabled: provisioning writes no version over a disabled one.
        username: of a secret that holds a username: what it starts with.
        login: of a secret that holds a password: whose it is.
        variable: the environment variable with the first password; empty: one is generated.
    """

    KIND = "secret"
    TYPE = "Microsoft.KeyVault/vaults/secrets"
    PARENT = Vault
    newest_version_enabled: bool = fixed(True)
    username: str = ""
    login: str = ""
    variable: str = ""


@dataclass(frozen=True, kw_only=True)
class StorageAccount(Resource):
    """A storage account that accepts Entra ID tokens only."""

    KIND = "storage account"
    TYPE = "Microsoft.Storage/storageAccounts"
    location: str = fixed()
    account_kind: str = fixed("StorageV2")
    sku: str = free("Standard_LRS")
    shared_key_access: bool = free(False)
    public_blobs: bool = free(False)
    minimum_tls: str = free("TLS1_2")


@dataclass(frozen=True, kw_only=True)
class Container(Resource):
    """A blob container; `parent` is the storage account."""

    KIND = "container"
    PARENT = StorageAccount


@dataclass(frozen=True, kw_only=True)
class Blob(Resource):
    """The demo file; `parent` is ACCOUNT/CONTAINER.

    Args:
        size_bytes: its size.
        md5: its content's MD5, in hexadecimal; None where the service does not know it.
        content: what is written.
    """

    KIND = "blob"
    PARENT = StorageAccount
    size_bytes: int = free()
    md5: str | None = free()
    content: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Identity(Resource):
    """A user-assigned identity. Its ids are facts: looked up, never typed."""

    KIND = "identity"
    location: str = fixed()
    client_id: str = ""
    principal_id: str = ""
    tenant_id: str = ""


@dataclass(frozen=True, kw_only=True)
class FederatedCredential(Resource):
    """Lets the tokens of one service account stand for an identity. `parent` is the identity.

    Args:
        cluster: the cluster that issues the tokens; its issuer is looked up.
    """

    KIND = "federated credential"
    PARENT = Identity
    issuer: str = free()
    subject: str = free()
    audience: str = free(AUDIENCE)
    cluster: str = ""


@dataclass(frozen=True, kw_only=True)
class ManagedCluster(Resource):
    """An AKS cluster.

    Args:
        dns_prefix: None leaves an existing cluster's; a new one then gets its own name.
        poll_interval_seconds: of the add-on azureKeyvaultSecretsProvider.
        issuer: its OIDC issuer, a fact.
    """

    KIND = "cluster"
    location: str = fixed()
    dns_prefix: str | None = fixed()
    oidc_issuer: bool = free(True)
    workload_identity: bool = free(True)
    secrets_provider: bool = free(True)
    secret_rotation: bool = free(True)
    poll_interval_seconds: int = free()
    node_size: str = ""
    node_count: int = 1
    issuer: str = ""


@dataclass(frozen=True, kw_only=True)
class RoleAssignment(Resource):
    """A built-in role, by name, for one principal on one scope; its name in Azure is made of the three.

    Azure deletes the assignments on a vault with it, and recovering the vault does not bring them back:
    https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview

    Args:
        scope: the resource that it is given on.
        principal: who gets it; None is the caller.
    """

    KIND = "role assignment"
    IS_RECOVERED_WITH_PARENT = False
    scope: Resource
    principal: Identity | Machine | None

    @property
    def label(self) -> str:
        """Role, scope and principal."""
        return f"{self.name} on {self.scope.key} for {self.principal.key if self.principal else CALLER}"

    @property
    def parent_key(self) -> str:
        """The key of the scope; that of the vault for a secret, which may be hidden from the caller."""
        return self.scope.parent_key or self.scope.key


@dataclass(frozen=True, kw_only=True)
class DatabaseServer(Resource):
    """A Flexible Server of PostgreSQL whose administrator has secrets of its own in the vault.

    Args:
        administrators: the logins that its administrator may have: the first username, or the one in the vault.
            A new server gets the vault's.
        vault: where the administrator's login is kept.
        secrets: how it is kept there.
    """

    KIND = "Flexible Server"
    location: str = fixed()
    version: str | None = at_least()
    administrators: tuple[str, ...] | None = one_of()
    public_access: bool = fixed(True)
    size: str = free()
    storage_gb: int = 32
    vault: str = ""
    secrets: SecretLayout | None = None


@dataclass(frozen=True, kw_only=True)
class FirewallRule(Resource):
    """The addresses that reach the server; `parent` is the server. 0.0.0.0 to 0.0.0.0 means Azure's own."""

    KIND = "firewall rule"
    PARENT = DatabaseServer
    first_address: str = free()
    last_address: str = free()
