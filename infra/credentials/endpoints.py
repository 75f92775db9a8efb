"""Where a database is reached, and the cluster that its consumers run in: by name, without addresses."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.credentials.fields import (
    DNS_LABEL,
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
            raise ValueError("name and resource_group belong together")
        if self.name is None and self.sign_in is SignIn.AZURE:
            raise ValueError("give the name and the resource_group of the AKS cluster, or sign_in: in-cluster")
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


class LoadBalancerEndpoint(Model):
    """A Service of type LoadBalancer in the credential's cluster. Plain TCP: the postgres image has no TLS."""

    kind: Literal["load-balancer"] = "load-balancer"
    namespace: Namespace = Field(description="The Kubernetes namespace of the Service.")
    service: Annotated[str, Field(title="Service", max_length=63, pattern=DNS_LABEL)] = Field(
        description="The Service through which the database is reached."
    )

    def __str__(self) -> str:
        return f"{self.service} in {self.namespace}"


class FlexibleServerEndpoint(Model):
    """An Azure Database for PostgreSQL flexible server, over verified TLS."""

    kind: Literal["flexible-server"] = "flexible-server"
    server: ServerName
    resource_group: ResourceGroup = Field(description="The resource group of the server.")

    def __str__(self) -> str:
        return self.server


Endpoint = Annotated[LoadBalancerEndpoint | FlexibleServerEndpoint, Field(discriminator="kind")]
"""Every way to a database there is."""
