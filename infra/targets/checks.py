"""What the flows that prove something are told: logins, access, and the whole story."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from infra.targets.credential import Through
from infra.targets.fields import (
    ClusterName,
    DatabaseName,
    DryRun,
    Model,
    Namespace,
    PasswordSecret,
    ResourceGroup,
    ServerName,
    ServiceName,
    UsernameSecret,
    VaultName,
)
from infra.targets.rotation import Sync


class LoginTarget(Model):
    """A database to log in to, and where its credential is kept. Names only, never values."""

    through: Through = Field(
        Through.SERVICE,
        title="Through",
        description="service: the LoadBalancer in the cluster. server: the Flexible Server, over verified TLS.",
    )
    vault: VaultName = Field("dexterkeyvault", description="3-24 letters, digits and hyphens.")
    username_secret: UsernameSecret = Field(
        "username", description="Used with `service`: the vault's secret that holds the username."
    )
    password_secret: PasswordSecret = Field(
        "password", description="Used with `service`: the vault's secret that holds the password."
    )
    server_username_secret: UsernameSecret = Field(
        "server-username",
        title="Server's username secret",
        description="Used with `server`: the vault's secret that holds the username.",
    )
    server_password_secret: PasswordSecret = Field(
        "server-password",
        title="Server's password secret",
        description="Used with `server`: the vault's secret that holds the password.",
    )
    server: ServerName = Field(
        "sonarqube-postgresql3", description="Used with `server`: 3-63 lower-case letters, digits and hyphens."
    )
    resource_group: ResourceGroup = Field(
        "integrateakskv-rg", description="Used with `service`: the resource group of the cluster."
    )
    cluster: ClusterName = Field(
        "integrateakskv-cluster", description="Used with `service`: the cluster that the database runs in."
    )
    namespace: Namespace = Field("dexter", description="Used with `service`: the Kubernetes namespace.")
    service: ServiceName = Field(
        "dexter-service", description="Used with `service`: the LoadBalancer through which the database is reached."
    )
    database: DatabaseName = "postgres"

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


class StoryOptions(Model):
    """How the whole walkthrough goes. As it stands, nothing is changed: the first plan is shown alone."""

    dry_run: DryRun = Field(True, description="Show the provisioning's plan and change nothing.")
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
