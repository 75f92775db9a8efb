"""Connections that tasks open for themselves: they hold credentials, so none travels between tasks."""

from infra.azure.clusters import get_kubeconfig
from infra.kubernetes.client import Cluster, connect
from infra.settings import Settings


def cluster_of(resource_group: str, cluster: str, settings: Settings) -> Cluster:
    """Connect to a cluster: by the kubeconfig that the settings name, else by the one that AKS hands out.

    Args:
        resource_group: the cluster's resource group.
        cluster: the cluster's name.
        settings: the kubeconfig and its context, if any, and bounds.

    Raises:
        NotFound: the kubeconfig or the cluster does not exist.
        AccessDenied: AKS hands the caller no credential.
    """
    if settings.kubeconfig is not None:
        return connect(settings.kubeconfig, settings, settings.kube_context)
    return connect(get_kubeconfig(resource_group, cluster, settings), settings)
