"""The stack that is provisioned and deployed, and how one such run goes."""

from typing import Self

from pydantic import Field, model_validator

from infra.targets.fields import (
    ClusterName,
    DryRun,
    Model,
    Namespace,
    PasswordSecret,
    ReadyTimeout,
    ResourceGroup,
    ServerName,
    UsernameSecret,
    VaultName,
)


class Stack(Model):
    """Everything that the walkthrough creates, by name."""

    resource_group: ResourceGroup = "integrateakskv-rg"
    location: str = Field("eastus2", title="Location", description="The Azure region.", pattern=r"^[a-z0-9]+$")
    vault: VaultName = "dexterkeyvault"
    username_secret: UsernameSecret = "username"  # noqa: S105
    password_secret: PasswordSecret = "password"  # noqa: S105
    server_username_secret: UsernameSecret = Field(
        "server-username",
        title="Server's username secret",
        description="Name of the vault's secret that holds the login of the Flexible Server's administrator. "
        "It is not the one that is rotated in the cluster.",
    )
    server_password_secret: PasswordSecret = Field(
        "server-password",
        title="Server's password secret",
        description="Name of the vault's secret that holds the administrator's password; it is generated.",
    )
    first_username: str = Field(
        "dexter",
        title="First username",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="The login that a new vault starts with, and a new server's administrator: lower case, digits "
        "and underscores.",
    )
    first_password_variable: str = Field(
        "",
        title="First password from",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="Name of an environment variable of the worker that holds the first password; "
        "empty: one is generated. The password itself is never a parameter.",
    )
    storage_account: str = Field(
        "integrateakskvtachotacho",
        title="Storage account",
        description="3-24 lower-case letters and digits; unique in all of Azure.",
        min_length=3,
        max_length=24,
        pattern=r"^[a-z0-9]+$",
    )
    container: str = Field(
        "dexter",
        title="Blob container",
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9](-?[a-z0-9])+$",
        description="3-63 lower-case letters, digits and single hyphens.",
    )
    blob: str = Field("demo.txt", title="Blob", description="Name of the demo file.", min_length=1, max_length=1024)
    identity: str = Field(
        "id-aks-uai",
        title="User-assigned identity",
        pattern=r"^[a-zA-Z0-9][-\w]{2,127}$",
        description="3-128 letters, digits, hyphens and underscores.",
    )
    federated_credential: str = Field(
        "aksfederatedidentity",
        title="Federated credential",
        pattern=r"^[a-zA-Z0-9][-\w]{2,119}$",
        description="3-120 letters, digits, hyphens and underscores.",
    )
    cluster: ClusterName = "integrateakskv-cluster"
    poll_interval_seconds: int = Field(
        120,
        ge=1,
        le=86400,
        title="Rotation poll interval (seconds)",
        description="How often the CSI driver looks for new versions. 120 is AKS's default.",
    )
    virtual_machine: str = Field(
        "AzureVM-Server",
        title="Virtual machine",
        pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9]{0,62}[a-zA-Z0-9])?$",
        description="The VM that reads the vault and the blob through its system-assigned identity.",
    )
    server: ServerName = "sonarqube-postgresql3"
    namespace: Namespace = "dexter"
    service_account: Namespace = Field(
        "dexter-sa",
        title="Service account",
        description="The Kubernetes service account that the identity is federated with.",
    )

    @model_validator(mode="after")
    def _keep_secrets_apart(self) -> Self:
        names = (
            self.username_secret,
            self.password_secret,
            self.server_username_secret,
            self.server_password_secret,
        )
        if len({name.lower() for name in names}) < len(names):
            raise ValueError("the secrets of usernames and passwords need four different names; case does not count")
        return self


class ProvisionOptions(Model):
    """How this one provisioning goes. As it stands, nothing is changed: the plan is shown alone."""

    dry_run: DryRun = True
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
        "14",
        title="PostgreSQL version of the Flexible Server",
        pattern=r"^1[1-9]$",
        description="A major version from 11 on. A server with a newer one is left as it is.",
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


class TearDownOptions(Model):
    """Whether everything is really removed. As it stands, what would be removed is shown alone."""

    confirm: str = Field(
        "",
        title="Name of the resource group, to confirm",
        max_length=90,
        description="Repeat the resource group's name: it is deleted with all that is in it, and its vault is purged.",
    )


class DeployOptions(Model):
    """How this one deployment goes. As it stands, nothing is changed: what would change is shown alone."""

    dry_run: DryRun = Field(True, description="Show what would change and change nothing.")
    get_storage_image: str = Field(
        "get-storage:1",
        title="Image of get-storage",
        max_length=255,
        pattern=r"^[a-z0-9][-a-z0-9._/:@]*$",
        description="Built from manifests/get-storage and pushed where the cluster can pull it, "
        "as myregistry.azurecr.io/get-storage:1.",
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
