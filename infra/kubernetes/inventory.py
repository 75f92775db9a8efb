"""What a namespace has, as a person would list it: service accounts, pods, services. Facts for reports."""

from dataclasses import dataclass

from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.pods import PodFacts, all_pod_facts

CLIENT_ID_ANNOTATION = "azure.workload.identity/client-id"


@dataclass(frozen=True)
class ServiceAccount:
    """A service account and the identity that its annotation names; empty without one."""

    name: str
    client_id: str


@dataclass(frozen=True)
class Service:
    """A service.

    Args:
        name: its name.
        kind: ClusterIP, NodePort, LoadBalancer or ExternalName.
        cluster_address: its address inside the cluster.
        address: its address outside; empty without one.
        ports: as `5432/TCP`, joined by commas.
        selector: as `app=PostgreSQL`, joined by commas.
    """

    name: str
    kind: str
    cluster_address: str
    address: str
    ports: str
    selector: str


def list_service_accounts(cluster: Cluster, namespace: str) -> list[ServiceAccount]:
    """Return a namespace's service accounts, by name."""
    found = [
        ServiceAccount(
            item["metadata"]["name"], (item["metadata"].get("annotations") or {}).get(CLIENT_ID_ANNOTATION, "")
        )
        for item in _items(cluster, namespace, "serviceaccounts")
    ]
    return sorted(found, key=lambda account: account.name)


def list_pods(cluster: Cluster, namespace: str) -> tuple[PodFacts, ...]:
    """Return a namespace's pods, by name."""
    return all_pod_facts(_items(cluster, namespace, "pods"))


def list_services(cluster: Cluster, namespace: str) -> list[Service]:
    """Return a namespace's services, by name."""
    return sorted((_service(item) for item in _items(cluster, namespace, "services")), key=lambda service: service.name)


def _items(cluster: Cluster, namespace: str, plural: str) -> list[Object]:
    found: list[Object] = cluster.get(f"/api/v1/namespaces/{namespace}/{plural}")["items"]
    return found


def _service(item: Object) -> Service:
    spec, status = item["spec"], item.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or [{}]
    return Service(
        name=item["metadata"]["name"],
        kind=spec.get("type", "ClusterIP"),
        cluster_address=spec.get("clusterIP") or "",
        address=ingress[0].get("ip") or ingress[0].get("hostname") or "",
        ports=", ".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or []),
        selector=", ".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items())),
    )
