"""Former names of what `workloads` has; to be deleted."""

from infra.kubernetes.client import Cluster
from infra.kubernetes.workloads import STOPPED_REPLICAS, RestartFacts, open_deployment

__all__ = ["STOPPED_REPLICAS", "RestartFacts", "get_restart_facts", "restart", "settle", "start", "stop"]


def get_restart_facts(cluster: Cluster, namespace: str, name: str) -> RestartFacts:
    """Return what is remembered."""
    return open_deployment(cluster, namespace, name).get().restart


def stop(cluster: Cluster, namespace: str, name: str) -> None:
    """Scale to 0."""
    open_deployment(cluster, namespace, name).stop()


def start(cluster: Cluster, namespace: str, name: str, mark: str) -> int:
    """Scale up."""
    return open_deployment(cluster, namespace, name).start(mark)


def restart(cluster: Cluster, namespace: str, name: str, mark: str, secret_version: str = "") -> None:
    """Replace the pods."""
    open_deployment(cluster, namespace, name).restart(mark, secret_version)


def settle(cluster: Cluster, namespace: str, name: str) -> None:
    """Remember that the Secret was checked."""
    open_deployment(cluster, namespace, name).mark_start_checked()
