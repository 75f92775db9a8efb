"""The border between the local Azure and what it makes real: clusters, machines and database servers.

ARM calls these when a resource is created or deleted; the daemon implements them with processes. ARM's own
tests use small fakes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Origin:
    """Who speaks through a proxy: it decides what IMDS answers.

    Args:
        kind: "operator", "vm", "pod", or "direct" for who needs no proxy.
        resource_id: the ARM id of the machine, for a VM; empty else.
        address: the loopback address that the speaker calls localhost; empty for the operator.
    """

    kind: str
    resource_id: str = ""
    address: str = ""


DIRECT = Origin("direct")
"""Who comes in without a proxy, and so from anywhere: reaches Azure's services alone."""


class Proxies(Protocol):
    """Opens CONNECT proxies, one for each speaker. Implemented by lab.azure.gateway."""

    async def open(self, origin: Origin) -> str:
        """Open a proxy for `origin` and return its URL, `http://127.0.0.1:PORT`."""

    async def close(self, url: str) -> None:
        """Close the proxy at `url`; unknown ones are ignored."""


@dataclass(frozen=True)
class EntraSpec:
    """How a managed cluster takes the principals of Entra ID.

    Args:
        azure_rbac: whether Azure's roles say what they may in the cluster; else Kubernetes' bindings do.
        admin_groups: object ids of the groups whose members are the cluster's administrators.
    """

    azure_rbac: bool
    admin_groups: tuple[str, ...] = ()


class Tenant(Protocol):
    """Entra ID and Azure RBAC as a managed cluster asks them. Implemented by lab.azure.cluster_access."""

    def find_principal(self, token: str) -> tuple[str, tuple[str, ...]] | None:
        """The object id of a token's principal and those of its groups; None if the token is not for clusters."""

    def is_allowed(self, object_id: str, action: str, scope: str) -> bool:
        """Whether a principal has a data action at a scope."""


@dataclass(frozen=True)
class ClusterSpec:
    """A managed cluster as ARM was asked for it.

    Args:
        resource_id: its ARM id.
        name: its name.
        issuer_url: the OIDC issuer, `https://HOST/TENANT/ID/`; empty when the issuer is off.
        workload_identity: whether the webhook mutates pods.
        secrets_provider: the config of the add-on azureKeyvaultSecretsProvider, None when it is off.
            Azure's strings: {"enableSecretRotation": "true", "rotationPollInterval": "2m"}.
        fqdn: the name that its API server answers under.
        entra: how it takes the principals of Entra ID, None when it does not.
    """

    resource_id: str
    name: str
    issuer_url: str
    workload_identity: bool
    secrets_provider: Mapping[str, str] | None
    fqdn: str = ""
    entra: EntraSpec | None = None


class RunningCluster(Protocol):
    """A started cluster."""

    def kubeconfig(self, role: str) -> str:
        """The kubeconfig (YAML) that AKS hands out.

        Args:
            role: "admin" or "user" for a local account; "exec" or "azure" for a principal of Entra ID, who signs in by
                kubelogin, or by the provider that kubectl had before 1.26.
        """

    def openid_configuration(self) -> dict[str, Any]:
        """The document at ISSUER/.well-known/openid-configuration."""

    def jwks(self) -> dict[str, Any]:
        """The public keys that service account tokens are signed with, as a JWK set."""

    async def update(self, spec: ClusterSpec) -> None:
        """Take over a changed spec (poll interval, rotation on or off)."""

    async def stop(self) -> None:
        """End all of its processes."""


@dataclass(frozen=True)
class CommandResult:
    """What a command printed on a machine, and its exit code."""

    stdout: str
    stderr: str
    code: int


class Backends(Protocol):
    """What ARM makes real. All methods may take seconds; ARM calls them inside long-running operations."""

    async def start_cluster(self, spec: ClusterSpec) -> RunningCluster:
        """Start a cluster and return it when its API answers."""

    async def start_machine(self, resource_id: str, name: str) -> None:
        """Make a virtual machine: a proxy of its own, so that IMDS knows it."""

    async def run_command(self, resource_id: str, script: str) -> CommandResult:
        """Run a shell script on a machine."""

    async def stop_machine(self, resource_id: str) -> None:
        """Remove a machine."""

    async def start_server(self, name: str, administrator: str, password: str, version: str) -> None:
        """Start a Flexible Server that answers under NAME.postgres.database.azure.com, TLS required."""

    async def set_server_password(self, name: str, password: str) -> None:
        """Change the administrator's password."""

    async def stop_server(self, name: str) -> None:
        """End a server and drop its data."""
