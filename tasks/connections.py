"""Connections that tasks open for themselves: they hold credentials, so none is a parameter or a result.

Tasks that run in a `connections_kept` block find those of the tasks before them, as long as the block lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from infra.azure.clusters import get_kubeconfig
from infra.azure.credentials import signed_in
from infra.azure.servers import get_host
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.load_balancers import get_load_balancer
from infra.postgres.addresses import Endpoint, Tls
from infra.settings import Settings
from infra.targets import Target, Through

POSTGRES_PORT = 5432

_kept: ContextVar[dict[tuple[str, str], Cluster] | None] = ContextVar("kept connections", default=None)
"""What the enclosing `connections_kept` opened, by resource group and cluster; tasks inherit their flow's context."""


@contextmanager
def connections_kept(settings: Settings) -> Iterator[None]:
    """Let the tasks of a block share one sign-in to Azure and one connection to each cluster.

    To sign in, to have AKS hand out a credential and to begin a TLS session takes each of them longer than its work.
    """
    kept: dict[tuple[str, str], Cluster] = {}
    with signed_in(settings):
        mark = _kept.set(kept)
        try:
            yield
        finally:
            _kept.reset(mark)
            for cluster in kept.values():
                cluster.close()


def cluster_of(resource_group: str, cluster: str, settings: Settings) -> Cluster:
    """Connect to a cluster: by the kubeconfig that the settings name, else by the one that AKS hands out.

    A connection that is kept is used again.

    Args:
        resource_group: the cluster's resource group.
        cluster: the cluster's name.
        settings: the kubeconfig and its context, if any, and bounds.

    Raises:
        NotFound: the kubeconfig or the cluster does not exist.
        AccessDenied: AKS hands the caller no credential.
    """
    kept = _kept.get()
    if kept is None:
        return _connect(resource_group, cluster, settings)
    if (resource_group, cluster) not in kept:
        kept[resource_group, cluster] = _connect(resource_group, cluster, settings)
    return kept[resource_group, cluster]


def _connect(resource_group: str, cluster: str, settings: Settings) -> Cluster:
    if settings.kubeconfig is not None:
        return connect(settings.kubeconfig, settings, settings.kube_context)
    return connect(get_kubeconfig(resource_group, cluster, settings), settings)


def endpoint_of(target: Target, cluster: Cluster | None = None) -> Endpoint:
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
