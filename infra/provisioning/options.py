"""The stack that is provisioned and deployed, by name, and how one such run goes. Parts of the flows' forms."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field, ValidationError

from infra.credentials import (
    Consumer,
    Credential,
    FlexibleServerEndpoint,
    Inventory,
    LoadBalancerEndpoint,
    SecretPair,
    WorkloadRef,
    load_inventory,
)
from infra.credentials.documents import load_yaml
from infra.credentials.fields import Model, Namespace, ObjectName, ReadyTimeout
from infra.credentials.problems import describe_errors
from infra.errors import InvalidInput
from infra.settings import Settings

STACK_FILE = "stack.yaml"


class StackNames(Model):
    """What the file of a stack says: names that no credential has, and the two credentials that its names come from."""

    credential: str = Field(description="The credential of the database in the cluster.")
    server_credential: str = Field(description="The credential of the Flexible Server's administrator.")
    location: str = Field(description="The Azure region.", pattern=r"^[a-z0-9]+$")
    first_username: str = Field(
        description="The login that a new vault starts with, and a new server's administrator: lower-case letters, "
        "digits and underscores.",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
    )
    first_password_variable: str = Field(
        "",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="Name of an environment variable of the worker that holds the first password; "
        "empty: one is generated. The password itself is never a parameter.",
    )
    storage_account: str = Field(
        min_length=3,
        max_length=24,
        pattern=r"^[a-z0-9]+$",
        description="3-24 lower-case letters and digits; unique in all of Azure.",
    )
    container: str = Field(
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9](-?[a-z0-9])+$",
        description="3-63 lower-case letters, digits and single hyphens.",
    )
    blob: str = Field(min_length=1, max_length=1024, description="Name of the demo file.")
    identity: str = Field(
        max_length=128, pattern=r"^[a-zA-Z0-9][-\w]{2,}$", description="3-128 letters, digits, hyphens and underscores."
    )
    federated_credential: str = Field(
        max_length=120, pattern=r"^[a-zA-Z0-9][-\w]{2,}$", description="3-120 letters, digits, hyphens and underscores."
    )
    virtual_machine: str = Field(
        pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9]{0,62}[a-zA-Z0-9])?$",
        description="The VM that reads the vault and the blob through its system-assigned identity.",
    )
    service_account: Namespace = Field(
        description="The Kubernetes service account that the identity is federated with."
    )
    storage_workload: ObjectName = Field(description="The Deployment that serves the blob.")


class Stack(StackNames):
    """Everything that is provisioned and deployed together, by name.

    Args:
        name: the stack's name, which is that of its folder.
        folder: where its manifests are.
        database: the credential of the database in the cluster.
        administrator: the credential of the Flexible Server's administrator.
    """

    name: str
    folder: Path
    database: Credential
    administrator: Credential

    @property
    def resource_group(self) -> str:
        """The resource group of everything."""
        return self.database.cluster.in_azure[0]

    @property
    def vault(self) -> str:
        """The vault of both credentials."""
        return self.database.vault

    @property
    def database_secrets(self) -> SecretPair:
        """Where the login of the database in the cluster is kept."""
        return _pair_of(self.database)

    @property
    def administrator_secrets(self) -> SecretPair:
        """Where the login of the Flexible Server's administrator is kept."""
        return _pair_of(self.administrator)

    @property
    def cluster(self) -> str:
        """The AKS cluster."""
        return self.database.cluster.in_azure[1]

    @property
    def namespace(self) -> str:
        """The namespace that everything is deployed to."""
        return self.load_balancer.namespace

    @property
    def database_consumer(self) -> Consumer:
        """The database in the cluster itself."""
        return next(consumer for consumer in self.database.consumers if consumer.is_database)

    @property
    def storage(self) -> WorkloadRef:
        """The workload that serves the blob."""
        return WorkloadRef(namespace=self.namespace, name=self.storage_workload)

    @property
    def load_balancer(self) -> LoadBalancerEndpoint:
        """The Service of the database in the cluster."""
        assert isinstance(self.database.endpoint, LoadBalancerEndpoint)
        return self.database.endpoint

    @property
    def server(self) -> str:
        """The Flexible Server."""
        assert isinstance(self.administrator.endpoint, FlexibleServerEndpoint)
        return self.administrator.endpoint.server


def get_stack(name: str, settings: Settings) -> Stack:
    """Read a stack and its credentials from the files that the settings name. Raises as `load_stack`."""
    return load_stack(name, settings.stacks, load_inventory(settings.credentials))


