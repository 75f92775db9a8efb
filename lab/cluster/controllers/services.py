"""Services made reachable: the cluster address, and an address of its own for each load balancer."""

import errno
from collections.abc import Callable

from lab.cluster.client import PODS, SERVICES, Object
from lab.cluster.controllers.common import Context, ready, terminating
from lab.cluster.controllers.endpoints import selects, target_port
from lab.cluster.controllers.forwards import Forward, Listen, Target
from lab.cluster.informer import Key, Queue, key_of


class Services:
    """kube-proxy and the cloud's load balancer in one.

    Args:
        context: the caches.
        network: first two bytes of the loopback network; load balancers get NETWORK.200.x.
        is_down: whether nothing is let through at the moment.
    """

    def __init__(self, context: Context, network: str, is_down: Callable[[], bool]) -> None:
        self._client, self._network, self._is_down = context.client, network, is_down
        self._services, self._pods = context.cache(SERVICES), context.cache(PODS)
        self._recorder = context.recorder("service-controller")
        self._addresses: dict[Key, str] = {}
        self._forwards: dict[Listen, tuple[Key, Forward]] = {}
        self.queue = Queue("service", self._reconcile)
        self._services.on_change(lambda obj: self.queue.add(key_of(obj)))
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        for service in self._services:
            if service["metadata"]["namespace"] == pod["metadata"]["namespace"]:
                self.queue.add(key_of(service))

    async def stop(self) -> None:
        """Close all forwards."""
        for _, forward in self._forwards.values():
            await forward.stop()
        self._forwards.clear()

    async def _reconcile(self, key: Key) -> None:
        service = self._services.get(*key)
        if service is None or terminating(service):
            await self._forget(key, set())
            self._addresses.pop(key, None)
            return
        balanced = service["spec"].get("type") == "LoadBalancer" and not service["spec"].get("loadBalancerClass")
        if balanced and key not in self._addresses:
            self._addresses[key] = self._free_address()
            self._recorder.normal(_named(service), "EnsuringLoadBalancer", "Ensuring load balancer")
        try:
            await self._forward(key, service)
        except OSError as error:
            text = f"Error syncing load balancer: failed to ensure load balancer: {_reason(error)}"
            self._recorder.warning(_named(service), "SyncLoadBalancerFailed", text)
            self.queue.add_after(key, 5.0)
            return
        await self._write_status(key, service, balanced)

    def _free_address(self) -> str:
        taken = set(self._addresses.values())
        candidates = (f"{self._network}.200.{last}" for last in range(1, 255))
        return next(address for address in candidates if address not in taken)

    async def _forward(self, key: Key, service: Object) -> None:
        """Listen on the cluster address, if it is a loopback one, and on the load balancer's."""
        own = service["spec"].get("clusterIP") or ""
        addresses = [own] if own.startswith("127.") else []
        if key in self._addresses:
            addresses.append(self._addresses[key])
        wanted: set[Listen] = set()
        for port in service["spec"].get("ports") or []:
            if port.get("protocol", "TCP") != "TCP" or not service["spec"].get("selector"):
                continue
            for address in addresses:
                listen = Listen(address, port["port"])
                wanted.add(listen)
                _, forward = self._forwards.setdefault(listen, (key, Forward(listen, self._is_down)))
                await forward.direct(self._targets(service, port))
        await self._forget(key, wanted)

    def _targets(self, service: Object, port: Object) -> list[Target]:
        pods = [pod for pod in self._pods if selects(service, pod) and ready(pod) and not terminating(pod)]
        targets = [(pod["status"]["podIP"], target_port(port, pod)) for pod in sorted(pods, key=key_of)]
        return [(address, number) for address, number in targets if number is not None]

    async def _forget(self, key: Key, wanted: set[Listen]) -> None:
        for listen in [
            listen for listen, (owner, _) in self._forwards.items() if owner == key and listen not in wanted
        ]:
            _, forward = self._forwards.pop(listen)
            await forward.stop()

    async def _write_status(self, key: Key, service: Object, balanced: bool) -> None:
        ingress = [{"ip": self._addresses[key], "ipMode": "VIP"}] if balanced else []
        if (service.get("status", {}).get("loadBalancer") or {}).get("ingress", []) == ingress:
            return
        patch = {"status": {"loadBalancer": {"ingress": ingress or None}}}
        self._services.take(await self._client.patch(SERVICES, *key, patch, subresource="status"))
        if ingress:
            self._recorder.normal(_named(service), "EnsuredLoadBalancer", "Ensured load balancer")


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "") + f" {error.strerror or error}"


def _named(service: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Service", **service}
