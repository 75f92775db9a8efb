"""Services of type LoadBalancer: address and port, and the wait for them.

https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
"""

import time

from infra.errors import NotFound
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.diagnosis import diagnose_service, unhealthy
from infra.kubernetes.waiting import Clock, OnProgress, Reporter, follow, ignore


def get_load_balancer(cluster: Cluster, namespace: str, name: str) -> tuple[str, int]:
    """Return a load balancer's address and port.

    Raises:
        NotFound: there is no such Service.
        WorkloadUnhealthy: it has no address (yet); says why if an event does.
    """
    service = cluster.get(f"/api/v1/namespaces/{namespace}/services/{name}")
    return _address(service) or _raise_without_address(cluster, service)


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
    path, query = f"/api/v1/namespaces/{namespace}/services", {"fieldSelector": f"metadata.name={name}"}
    for services, left in follow(cluster, path, query, timeout_seconds, clock):
        service = next(iter(services.values()), None)
        if service is None:
            raise NotFound("The Service does not exist", name=f"{name} in {namespace}", fix="run the deploy flow")
        found = _address(service)
        if found:
            return found
        reporter.tell("no address yet", left)
    assert service is not None
    return _raise_without_address(cluster, service)


def _address(service: Object) -> tuple[str, int] | None:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    for entry in ingress:
        found = entry.get("ip") or entry.get("hostname")
        if found:
            return found, int(service["spec"]["ports"][0]["port"])
    return None


def _raise_without_address(cluster: Cluster, service: Object) -> tuple[str, int]:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    events = cluster.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")["items"]
    raise unhealthy(f"{name} in {namespace}", diagnose_service(service, events))
