"""Where a database is reached, and the cluster that its consumers run in: by name, without addresses."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.credentials.fields import (
    DNS_LABEL,
    HOST,
    ClusterName,
    Model,
    Namespace,
    ResourceGroup,
    ServerName,
)
from infra.errors import InvalidInput


class SignIn(StrEnum):
    """How a cluster is signed in to."""

    AZURE = "azure"
    IN_CLUSTER = "in-cluster"


class ClusterRef(Model):
    """An AKS cluster by name, or the one that Keyturn runs in."""

    name: ClusterName | None = None
    resource_group: ResourceGroup | None = Field(None, description="The resource group of the cluster.")
    sign_in: SignIn = Field(
        SignIn.AZURE,
        title="Sign-in",
        description="azure: by the kubeconfig that AKS hands out, or KEYTURN_KUBECONFIG. "
        "in-cluster: by the service account of the pod that the flow runs in; then the name is optional, and the "
        "pod is refused if it runs in another cluster than the named one.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.name is None) != (self.resource_group is None):
            raise ValueError("name and resource_group belong together: give both, or neither")
        if self.name is None and self.sign_in is SignIn.AZURE:
            raise ValueError(
                "no cluster is named: give the name and resource_group of the AKS cluster, or sign_in: in-cluster"
            )
        return self

    @property
    def in_azure(self) -> tuple[str, str]:
        """Its resource group and name.

        Raises:
            InvalidInput: it has none.
        """
        if self.name is None or self.resource_group is None:
            fix = "Give the name and the resource_group of the AKS cluster"
            raise InvalidInput("The credential does not name its cluster", name="cluster", fix=fix)
        return self.resource_group, self.name

    def __str__(self) -> str:
        return f"{self.name} in {self.resource_group}" if self.name else "the cluster that Keyturn runs in"


class Tls(StrEnum):
    """How a connection is protected, in libpq's words. There is no fallback from one to another."""

    DISABLE = "disable"
    """Plain text: for a database without TLS, inside a private network."""
    REQUIRE = "require"
    """Encrypted; whoever answers is not verified."""
    VERIFY_CA = "verify-ca"
    """Encrypted; the certificate is trusted, whomever it names."""
    VERIFY_FULL = "verify-full"
    """Encrypted; the certificate is trusted and names the host."""

    @property
    def is_verified(self) -> bool:
        """Whether the server's certificate must be trusted."""
        return self in (Tls.VERIFY_CA, Tls.VERIFY_FULL)


Port = Annotated[int, Field(title="Port", ge=1, le=65535)]
_TLS = "How the connection is protected: disable, require, verify-ca or verify-full. None falls back to another."
_CA_FILE = "A PEM file: the authorities that the server's certificate must come from; else KEYTURN_POSTGRES_CA_FILE."


class _Protected(Model):
    """An endpoint whose TLS the inventory says."""

    tls: Tls = Field(Tls.DISABLE, title="TLS", description=_TLS)
    ca_file: Path | None = Field(None, title="Authorities", description=_CA_FILE)

    @model_validator(mode="after")
    def _verifies_with_authorities(self) -> Self:
        if self.ca_file and not self.tls.is_verified:
            raise ValueError(f"tls {self.tls.value} verifies nothing: give verify-ca or verify-full with a ca_file")
        return self


class _ServiceEndpoint(_Protected):
    """A Service in the credential's cluster."""

    namespace: Namespace = Field(description="The Kubernetes namespace of the Service.")
    service: Annotated[str, Field(title="Service", max_length=63, pattern=DNS_LABEL)] = Field(
        description="The Service through which the database is reached."
    )
    port: Port | None = Field(None, description="The Service's port; its first one by default.")

    def __str__(self) -> str:
        return f"{self.service} in {self.namespace}"


class LoadBalancerEndpoint(_ServiceEndpoint):
    """A Service of type LoadBalancer in the credential's cluster; by default without TLS, as the postgres image."""

    kind: Literal["load-balancer"] = "load-balancer"


class ClusterIpEndpoint(_ServiceEndpoint):
    """A Service that is reached from inside the credential's cluster alone, so Keyturn runs in it, or has a tunnel."""

    kind: Literal["cluster-ip"]

    @property
    def host(self) -> str:
        """The Service's name inside the cluster, which TLS verifies and KEYTURN_RESOLVE may route."""
        return f"{self.service}.{self.namespace}.svc"


class HostEndpoint(_Protected):
    """A database, or a pooler, at a host and port."""

    kind: Literal["host"]
    host: Annotated[str, Field(max_length=253, pattern=HOST)] = Field(
        title="Host", description="A host name or an IP address."
    )
    port: Port = 5432
    tls: Tls = Field(Tls.VERIFY_FULL, title="TLS", description=_TLS)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class FlexibleServerEndpoint(Model):
    """An Azure Database for PostgreSQL flexible server with public or private access, over verified TLS."""

    kind: Literal["flexible-server"] = "flexible-server"
    server: ServerName
    resource_group: ResourceGroup = Field(description="The resource group of the server.")

    def __str__(self) -> str:
        return self.server


Endpoint = Annotated[
    LoadBalancerEndpoint | ClusterIpEndpoint | HostEndpoint | FlexibleServerEndpoint, Field(discriminator="kind")
]
"""Every way to a database there is."""
