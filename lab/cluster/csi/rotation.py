"""The rotation reconciler of the driver up to 1.5: one ticker, its phase fixed when the driver starts.

The order for each mount: files, MountRotationComplete (only when something changed), the report, the Secrets,
SecretRotationComplete (at every poll, so that it tells nothing).
"""

import asyncio
import logging
from pathlib import Path

import aiohttp

from lab.cluster.client import ApiError, Client, Object
from lab.cluster.csi.caches import Caches
from lab.cluster.csi.definitions import AUDIENCE
from lab.cluster.csi.mounting import Mounting, check_class, read_files
from lab.cluster.csi.parameters import ProviderError
from lab.cluster.csi.syncing import MissingFile, Syncing
from lab.cluster.events import Recorder
from lab.cluster.informer import Key, Queue, cancel, key_of
from lab.cluster.node.context import Switches
from lab.cluster.node.tokens import Tokens

log = logging.getLogger(__name__)


class Rotation:
    """Looks for new versions at every tick.

    Args:
        client: asks the API server for tokens.
        mounting: fills volumes and reports.
        syncing: writes Secrets.
        caches: pods, classes and reports.
        recorder: writes events as the driver.
        faults: "sync-paused" stops it.
    """

    def __init__(
        self,
        client: Client,
        mounting: Mounting,
        syncing: Syncing,
        caches: Caches,
        recorder: Recorder,
        faults: Switches,
    ) -> None:
        self._mounting, self._syncing = mounting, syncing
        self._caches, self._recorder, self._faults = caches, recorder, faults
        self._tokens = Tokens(client)
        self._ticker: asyncio.Task[None] | None = None
        self.owners: dict[str, tuple[int, int]] = {}
        self.retry_seconds = 10.0
        self._queue = Queue("rotation", self._attempt)

    def start(self, interval_seconds: float) -> None:
        """Tick from now on."""
        self._queue.start()
        self._ticker = asyncio.create_task(self._tick(interval_seconds), name="rotation")

    async def stop(self) -> None:
        """Stop ticking; a rotation under way is left off."""
        await cancel(self._ticker)
        await self._queue.stop()

    async def _tick(self, interval_seconds: float) -> None:
        clock = asyncio.get_running_loop()
        due = clock.time()
        while True:
            due += interval_seconds
            await asyncio.sleep(max(due - clock.time(), 0))
            for report in self._caches.reports:
                self._queue.add(key_of(report))

    async def _attempt(self, key: Key) -> None:
        """Rotate one mount; what fails is tried again soon, not at the next tick."""
        report = self._caches.reports.get(*key)
        if report is None or self._faults.is_on("sync-paused"):
            return
        pod = await self._caches.find_pod(key[0], report["status"]["podName"])
        if pod is None or pod["metadata"].get("deletionTimestamp") or not _is_running(pod):
            return
        try:
            await self._rotate(pod, report)
        except (ApiError, ProviderError, MissingFile, aiohttp.ClientError, TimeoutError) as error:
            log.warning("rotation of %s: %s", key[1], error)
            self._queue.add_after(key, self.retry_seconds)

    async def _rotate(self, pod: Object, report: Object) -> None:
        status = report["status"]
        namespace, name = report["metadata"]["namespace"], status["secretProviderClassName"]
        provider_class = check_class(await self._caches.find_class(namespace, name), namespace, name)
        target = Path(status["targetPath"])
        if not target.is_dir():
            return
        tokens = await self._tokens.for_driver(pod, [{"audience": AUDIENCE}])
        try:
            mounted = await self._mounting.mount(provider_class, tokens, target, self.owners.get(str(target), (0, 0)))
        except ProviderError as error:
            self._recorder.warning(pod, "MountRotationFailed", f"provider mount err: {error}")
            raise
        if mounted.changed:
            text = f"successfully rotated mounted contents for spc {namespace}/{name}"
            self._recorder.normal(pod, "MountRotationComplete", text)
        self._caches.reports.take(await self._mounting.report(pod, name, target, mounted.versions, report))
        await self._sync(pod, provider_class, target)

    async def _sync(self, pod: Object, provider_class: Object, target: Path) -> None:
        meta, files = provider_class["metadata"], read_files(target)
        for wanted in provider_class["spec"].get("secretObjects") or []:
            name = wanted["secretName"].strip()
            try:
                await self._syncing.patch_data(meta["namespace"], wanted, files)
            except MissingFile as error:
                text = f"failed to get data in spc {meta['namespace']}/{meta['name']} for secret {name}, err: {error}"
                self._recorder.warning(pod, "SecretRotationFailed", text)
                raise
            except ApiError as error:
                text = f"failed to patch secret {name} with new data, err: {error.message}"
                self._recorder.warning(pod, "SecretRotationFailed", text)
                raise
            self._recorder.normal(pod, "SecretRotationComplete", f"successfully rotated K8s secret {name}")


def _is_running(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
