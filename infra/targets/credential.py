"""The credential that is rotated: where it is kept, which database takes it, who consumes it. Names only."""

from enum import StrEnum
from typing import Self

from pydantic import Field, field_validator, model_validator

from infra.targets.fields import (
    ClusterName,
    DatabaseName,
    Model,
    Namespace,
    ObjectName,
    OptionalSecret,
    PasswordSecret,
    ResourceGroup,
    ServerName,
    ServiceName,
    UsernameSecret,
    VaultName,
)


class Strategy(StrEnum):
    """How the database takes the new credential."""

    RECREATE = "recreate"
    IN_PLACE = "in-place"
    ALTERNATING = "alternating"
    MANAGED = "managed"


class Through(StrEnum):
    """Which way a login goes."""

    SERVICE = "service"
    SERVER = "server"


class Consumer(Model):
    """A workload whose pods get the credential. Names only, never values."""

    namespace: Namespace = Field(description="The Kubernetes namespace of the Deployment, its class and its Secret.")
    workload: Namespace = Field(title="Deployment", description="The Deployment whose pods consume the credential.")
    secret_provider_class: ObjectName = Field(
        title="SecretProviderClass",
        description="The SecretProviderClass that mounts the vault's secrets in its pods.",
    )
    synced_secret: ObjectName = Field(
        title="Synced Secret",
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
    def class_key(self) -> str:
        """Its SecretProviderClass, as namespace/name."""
        return f"{self.namespace}/{self.secret_provider_class}"

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

    resource_group: ResourceGroup = Field(
        "integrateakskv-rg", description="The resource group of cluster, vault and server."
    )
    cluster: ClusterName = Field(
        "integrateakskv-cluster",
        description="The cluster that the consumers run in; the rotation's lock is kept there.",
    )
    vault: VaultName = Field("dexterkeyvault", description="3-24 letters, digits and hyphens.")
    username_secret: UsernameSecret = Field("username", description="The vault's secret that holds the username.")
    password_secret: PasswordSecret = Field("password", description="The vault's secret that holds the password.")
    namespace: Namespace = Field(
        "dexter",
        description="The Kubernetes namespace of the database's Service; the rotation's lock is kept there.",
    )
    consumers: tuple[Consumer, ...] = Field(
        (WALKTHROUGH_CONSUMER,),
        title="Consumers",
        description="Every Deployment whose pods get the credential: the database's own, and its clients. "
        "None, where the credential is only read from the vault.",
    )
    through: Through = Field(
        Through.SERVICE,
        title="Through",
        description="service: the LoadBalancer in the cluster. server: the Flexible Server, over verified TLS.",
    )
    service: ServiceName = Field(
        "dexter-service", description="Used with `service`: the LoadBalancer through which the database is reached."
    )
    server: ServerName = Field(
        "sonarqube-postgresql3", description="Used with `server`: 3-63 lower-case letters, digits and hyphens."
    )
    database: DatabaseName = Field(
        "postgres", description="The database that proves a login. `postgres` exists on every server."
    )
    strategy: Strategy = Field(
        Strategy.RECREATE,
        title="Strategy",
        description="recreate: the database is initialised from the Secret when its pod starts; its data goes with it. "
        "in-place: the login gets a new password inside the running database; nothing is lost. "
        "alternating: two logins of one owner role take turns, no login fails; the flow migrate prepares it. "
        "managed: the administrator of a Flexible Server, through Azure.",
    )
    admin_username_secret: OptionalSecret = Field(
        "",
        title="Administrator's username secret",
        description="Used with `alternating`: the vault's secret with a login that may create roles. "
        "Empty: the credential's own login does it.",
    )
    admin_password_secret: OptionalSecret = Field(
        "",
        title="Administrator's password secret",
        description="Used with `alternating`: the vault's secret with that login's password.",
    )

    @field_validator("consumers")
    @classmethod
    def _names_each_once(cls, consumers: tuple[Consumer, ...]) -> tuple[Consumer, ...]:
        keys = [consumer.key for consumer in consumers]
        if repeated := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"a workload is listed once: {', '.join(repeated)}")
        return consumers

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.admin_username_secret) != bool(self.admin_password_secret):
            raise ValueError("admin_username_secret and admin_password_secret are given together, or neither")
        names = [self.username_secret, self.password_secret, self.admin_username_secret, self.admin_password_secret]
        given = [name.lower() for name in names if name]
        if len(set(given)) < len(given):
            raise ValueError("each of the secrets needs a name of its own; case does not count")
        if self.strategy is Strategy.MANAGED and self.through is not Through.SERVER:
            raise ValueError("the strategy managed is for a Flexible Server: set through to server and name the server")
        if self.strategy is Strategy.RECREATE and self.through is not Through.SERVICE:
            raise ValueError("the strategy recreate is for a database in the cluster: set through to service")
        return self

    @property
    def place(self) -> str:
        """How people call the database: its server, or its Service with its namespace."""
        return self.server if self.through is Through.SERVER else f"{self.service} in {self.namespace}"

    def consumer(self, key: str) -> Consumer:
        """The consumer called namespace/workload."""
        return next(consumer for consumer in self.consumers if consumer.key == key)
