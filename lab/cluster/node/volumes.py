"""The volumes of one pod: set up before its containers start, kept up to date while they run."""

import asyncio
import contextlib
import logging
import os
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from lab.cluster.client import CLAIMS, CSI_DRIVERS, ApiError, Object
from lab.cluster.informer import cancel
from lab.cluster.node.atomic import AtomicWriter
from lab.cluster.node.context import DriverError, NodeContext, PublishRequest
from lab.cluster.node.projections import KINDS, MountError, Projections, shows
from lab.cluster.node.tokens import Tokens
from lab.sandbox.sandboxes import Bind

log = logging.getLogger(__name__)

CSI = "csi.storage.k8s.io/"
RETRY_SECONDS = 5.0


class Volumes:
    """The volumes of a pod.

    Args:
        context: the node.
        pod: the pod, as it was when it came to the node.
        folder: the pod's folder.
    """

    def __init__(self, context: NodeContext, pod: Object, folder: Path) -> None:
        self._context, self._pod, self._folder = context, pod, folder
        self._tokens = Tokens(context.client)
        self._projections = Projections(context.client, self._tokens)
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._owner = (0, 0)
        self._paths: dict[str, Path] = {}
        self._published: list[tuple[str, Path]] = []

    def look_again(self, kind: str, name: str) -> None:
        """A Secret or ConfigMap has changed, which volumes may show."""
        if any(shows(volume, kind, name) for volume in self._pod["spec"].get("volumes") or []):
            self._changed.set()
            self._changed = asyncio.Event()

    async def set_up(self, volume: Object) -> None:
        """Set up one volume; doing it again is harmless.

        Raises:
            MountError: it could not be done; the text is what follows the kubelet's beginning.
        """
        self._owner = (await self._context.processes.sandboxes()).owner()
        name = volume["name"]
        try:
            if volume.get("csi") is not None:
                self._paths[name] = await self._publish(volume)
            elif any(volume.get(kind) is not None for kind in KINDS):
                self._paths[name] = await self._project(volume)
            else:
                self._paths[name] = await self._make(volume)
        except ApiError as error:
            raise MountError(error.message) from None

    def keep_current(self) -> None:
        """Begin to follow what the volumes show."""
        for volume in self._pod["spec"].get("volumes") or []:
            if any(volume.get(kind) is not None for kind in KINDS):
                self._tasks.append(asyncio.create_task(self._refresh(volume), name=f"volume {volume['name']}"))
            elif volume.get("csi") is not None:
                self._tasks.append(asyncio.create_task(self._republish(volume), name=f"volume {volume['name']}"))

    def binds(self, container: Object) -> tuple[Bind, ...]:
        """What a container is shown."""
        entries = []
        for mount in container.get("volumeMounts") or []:
            source = self._paths[mount["name"]]
            if mount.get("subPath"):
                source = source / mount["subPath"]
                if not source.exists():
                    self._make_folder(source)
            entries.append(Bind(source, mount["mountPath"].rstrip("/") or "/", bool(mount.get("readOnly"))))
        return tuple(entries)

    async def tear_down(self) -> None:
        """Take all volumes away; what claims hold stays."""
        for task in self._tasks:
            await cancel(task)
        for driver, target in self._published:
            await self._unpublish(driver, target)
        self._tokens.forget(self._pod)
        await asyncio.to_thread(shutil.rmtree, self._folder / "volumes", ignore_errors=True)

    async def _project(self, volume: Object) -> Path:
        files, _ = await self._projections.gather(self._pod, volume)
        kind = next(kind for kind in KINDS if volume.get(kind) is not None)
        folder = self._place(kind, volume)
        AtomicWriter(folder, self._owner).write(files)
        return folder

    async def _refresh(self, volume: Object) -> None:
        """Write again when a source changes, and before a token is due."""
        writer = AtomicWriter(self._paths[volume["name"]], self._owner)
        while True:
            changed, due = self._changed, None
            try:
                files, due = await self._projections.gather(self._pod, volume)
                writer.write(files)
            except (MountError, ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("volume %s of %s: %s", volume["name"], self._pod["metadata"]["name"], error)
                due = datetime.fromtimestamp(datetime.now(UTC).timestamp() + RETRY_SECONDS, UTC)
            wait = max((due - datetime.now(UTC)).total_seconds(), 0.1) if due else None
            try:
                async with asyncio.timeout(wait):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _publish(self, volume: Object) -> Path:
        target = self._folder / "volumes" / "kubernetes.io~csi" / str(volume["name"]) / "mount"
        await self._call_driver(volume, target)
        return target

    async def _call_driver(self, volume: Object, target: Path) -> None:
        name = volume["csi"]["driver"]
        driver = self._context.drivers.get(name)
        if driver is None:
            text = "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name"
            raise MountError(f"{text} {name} not found in the list of registered CSI drivers")
        spec = (await self._context.client.get(CSI_DRIVERS, "", name))["spec"]
        request = PublishRequest(target, await self._volume_context(volume, spec), self._owner)
        self._make_folder(target)
        if (name, target) not in self._published:
            self._published.append((name, target))
        try:
            await driver.publish(request)
        except DriverError as error:
            raise MountError(str(error)) from None

    async def _unpublish(self, name: str, target: Path) -> None:
        """Ask the driver; as long as it is gone the pod does not end, as with a real kubelet, unless the node ends."""
        stopping = self._context.stopping
        while (driver := self._context.drivers.get(name)) is None and not stopping.is_set():
            log.warning("UnmountVolume.TearDown failed: driver name %s not found in the list of registered ones", name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await stopping.wait()
        if driver is not None:
            await driver.unpublish(target)

    async def _volume_context(self, volume: Object, spec: Object) -> dict[str, str]:
        meta = self._pod["metadata"]
        context = dict(volume["csi"].get("volumeAttributes") or {})
        if spec.get("podInfoOnMount"):
            account = self._pod["spec"].get("serviceAccountName") or "default"
            context |= {
                f"{CSI}pod.name": meta["name"],
                f"{CSI}pod.namespace": meta["namespace"],
                f"{CSI}pod.uid": meta["uid"],
                f"{CSI}serviceAccount.name": account,
                f"{CSI}ephemeral": "true",
            }
        if spec.get("tokenRequests"):
            tokens = await self._tokens.for_driver(self._pod, spec["tokenRequests"])
            context[f"{CSI}serviceAccount.tokens"] = tokens
        return context

    async def _republish(self, volume: Object) -> None:
        """Ask drivers that want it to look again; what they say is logged, no event tells of it."""
        if not await self._wants_republish(volume["csi"]["driver"]):
            return
        while True:
            await asyncio.sleep(random.uniform(*self._context.republish_seconds))  # noqa: S311
            try:
                await self._call_driver(volume, self._paths[volume["name"]])
            except (MountError, ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("republishing %s of %s: %s", volume["name"], self._pod["metadata"]["name"], error)

    async def _wants_republish(self, name: str) -> bool:
        """What the CSIDriver says, asked until the API server answers."""
        while True:
            try:
                driver = await self._context.client.find(CSI_DRIVERS, "", name)
                return driver is not None and bool(driver["spec"].get("requiresRepublish"))
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("CSIDriver %s: %s", name, error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _make(self, volume: Object) -> Path:
        if volume.get("persistentVolumeClaim") is not None:
            return await self._claim(volume["persistentVolumeClaim"]["claimName"])
        if volume.get("hostPath") is not None:
            path = str(volume["hostPath"]["path"]).lstrip("/")
            folder = self._context.state_dir / "host" / path
            self._make_folder(folder)
            return folder
        return self._place("empty-dir", volume, 0o777)

    async def _claim(self, name: str) -> Path:
        namespace = self._pod["metadata"]["namespace"]
        claim = await self._context.client.find(CLAIMS, namespace, name)
        if claim is None:
            raise MountError(f'persistentvolumeclaim "{name}" not found')
        folder = self._context.state_dir / "claims" / f"pvc-{claim['metadata']['uid']}"
        self._make_folder(folder)
        return folder

    def _place(self, kind: str, volume: Object, mode: int = 0o755) -> Path:
        plugin = f"kubernetes.io~{kind.lower()}"
        folder = self._folder / "volumes" / plugin / str(volume["name"])
        self._make_folder(folder, mode)
        return folder

    def _make_folder(self, folder: Path, mode: int = 0o755) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True)
        folder.chmod(mode)
        if os.geteuid() == 0:
            os.chown(folder, *self._owner)
