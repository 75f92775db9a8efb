"""AKS clusters: the kubeconfig that AKS hands out for one."""

from collections.abc import Mapping
from typing import Any

import yaml
from azure.mgmt.containerservice import ContainerServiceClient

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.errors import NotFound
from infra.settings import Settings

USER_ROLE = "Azure Kubernetes Service Cluster User Role"


def get_kubeconfig(resource_group: str, name: str, settings: Settings) -> Mapping[str, Any]:
    """Return the kubeconfig of the cluster's user credential. It holds a token: it stays inside the calling task.

    Raises:
        NotFound: there is no such cluster, or it hands out no credential.
        AccessDenied: the caller lacks the Azure Kubernetes Service Cluster User Role.
    """
    where = f"{resource_group}/{name}"
    scope = f"the cluster {name}"
    with (
        translated("Cannot get the cluster's credential", name=where, role=USER_ROLE, scope=scope),
        managed(ContainerServiceClient, settings) as client,
    ):
        found = client.managed_clusters.list_cluster_user_credentials(resource_group, name).kubeconfigs or []
    if not found or not found[0].value:
        raise NotFound("The cluster hands out no user credential", name=where, remedy="enable its local accounts")
    config: Mapping[str, Any] = yaml.safe_load(bytes(found[0].value))
    return config
