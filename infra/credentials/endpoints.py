"""Where a database is reached, and the cluster that its consumers run in: by name, without addresses."""

from typing import Annotated, Literal

from pydantic import Field

from infra.credentials.fields import (
    DNS_LABEL,
    ClusterName,
    Model,
    Namespace,
    ResourceGroup,
    ServerName,
)


class ClusterRef(Model):
    """An AKS cluster by name. It is signed in to by its local account, or by the kubeconfig that the settings name."""

    name: ClusterName
    resource_group: ResourceGroup = Field(description="The resource group of the cluster.")

    def __str__(self) -> str:
        return f"{self.name} in {self.resource_group}"


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
