"""Where the pods of a cluster are on the network, and whose they are."""

from collections.abc import Collection, Iterator

from infra.credentials import ClusterRef, in_cluster
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.discovery import list_pods
from infra.rotation.sessions import PodPlace


def list_places(
    cluster: Cluster, namespaces: Collection[str], other_place: ClusterRef | None = None
) -> Iterator[PodPlace]:
    """Yield every pod that has an address and has not finished.

    Args:
        cluster: where to look.
        namespaces: where to look if the caller may not look everywhere.
        other_place: the cluster, if it is not the credential's own.

    Raises:
        AccessDenied: the caller may not look there either.
    """
    for (kind, namespace, name), pod in list_pods(cluster, namespaces):
        metadata, status = pod["metadata"], pod.get("status") or {}
        if not (addresses := _read_addresses(status, "podIP")):
            continue
        workload = in_cluster(f"{kind.lower()} {namespace}/{name}", other_place)
        yield PodPlace(
            workload="" if metadata.get("deletionTimestamp") else workload,
            addresses=addresses,
            nodes=_read_addresses(status, "hostIP"),
            namespace=namespace,
            labels=frozenset((metadata.get("labels") or {}).items()),
        )


def find_selected(cluster: Cluster, namespace: str, service: str, pods: Collection[PodPlace]) -> frozenset[str]:
    """Return the addresses of the pods behind a Service of this cluster.

    Raises:
        NotFound: there is no such Service.
    """
    selector = (cluster.get(f"/api/v1/namespaces/{namespace}/services/{service}")["spec"]).get("selector") or {}
    chosen = (pod for pod in pods if selector and pod.namespace == namespace and selector.items() <= pod.labels)
    return frozenset(address for pod in chosen for address in pod.addresses)


def _read_addresses(status: Object, field: str) -> frozenset[str]:
    """Read one address and its plural: a pod and a node have one of each family."""
    several = (entry.get("ip") for entry in status.get(f"{field}s") or [])
    return frozenset(filter(None, (status.get(field), *several)))
