"""Connections that tasks open for themselves: they hold credentials, so none travels between tasks."""

from infra.azure.clusters import get_kubeconfig
from infra.azure.servers import get_host
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.load_balancers import get_load_balancer
from infra.postgres.addresses import Endpoint, Tls
from infra.settings import Settings
from infra.targets import LoginTarget, Target, Through

POSTGRES_PORT = 5432


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


def endpoint_of(target: Target | LoginTarget, cluster: Cluster | None = None) -> Endpoint:
    """Return where the target's database is reached.

    The Flexible Server by its name over verified TLS, the database in the cluster by its load balancer: the postgres
    image has no TLS.

    Args:
        target: the database, by names.
        cluster: its cluster, where the caller has a connection; else one is opened when it is needed.

    Raises:
        NotFound: there is no such cluster or Service.
        WorkloadUnhealthy: the load balancer has no address.
    """
    if target.through is Through.SERVER:
        return Endpoint(get_host(target.server), POSTGRES_PORT, target.database, Tls.VERIFY_FULL)
    cluster = cluster or cluster_of(target.resource_group, target.cluster, Settings())
    host, port = get_load_balancer(cluster, target.namespace, target.service)
    return Endpoint(host, port, target.database, Tls.DISABLE)