def load_stack(name: str, folder: Path, inventory: Inventory) -> Stack:
    """Read and check a stack.

    Args:
        name: its name.
        folder: where stacks are: `<folder>/<name>/stack.yaml`, the manifests beside it.
        inventory: where its credentials are.

    Raises:
        NotFound: there is no such stack, or no such credential.
        InvalidInput: it cannot be used; names the field.
    """
    path = folder / name / STACK_FILE
    content = load_yaml(path, "KEYTURN_STACKS")
    try:
        names = StackNames.model_validate(content)
        database, administrator = (inventory.get(each) for each in (names.credential, names.server_credential))
        stack = Stack(
            **names.model_dump(), name=name, folder=path.parent, database=database, administrator=administrator
        )
    except ValidationError as error:
        raise InvalidInput(
            "The stack cannot be used", name=str(path), seen=describe_errors(error), fix="Correct these fields"
        ) from None
    _check(stack, path)
    return stack


def _pair_of(credential: Credential) -> SecretPair:
    assert isinstance(credential.secrets, SecretPair), "other layouts are refused when a stack is loaded"
    return credential.secrets


def _check(stack: Stack, path: Path) -> None:
    """Refuse credentials that do not belong to one stack."""
    database, administrator = stack.database, stack.administrator
    secrets = [name.lower() for name in (*database.secret_names, *administrator.secret_names)]
    others = [each.name for each in (database, administrator) if not isinstance(each.secrets, SecretPair)]
    seen = ""
    if not isinstance(database.endpoint, LoadBalancerEndpoint) or not any(c.is_database for c in database.consumers):
        seen = f"{database.name} is not a database in the cluster behind a load balancer"
    elif not isinstance(administrator.endpoint, FlexibleServerEndpoint):
        seen = f"{administrator.name} is not the administrator of a Flexible Server"
    elif database.vault.lower() != administrator.vault.lower():
        seen = f"{database.name} and {administrator.name} are in different vaults"
    elif others:
        seen = f"{others[0]} is not kept as a pair of secrets, which is what a stack is provisioned with"
    elif len(set(secrets)) < len(secrets):
        seen = f"{database.name} and {administrator.name} share a secret; case does not count"
    if seen:
        raise InvalidInput(
            "The stack cannot be used", name=str(path), seen=seen, fix="Correct the stack or the credentials"
        )


class AccessRows(StrEnum):
    """Whose access is proven."""

    ALL = "all"
    MACHINE = "machine"
    POD = "pod"


class ProvisionOptions(Model):
    """Sizes, versions and addresses. Rarely needed."""

    poll_interval_seconds: int = Field(
        120,
        ge=1,
        le=86400,
        title="Rotation poll interval (seconds)",
        description="How often the CSI driver looks for new versions. 120 is AKS's default.",
    )
    machine_size: str = Field(
        "Standard_B2s",
        title="Size of the virtual machine",
        pattern=r"^(Standard|Basic)_\w+$",
        description="Begins with Standard_ or Basic_.",
    )
    node_size: str = Field(
        "Standard_D2s_v5",
        title="Size of the cluster's nodes",
        pattern=r"^Standard_\w+$",
        description="Begins with Standard_; used when the cluster is created.",
    )
    node_count: int = Field(1, ge=1, le=100, title="Number of nodes", description="Used when the cluster is created.")
    server_size: str = Field(
        "Standard_B1ms",
        title="Size of the Flexible Server",
        pattern=r"^Standard_\w+$",
        description="Begins with Standard_; B sizes are burstable.",
    )
    server_version: str = Field(
        "",
        title="PostgreSQL version of the Flexible Server",
        pattern=r"^(1[1-9])?$",
        description="A major version that the region offers. Empty: 17 for a new server; an existing one keeps its "
        "version.",
    )
    drop_access_policies: bool = Field(
        False,
        title="Drop the vault's access policies",
        description="Consent to put an existing vault into RBAC mode, in which its access policies have no effect. "
        "The plan names them.",
    )
    first_address: str = Field(
        "0.0.0.0",  # noqa: S104
        title="First address that reaches the server",
        pattern=r"^\d{1,3}(\.\d{1,3}){3}$",
        description="Four numbers with dots. 0.0.0.0 in both fields lets in what runs in Azure.",
    )
    last_address: str = Field(
        "0.0.0.0",  # noqa: S104
        title="Last address that reaches the server",
        pattern=r"^\d{1,3}(\.\d{1,3}){3}$",
        description="Four numbers with dots.",
    )


class DeployOptions(Model):
    """The image and the timeouts of a deployment. Rarely needed."""

    get_storage_image: str = Field(
        "get-storage:1",
        title="Image of get-storage",
        max_length=255,
        pattern=r"^[a-z0-9][-a-z0-9._/:@]*$",
        description="Built from manifests/walkthrough/get-storage and pushed where the cluster can pull it, "
        "for example myregistry.azurecr.io/get-storage:1.",
    )
    ready_timeout_seconds: ReadyTimeout = Field(
        600, description="Bound on the wait for the pods. New role assignments may take 10 minutes."
    )
    address_timeout_seconds: int = Field(
        300,
        ge=1,
        le=3600,
        title="Address timeout (seconds)",
        description="Bound on the wait for the load balancer's address.",
    )
