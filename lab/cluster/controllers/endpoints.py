"""Endpoints and EndpointSlices: which pods stand behind a service."""

import logging

from lab.cluster.client import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, ApiError, Object
from lab.cluster.controllers.common import Context, differs, owner_reference, ready, terminating
from lab.cluster.informer import Key, Queue, key_of

log = logging.getLogger(__name__)

UNPROCESSABLE = 422
"""What a real API server says to endpoints on loopback addresses; the forwards work without them."""
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


def selects(service: Object, pod: Object) -> bool:
    """Whether a service selects a pod that has an address and has not ended."""
    selector = service["spec"].get("selector")
    labels = pod["metadata"].get("labels") or {}
    status = pod.get("status", {})
    return (
        bool(selector)
        and pod["metadata"]["namespace"] == service["metadata"]["namespace"]
        and all(labels.get(key) == value for key, value in selector.items())
        and bool(status.get("podIP") and pod["spec"].get("nodeName"))
        and status.get("phase") not in ("Succeeded", "Failed")
    )


def target_port(port: Object, pod: Object) -> int | None:
    """The pod's port that a service port means; a name is looked up among the containers' ports."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    named = (entry for container in pod["spec"]["containers"] for entry in container.get("ports") or [])
    return next((entry["containerPort"] for entry in named if entry.get("name") == target), None)


class Endpoints:
    """The endpoints and endpointslice controllers."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._services, self._pods = context.cache(SERVICES), context.cache(PODS)
        self._endpoints, self._slices = context.cache(ENDPOINTS), context.cache(ENDPOINT_SLICES)
        self.queue = Queue("endpoints", self._reconcile)
        self._services.on_change(lambda obj: self.queue.add(key_of(obj)))
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        for service in self._services:
            if service["metadata"]["namespace"] == pod["metadata"]["namespace"]:
                self.queue.add(key_of(service))

    async def _reconcile(self, key: Key) -> None:
        service = self._services.get(*key)
        if service is None or terminating(service) or not service["spec"].get("selector"):
            return
        pods = sorted((pod for pod in self._pods if selects(service, pod)), key=key_of)
        try:
            await self._write_endpoints(service, pods)
            await self._write_slice(service, pods)
        except ApiError as error:
            if error.status != UNPROCESSABLE:
                raise
            log.debug("endpoints of %s: %s", "/".join(key), error)

    async def _write_endpoints(self, service: Object, pods: list[Object]) -> None:
        meta = service["metadata"]
        wanted: Object = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "labels": meta.get("labels") or {}},
        }
        subset = _subset(service, pods)
        if subset:
            wanted["subsets"] = [subset]
        known = self._endpoints.get(meta["namespace"], meta["name"])
        if known is None:
            self._endpoints.take(await self._client.create(ENDPOINTS, wanted))
        elif differs(wanted, known) or bool(known.get("subsets")) != bool(subset):
            self._endpoints.take(await self._client.replace(ENDPOINTS, wanted))

    async def _write_slice(self, service: Object, pods: list[Object]) -> None:
        meta = service["metadata"]
        body = _slice(service, pods)
        known = next((entry for entry in self._slices if _belongs(entry, service)), None)
        if known is None:
            labels = {SERVICE_NAME: meta["name"], MANAGED_BY: "endpointslice-controller.k8s.io"}
            created = {
                "generateName": f"{meta['name']}-",
                "namespace": meta["namespace"],
                "labels": labels,
                "ownerReferences": [owner_reference(service, "v1", "Service")],
            }
            self._slices.take(await self._client.create(ENDPOINT_SLICES, body | {"metadata": created}))
        elif differs(body, known) or len(known.get("endpoints") or []) != len(body["endpoints"]):
            kept = {name: known["metadata"][name] for name in ("name", "namespace", "labels", "ownerReferences")}
            self._slices.take(await self._client.replace(ENDPOINT_SLICES, body | {"metadata": kept}))


def _belongs(entry: Object, service: Object) -> bool:
    meta = entry["metadata"]
    labels = meta.get("labels") or {}
    mine = (service["metadata"]["namespace"], service["metadata"]["name"])
    return (meta["namespace"], labels.get(SERVICE_NAME)) == mine


def _subset(service: Object, pods: list[Object]) -> Object | None:
    addresses: dict[bool, list[Object]] = {True: [], False: []}
    for pod in pods:
        addresses[ready(pod) and not terminating(pod)].append(
            {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": _reference(pod)}
        )
    if not pods:
        return None
    subset: Object = {"ports": _ports(service, pods)}
    if addresses[True]:
        subset["addresses"] = addresses[True]
    if addresses[False]:
        subset["notReadyAddresses"] = addresses[False]
    return subset


def _slice(service: Object, pods: list[Object]) -> Object:
    endpoints = []
    for pod in pods:
        up = ready(pod)
        conditions = {"ready": up and not terminating(pod), "serving": up, "terminating": terminating(pod)}
        endpoints.append(
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": conditions,
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": _reference(pod),
            }
        )
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", **port} for port in _ports(service, pods)] if pods else [],
    }


def _ports(service: Object, pods: list[Object]) -> list[Object]:
    ports = []
    for port in service["spec"].get("ports") or []:
        number = target_port(port, pods[0])
        if number is not None:
            named = {"name": port["name"]} if port.get("name") else {}
            ports.append(named | {"port": number, "protocol": port.get("protocol", "TCP")})
    return ports


def _reference(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}
