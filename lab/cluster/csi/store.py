"""The driver on the node: what the kubelet calls, and what goes on beside it."""

import asyncio
import ssl
from pathlib import Path

import aiohttp

from lab.cluster.client import PODS, ApiError, Client
from lab.cluster.csi.caches import Caches
from lab.cluster.csi.definitions import DRIVER, install, write_driver
from lab.cluster.csi.mounting import Mounting
from lab.cluster.csi.parameters import ProviderError
from lab.cluster.csi.rotation import Rotation
from lab.cluster.csi.syncing import Syncing
from lab.cluster.csi.vault import VaultReader
from lab.cluster.events import Recorder
from lab.cluster.node.context import DriverError, PublishRequest, Switches
from lab.control.options import DriverGeneration

CSI = "csi.storage.k8s.io/"
OWNER_SECONDS, RECHECK_SECONDS, RETRY_SECONDS = 5.0, 300.0, 10.0
USUAL_INTERVAL_SECONDS = 120.0
"""The pauses above belong to this interval; a shorter one shortens them alike."""


class SecretsStore:
    """The Secrets Store CSI driver with its Azure provider.

    Args:
        client: an administrator's client of the API server.
        generation: up to 1.5, or 1.6.
        poll_interval: seconds between two looks for new versions.
        rotation_enabled: whether it looks at all.
        https_proxy: URL of the proxy that leads to Entra and Key Vault; empty for none.
        ca_bundle: file with the certificates to trust.
        faults: "sync-paused" keeps versions and Secrets as they are.
    """

    name = DRIVER

    def __init__(
        self,
        client: Client,
        generation: DriverGeneration,
        poll_interval: float,
        rotation_enabled: bool,
        https_proxy: str,
        ca_bundle: Path,
        faults: Switches,
    ) -> None:
        self._client, self._generation, self._faults = client, generation, faults
        self._interval, self._rotates = poll_interval, rotation_enabled
        self._recorder = Recorder(client, "csi-secrets-store-controller")
        self._reader = VaultReader(https_proxy, ssl.create_default_context(cafile=str(ca_bundle)))
        self._caches = Caches(client)
        self._mounting = Mounting(client, self._reader)
        self._syncing = Syncing(client, self._caches, self._recorder, generation)
        self._rotation = self._make_rotation()
        self._looked: dict[Path, float] = {}

    async def start(self) -> None:
        """Install what the chart installs, and begin to work."""
        await install(self._client, self._republishes)
        self._recorder.start()
        await self._caches.start()
        self._scale()
        self._syncing.start()
        if self._ticks:
            self._rotation.start(self._interval)

    async def stop(self) -> None:
        """Stop working; mounts and Secrets stay as they are."""
        await self._rotation.stop()
        await self._syncing.stop()
        await self._caches.stop()
        await self._recorder.stop()
        await self._reader.close()

    async def configure(self, poll_interval: float, rotation_enabled: bool) -> None:
        """Take over other settings, as a restart of the driver with other flags does."""
        if (poll_interval, rotation_enabled) == (self._interval, self._rotates):
            return
        self._interval, self._rotates = poll_interval, rotation_enabled
        await write_driver(self._client, self._republishes)
        self._scale()
        owners = self._rotation.owners
        await self._rotation.stop()
        self._rotation = self._make_rotation()
        self._rotation.owners = owners
        self._scale()
        if self._ticks:
            self._rotation.start(self._interval)

    @property
    def poll_interval(self) -> float:
        """Seconds between two looks for new versions."""
        return self._interval

    @property
    def _republishes(self) -> bool:
        return self._rotates and self._generation is DriverGeneration.REPUBLISH

    @property
    def _ticks(self) -> bool:
        return self._rotates and self._generation is DriverGeneration.RECONCILER

    def _make_rotation(self) -> Rotation:
        return Rotation(self._client, self._mounting, self._syncing, self._caches, self._recorder, self._faults)

    def _scale(self) -> None:
        share = min(self._interval / USUAL_INTERVAL_SECONDS, 1.0)
        self._syncing.owner_seconds, self._syncing.recheck_seconds = OWNER_SECONDS * share, RECHECK_SECONDS * share
        self._rotation.retry_seconds = RETRY_SECONDS * share

    async def publish(self, request: PublishRequest) -> None:
        """NodePublishVolume: fill the volume; one that is filled is looked at again when its time has come.

        Raises:
            DriverError: it could not be done.
        """
        clock = asyncio.get_running_loop().time
        looked = self._looked.get(request.target)
        if looked is not None and not self._is_due(looked, clock()):
            return
        began = clock()
        try:
            await self._publish(request)
        except (ProviderError, ApiError, aiohttp.ClientError, TimeoutError) as error:
            raise DriverError(f"rpc error: code = Unknown desc = {error}") from None
        self._looked[request.target] = began

    def _is_due(self, looked: float, now: float) -> bool:
        return self._republishes and not self._faults.is_on("sync-paused") and now >= looked + self._interval

    async def _publish(self, request: PublishRequest) -> None:
        context = request.context
        class_name = context.get("secretProviderClass", "")
        if not class_name:
            raise ProviderError("secretProviderClass is not set")
        namespace, name = context[f"{CSI}pod.namespace"], context[f"{CSI}pod.name"]
        found = await self._mounting.get_class(namespace, class_name)
        tokens = context.get(f"{CSI}serviceAccount.tokens", "")
        try:
            mounted = await self._mounting.mount(found, tokens, request.target, request.owner)
        except ProviderError as error:
            text = f"failed to mount secrets store objects for pod {namespace}/{name}, err: {error}"
            raise ProviderError(text) from None
        self._rotation.owners[str(request.target)] = request.owner
        pod = await self._client.get(PODS, namespace, name)
        self._caches.reports.take(await self._mounting.report(pod, class_name, request.target, mounted.versions))

    async def unpublish(self, target: Path) -> None:
        """NodeUnpublishVolume: forget the volume; the kubelet removes its folder."""
        self._looked.pop(target, None)
        self._rotation.owners.pop(str(target), None)
