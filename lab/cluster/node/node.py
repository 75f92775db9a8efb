"""The node: takes the pods that are assigned to it, and ends all of them when it ends."""

import asyncio
import logging
import ssl
from functools import partial
from pathlib import Path

import aiohttp

from lab.azure.backends import Proxies
from lab.cluster.client import PODS, ApiError, Client, Object
from lab.cluster.events import Recorder
from lab.cluster.informer import Informer, Key, cancel, key_of
from lab.cluster.node.context import Addresses, NodeContext, Processes, Switches, VolumeDriver
from lab.cluster.node.kubelet import Kubelet
from lab.cluster.node.registration import register, register_drivers, renew_lease
from lab.cluster.node.worker import PodWorker
from lab.control.options import LabOptions

log = logging.getLogger(__name__)

NAME = "aks-nodepool1-31415926-vmss000000"
REPUBLISH_SHARE, REPUBLISH_SECONDS = (0.5, 0.75), (60.0, 90.0)
"""Of the poll interval: the kubelet's 60 to 90 s are that share of the usual two minutes."""


class Node:
    """One node of a cluster, with its kubelet.

    Args:
        client: an administrator's client of the API server.
        options: the lab's options.
        proxies: opens a proxy for each pod.
        faults: the named faults; "pods-not-starting" is read here.
        state_dir: folder for pods and logs.
        network: first two bytes of the loopback network; pods get NETWORK.1.x.
        kubelet_token: what the API server must show the kubelet; empty for anybody.
        ca_bundle_path: file with the certificates that containers shall trust.
        processes: sandboxes and PostgreSQL.
        drivers: the CSI drivers on this node.
        tls: serves the kubelet over TLS, as a real API server demands.
    """

    def __init__(
        self,
        client: Client,
        options: LabOptions,
        proxies: Proxies,
        faults: Switches,
        state_dir: Path,
        network: str,
        kubelet_token: str,
        ca_bundle_path: Path,
        processes: Processes,
        drivers: tuple[VolumeDriver, ...] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = f"{network}.0.10"
        self._context = NodeContext(
            client,
            NAME,
            address,
            state_dir,
            proxies,
            faults,
            Recorder(client, "kubelet", NAME),
            processes,
            Addresses(network),
            ca_bundle_path,
            _republish_seconds(options.poll_interval_seconds),
            {driver.name: driver for driver in drivers},
        )
        self._pods = Informer(client, PODS, {"fieldSelector": f"spec.nodeName={NAME}"})
        self._workers: dict[str, PodWorker] = {}
        self._kubelet = Kubelet(self._find, address, kubelet_token, tls)
        self._lease: asyncio.Task[None] | None = None

    def register_driver(self, driver: VolumeDriver) -> None:
        """Add a CSI driver."""
        self._context.drivers[driver.name] = driver

    def unregister_driver(self, name: str) -> None:
        """Take a CSI driver away; volumes that are there stay."""
        self._context.drivers.pop(name, None)

    async def start(self) -> None:
        """Register the node, ready, and begin to take pods."""
        context = self._context
        context.recorder.start()
        port = await self._kubelet.start()
        self._pods.on_change(self._pod_changed)
        for kind, cache in (("secret", context.secrets), ("configMap", context.config_maps)):
            cache.on_change(partial(self._source_changed, kind))
        await asyncio.gather(self._pods.start(), context.secrets.start(), context.config_maps.start())
        await register_drivers(context.client)
        node = await register(context.client, NAME, context.address, port)
        self._lease = asyncio.create_task(self._keep_lease(node["metadata"]["uid"]), name="lease")

    async def stop(self) -> None:
        """End all containers at once; objects stay as they are."""
        self._context.stopping.set()
        await cancel(self._lease)
        for informer in (self._pods, self._context.secrets, self._context.config_maps):
            await informer.stop()
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
        await self._kubelet.stop()
        await self._context.recorder.stop()

    def _find(self, namespace: str, name: str) -> PodWorker | None:
        return next((worker for worker in self._workers.values() if key_of(worker.pod) == (namespace, name)), None)

    def _pod_changed(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if self._pods.get(*key_of(pod)) is None:
            if worker is not None:
                worker.gone()
        elif worker is not None:
            worker.update(pod)
        elif pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._forget_done()
            worker = self._workers[uid] = PodWorker(self._context, _named(pod))
            worker.start()
            worker.update(_named(pod))

    def _forget_done(self) -> None:
        for uid in [uid for uid, worker in self._workers.items() if worker.done]:
            del self._workers[uid]

    def _source_changed(self, kind: str, obj: Object) -> None:
        namespace, name = key_of(obj)
        for worker in self._workers.values():
            if worker.pod["metadata"]["namespace"] == namespace:
                worker.look_again(kind, name)

    async def _keep_lease(self, uid: str) -> None:
        while True:
            try:
                await renew_lease(self._context.client, NAME, uid)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("lease: %s", error)
                await asyncio.sleep(1)


def _named(pod: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def _republish_seconds(poll_interval: float | None) -> tuple[float, float]:
    if poll_interval is None:
        return REPUBLISH_SECONDS
    least, most = (
        min(share * poll_interval, limit) for share, limit in zip(REPUBLISH_SHARE, REPUBLISH_SECONDS, strict=True)
    )
    return least, most


__all__ = ["Key", "Node"]
