"""The models that name things: the stack that is provisioned and the credential that is rotated.

They are the flows' parameters, so they make the forms of the Prefect UI: titles, help and bounds are read by
people. Names only, never values. The defaults are the walkthrough's.
"""

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Strategy(StrEnum):
    """How the database takes the new credential."""

    RECREATE = "recreate"
    IN_PLACE = "in-place"


class Sync(StrEnum):
    """How the consumers get the new versions: the driver's poll is waited for, or a fresh mount fetches them."""

    WAIT = "wait"
    EXPRESS = "express"


class Model(BaseModel):
    """Base of all parameter models: unknown fields are refused, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=False)


DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Stack(Model):
    """Everything that the walkthrough creates, by name."""

    resource_group: str = Field(
        "integrateakskv-rg",
        title="Resource group",
        description="1-90 letters, digits, . _ - ( ), not ending with a dot.",
        pattern=r"^[-\w.()]{0,89}[-\w()]$",
        examples=["integrateakskv-rg"],
    )
    location: str = Field("eastus2", title="Location", description="The Azure region.", pattern=r"^[a-z0-9]+$")
    vault: str = Field(
        "dexterkeyvault",
        title="Key vault",
        description="3-24 letters, digits and hyphens, beginning with a letter; unique in all of Azure.",
        min_length=3,
        max_length=24,
        pattern=r"^[a-zA-Z](-?[a-zA-Z0-9])+$",
    )
    username_secret: str = Field(
        "username",
        title="Username secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Name of the vault's secret that holds the username: letters, digits and hyphens.",
    )
    password_secret: str = Field(
        "password",
        title="Password secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Name of the vault's secret that holds the password: letters, digits and hyphens.",
    )
    server_username_secret: str = Field(
        "server-username",
        title="Server's username secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Name of the vault's secret that holds the login of the Flexible Server's administrator. "
        "It is not the one that is rotated in the cluster.",
    )
    server_password_secret: str = Field(
        "server-password",
        title="Server's password secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
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
    cluster: str = Field(
        "integrateakskv-cluster",
        title="AKS cluster",
        pattern=r"^[a-zA-Z0-9]([-\w]{0,61}[a-zA-Z0-9])?$",
        description="1-63 letters, digits, hyphens and underscores.",
    )
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
    server: str = Field(
        "sonarqube-postgresql3",
        title="Flexible Server",
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="3-63 lower-case letters, digits and hyphens; unique in all of Azure.",
    )
    namespace: str = Field(
        "dexter",
        title="Namespace",
        max_length=63,
        pattern=DNS_LABEL,
        description="The Kubernetes namespace.",
    )
    service_account: str = Field(
        "dexter-sa",
        title="Service account",
        max_length=63,
        pattern=DNS_LABEL,
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


class Consumer(Model):
    """A workload whose pods get the credential. Names only, never values."""

    namespace: str = Field(
        title="Namespace",
        max_length=63,
        pattern=DNS_LABEL,
        description="The Kubernetes namespace of the Deployment, its class and its Secret.",
    )
    workload: str = Field(
        title="Deployment",
        max_length=63,
        pattern=DNS_LABEL,
        description="The Deployment whose pods consume the credential.",
    )
    secret_provider_class: str = Field(
        title="SecretProviderClass",
        max_length=253,
        pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        description="The SecretProviderClass that mounts the vault's secrets in its pods.",
    )
    synced_secret: str = Field(
        title="Synced Secret",
        max_length=253,
        pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        description="The Kubernetes Secret that the CSI driver keeps equal to the vault.",
    )
    is_database: bool = Field(
        False,
        title="Is the database",
        description="The database itself: its pods are initialised from the credential, they do not log in with it.",
    )
    needs_restart: bool = Field(
        True,
        title="Needs a restart",
        description="Whether a client takes new values by a restart alone. Off: it reads its files again by itself.",
    )

    @property
    def key(self) -> str:
        """How people call it: namespace/workload."""
        return f"{self.namespace}/{self.workload}"

    @property
    def secret_key(self) -> str:
        """Its synced Secret, as namespace/name."""
        return f"{self.namespace}/{self.synced_secret}"


WALKTHROUGH_CONSUMER = Consumer(
    namespace="dexter",
    workload="postgres-pod-kv",
    secret_provider_class="postgresql-kvname",  # noqa: S106
    synced_secret="userpass",  # noqa: S106
    is_database=True,
)


class Target(Model):
    """One credential to rotate: where it is kept, which database takes it, who consumes it. Names only."""

    resource_group: str = Field(
        "integrateakskv-rg",
        title="Resource group",
        description="The resource group of cluster and vault.",
        pattern=r"^[-\w.()]{0,89}[-\w()]$",
    )
    cluster: str = Field(
        "integrateakskv-cluster",
        title="AKS cluster",
        description="The cluster that the consumers run in.",
        pattern=r"^[a-zA-Z0-9]([-\w]{0,61}[a-zA-Z0-9])?$",
    )
    vault: str = Field(
        "dexterkeyvault",
        title="Key vault",
        description="3-24 letters, digits and hyphens.",
        min_length=3,
        max_length=24,
        pattern=r"^[a-zA-Z](-?[a-zA-Z0-9])+$",
    )
    username_secret: str = Field(
        "username",
        title="Username secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="The vault's secret that holds the username.",
    )
    password_secret: str = Field(
        "password",
        title="Password secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="The vault's secret that holds the password.",
    )
    namespace: str = Field(
        "dexter",
        title="Namespace",
        max_length=63,
        pattern=DNS_LABEL,
        description="The Kubernetes namespace of the database's Service; the rotation's lock is kept there.",
    )
    consumers: tuple[Consumer, ...] = Field(
        (WALKTHROUGH_CONSUMER,),
        title="Consumers",
        description="Every Deployment whose pods get the credential: the database's own, and its clients.",
        min_length=1,
    )
    service: str = Field(
        "dexter-service",
        title="Service",
        max_length=63,
        pattern=DNS_LABEL,
        description="The LoadBalancer through which the database is reached.",
    )
    database: str = Field(
        "postgres",
        title="Database",
        min_length=1,
        max_length=63,
        description="The database that proves a login. `postgres` exists on every server.",
    )
    strategy: Strategy = Field(
        Strategy.RECREATE,
        title="Strategy",
        description="recreate: the database is initialised from the Secret when its pod starts; its data goes with it. "
        "in-place: the login gets a new password inside the running database; nothing is lost.",
    )

    @field_validator("consumers")
    @classmethod
    def _names_each_once(cls, consumers: tuple[Consumer, ...]) -> tuple[Consumer, ...]:
        keys = [consumer.key for consumer in consumers]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"a workload is listed once: {', '.join(repeated)}")
        return consumers

    def consumer(self, key: str) -> Consumer:
        """The consumer called namespace/workload."""
        return next(consumer for consumer in self.consumers if consumer.key == key)


class RotationOptions(Model):
    """How this one rotation goes. As they stand, nothing is changed: the plan is shown alone."""

    dry_run: bool = Field(True, title="Dry run", description="Show the plan and change nothing.")
    sync: Sync = Field(
        Sync.WAIT,
        title="Sync",
        description="wait: for the driver's poll, at most the timeout below. express: the stale Secret is brought "
        "up to date and what needs it is restarted; the new mount itself fetches the newest versions.",
    )
    data_loss: Literal["no", "I accept data loss"] = Field(
        "no",
        title="Data loss",
        description="The strategy recreate begins with an empty database: it runs only with this consent.",
    )
    new_username: str = Field(
        "",
        title="New username",
        pattern=r"^([a-z_][a-z0-9_]{0,62})?$",
        description="Lower case, digits, underscores. Empty: derived from the present one. in-place keeps the name.",
    )
    rotation_id: str = Field(
        "",
        title="Rotation id",
        pattern=r"^([0-9a-z][-0-9a-z]{0,62})?$",
        description="Give the id of an earlier run to resume it. Empty: an unfinished one is found, "
        "or a new one begun.",
    )
    sync_timeout_seconds: int = Field(
        360,
        ge=1,
        le=7200,
        title="Sync timeout (seconds)",
        description="Bound on the wait for the sync: poll interval + 90 s + slack.",
    )
    ready_timeout_seconds: int = Field(
        300,
        ge=1,
        le=3600,
        title="Ready timeout (seconds)",
        description="Bound on the wait for the new pods.",
    )


class ProvisionOptions(Model):
    """How this one provisioning goes. As it stands, nothing is changed: the plan is shown alone."""

    dry_run: bool = Field(True, title="Dry run", description="Show the plan and change nothing.")
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

    dry_run: bool = Field(True, title="Dry run", description="Show what would change and change nothing.")
    get_storage_image: str = Field(
        "get-storage:1",
        title="Image of get-storage",
        max_length=255,
        pattern=r"^[a-z0-9][-a-z0-9._/:@]*$",
        description="Built from manifests/get-storage and pushed where the cluster can pull it, "
        "as myregistry.azurecr.io/get-storage:1.",
    )
    ready_timeout_seconds: int = Field(
        600,
        ge=1,
        le=3600,
        title="Ready timeout (seconds)",
        description="Bound on the wait for the pods. New role assignments may take 10 minutes.",
    )
    address_timeout_seconds: int = Field(
        300,
        ge=1,
        le=3600,
        title="Address timeout (seconds)",
        description="Bound on the wait for the load balancer's address.",
    )


class Through(StrEnum):
    """Which way a login goes."""

    SERVICE = "service"
    SERVER = "server"


class LoginTarget(Model):
    """A database to log in to, and where its credential is kept. Names only, never values."""

    through: Through = Field(
        Through.SERVICE,
        title="Through",
        description="service: the LoadBalancer in the cluster. server: the Flexible Server, over verified TLS.",
    )
    vault: str = Field(
        "dexterkeyvault",
        title="Key vault",
        description="3-24 letters, digits and hyphens.",
        min_length=3,
        max_length=24,
        pattern=r"^[a-zA-Z](-?[a-zA-Z0-9])+$",
    )
    username_secret: str = Field(
        "username",
        title="Username secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Used with `service`: the vault's secret that holds the username.",
    )
    password_secret: str = Field(
        "password",
        title="Password secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Used with `service`: the vault's secret that holds the password.",
    )
    server_username_secret: str = Field(
        "server-username",
        title="Server's username secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Used with `server`: the vault's secret that holds the username.",
    )
    server_password_secret: str = Field(
        "server-password",
        title="Server's password secret",
        pattern=r"^[0-9a-zA-Z-]{1,127}$",
        description="Used with `server`: the vault's secret that holds the password.",
    )
    server: str = Field(
        "sonarqube-postgresql3",
        title="Flexible Server",
        min_length=3,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Used with `server`: 3-63 lower-case letters, digits and hyphens.",
    )
    resource_group: str = Field(
        "integrateakskv-rg",
        title="Resource group",
        description="Used with `service`: the resource group of the cluster.",
        pattern=r"^[-\w.()]{0,89}[-\w()]$",
    )
    cluster: str = Field(
        "integrateakskv-cluster",
        title="AKS cluster",
        description="Used with `service`: the cluster that the database runs in.",
        pattern=r"^[a-zA-Z0-9]([-\w]{0,61}[a-zA-Z0-9])?$",
    )
    namespace: str = Field(
        "dexter",
        title="Namespace",
        max_length=63,
        pattern=DNS_LABEL,
        description="Used with `service`: the Kubernetes namespace.",
    )
    service: str = Field(
        "dexter-service",
        title="Service",
        max_length=63,
        pattern=DNS_LABEL,
        description="Used with `service`: the LoadBalancer through which the database is reached.",
    )
    database: str = Field(
        "postgres",
        title="Database",
        min_length=1,
        max_length=63,
        description="The database to log in to. `postgres` exists on every server.",
    )

    @property
    def secret_names(self) -> tuple[str, str]:
        """The secrets of username and password, of the way that the login goes."""
        if self.through is Through.SERVER:
            return self.server_username_secret, self.server_password_secret
        return self.username_secret, self.password_secret


class LoginOptions(Model):
    """What a login must prove."""

    check_older: bool = Field(
        True,
        title="Try older versions",
        description="Try the login of every older version that can still be read; each must be refused.",
    )
    timeout_seconds: int = Field(
        60,
        ge=1,
        le=3600,
        title="Timeout (seconds)",
        description="Bound on the wait for a database that is starting.",
    )


class StoryOptions(Model):
    """How the whole walkthrough goes. As it stands, nothing is changed: the first plan is shown alone."""

    dry_run: bool = Field(True, title="Dry run", description="Show the provisioning's plan and change nothing.")
    sync: Sync = Field(
        Sync.WAIT,
        title="Sync",
        description="wait: the driver's poll is waited for, as the walkthrough does. express: a fresh mount fetches "
        "the newest versions.",
    )
    data_loss: Literal["no", "I accept data loss"] = Field(
        "no",
        title="Data loss",
        description="The walkthrough's database begins empty after the rotation: it is rotated only with this consent.",
    )


class AccessRows(StrEnum):
    """Whose access is proven."""

    ALL = "all"
    MACHINE = "machine"
    POD = "pod"


class AccessOptions(Model):
    """Which access is proven."""

    rows: AccessRows = Field(
        AccessRows.ALL,
        title="Whose access",
        description="machine: secret and blob by the VM's identity (S1, S2). pod: blob by workload identity (S15).",
    )
