"""Services, their load balancers' addresses, and service accounts.

    host, port = wait_for_load_balancer(cluster, "dexter", "dexter-service", timeout_seconds=300)

https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
"""

import time
from dataclasses import dataclass

from infra.errors import NotFound, WorkloadUnhealthy
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.diagnosis import diagnose_service, unhealthy
from infra.kubernetes.waiting import Clock, OnProgress, Progress, Reporter, follow, ignore

CLIENT_ID_ANNOTATION = "azure.workload.identity/client-id"


@dataclass(frozen=True)
class ServiceAccount:
    """A service account and the identity that its annotation names; empty without one."""

    name: str
    client_id: str


@dataclass(frozen=True)
class Service:
    """A Service.

    Args:
        name: its name.
        kind: ClusterIP, NodePort, LoadBalancer or ExternalName.
        cluster_address: its address inside the cluster.
        address: its address outside; empty without one.
        ports: such as `5432/TCP`, joined by commas.
        selector: such as `app=PostgreSQL`, joined by commas.
    """

    name: str
    kind: str
    cluster_address: str
    address: str
    ports: str
    selector: str


def list_service_accounts(cluster: Cluster, namespace: str) -> list[ServiceAccount]:
    """Return a namespace's service accounts, by name."""
    accounts = [
        ServiceAccount(
            item["metadata"]["name"], (item["metadata"].get("annotations") or {}).get(CLIENT_ID_ANNOTATION, "")
        )
        for item in cluster.get(f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]
    ]
    return sorted(accounts, key=lambda account: account.name)


def list_services(cluster: Cluster, namespace: str) -> list[Service]:
    """Return a namespace's Services, by name."""
    items = cluster.get(_path(namespace))["items"]
    return sorted(map(_read_service, items), key=lambda service: service.name)


def get_load_balancer(cluster: Cluster, namespace: str, name: str, port: int | None = None) -> tuple[str, int]:
    """Return a load balancer's address and port.

    Args:
        cluster: where it is.
        namespace: of the Service.
        name: of the Service.
        port: which of its ports; the first one by default.

    Raises:
        NotFound: there is no such Service, or it has no such port.
        WorkloadUnhealthy: it has no address yet; says why if an event does.
    """
    service = cluster.get(f"{_path(namespace)}/{name}")
    if address := _find_address(service, port):
        return address
    raise _explain(cluster, service)


def get_cluster_address(cluster: Cluster, namespace: str, name: str, port: int | None = None) -> tuple[str, int]:
    """Return a Service's address inside the cluster and its port; an empty address if it is headless.

    Raises:
        NotFound: there is no such Service, or it has no such port.
    """
    service = cluster.get(f"{_path(namespace)}/{name}")
    address = service["spec"].get("clusterIP") or ""
    return "" if address == "None" else address, _choose_port(service, port)


def wait_for_load_balancer(
    cluster: Cluster,
    namespace: str,
    name: str,
    timeout_seconds: float,
    on_progress: OnProgress = ignore,
    clock: Clock = time.monotonic,
) -> tuple[str, int]:
    """Wait until a load balancer has an address; return address and port. Raises as `get_load_balancer`."""
    reporter, service = Reporter(on_progress, clock), None
    query = {"fieldSelector": f"metadata.name={name}"}
    for services, left in follow(cluster, _path(namespace), query, timeout_seconds, clock):
        service = next(iter(services.values()), None)
        if service is None:
            raise NotFound("The Service does not exist", name=f"{name} in {namespace}", fix="Run the flow deploy")
        if address := _find_address(service):
            return address
        reporter.report(Progress("no address yet", left))
    assert service is not None
    raise _explain(cluster, service)


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"


def _find_address(service: Object, port: int | None = None) -> tuple[str, int] | None:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    addresses = (entry.get("ip") or entry.get("hostname") for entry in ingress)
    address = next(filter(None, addresses), None)
    return (address, _choose_port(service, port)) if address else None


def _choose_port(service: Object, wanted: int | None) -> int:
    ports = [int(port["port"]) for port in service["spec"].get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
    if ports and wanted in (None, *ports):
        return wanted or ports[0]
    metadata = service["metadata"]
    raise NotFound(
        "The Service has no such port",
        name=f"{metadata['name']} in {metadata['namespace']}",
        seen=f"it has {', '.join(map(str, ports)) or 'none'}",
        fix="correct the endpoint's port",
    )


def _explain(cluster: Cluster, service: Object) -> WorkloadUnhealthy:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    events = cluster.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")["items"]
    return unhealthy(f"{name} in {namespace}", diagnose_service(service, events))


def _read_service(item: Object) -> Service:
    spec, address = item["spec"], _find_address(item)
    return Service(
        name=item["metadata"]["name"],
        kind=spec.get("type", "ClusterIP"),
        cluster_address=spec.get("clusterIP") or "",
        address=address[0] if address else "",
        ports=", ".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or []),
        selector=", ".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items())),
    )
