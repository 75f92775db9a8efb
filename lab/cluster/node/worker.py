"""One pod on the node: address, volumes, containers, status, end."""

import asyncio
import logging
import shutil
from datetime import UTC, datetime

import aiohttp

from lab.azure.backends import Origin
from lab.cluster.client import PODS, ApiError, Object
from lab.cluster.informer import cancel, version_of
from lab.cluster.node.containers import Container
from lab.cluster.node.context import NodeContext
from lab.cluster.node.environment import lab_environment
from lab.cluster.node.place import PodPlace
from lab.cluster.node.projections import MountError
from lab.cluster.node.status import Facts, status_of
from lab.cluster.node.volumes import Volumes
from lab.sandbox.sandboxes import Bind

log = logging.getLogger(__name__)

CA_BUNDLE = "/lab/ca-bundle.pem"
MOUNT_RETRY_SECONDS = (0.5, 122.0)
SANDBOX_RETRY_SECONDS = 1.0
WRITE_RETRY_SECONDS = 1.0


class PodWorker:
    """Runs one pod from its assignment to its end.

    Args:
        context: the node.
        pod: the pod as it came.
    """

    def __init__(self, context: NodeContext, pod: Object) -> None:
        self._context, self.pod = context, pod
        meta = pod["metadata"]
        self._folder = context.state_dir / "pods" / meta["uid"]
        self._log_dir = context.state_dir / "logs" / "pods" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        self._proxy = ""
        self._started_at = datetime.now(UTC)
        self._changed, self._look = asyncio.Event(), asyncio.Event()
        self._deleted = asyncio.Event()
        self._volumes = Volumes(context, pod, self._folder)
        self._written: Object = {}
        self._place = place = PodPlace(pod, self._folder, self._log_dir, self._binds)
        policy = pod["spec"].get("restartPolicy", "Always")
        self.inits = [
            Container(context, place, spec, self._changed.set, lambda code: code != 0 and policy != "Never")
            for spec in pod["spec"].get("initContainers") or []
        ]
        self.containers = [
            Container(
                context,
                place,
                spec,
                self._changed.set,
                lambda code: policy == "Always" or (policy == "OnFailure" and code != 0),
            )
            for spec in pod["spec"]["containers"]
        ]
        self._runs: list[asyncio.Task[None]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"pod {self.pod['metadata']['name']}")

    @property
    def done(self) -> bool:
        """Whether nothing of it is left."""
        return self._task is not None and self._task.done()

    def update(self, pod: Object) -> None:
        """The pod as the API server has it now; what an answer or a watch brings late is not taken back."""
        if version_of(pod) < version_of(self.pod):
            return
        self.pod = self._place.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self._deleted.set()
        self._changed.set()

    def look_again(self, kind: str, name: str) -> None:
        """A Secret or ConfigMap of the namespace has changed; `kind` is "secret" or "configMap"."""
        self._look.set()
        self._look = asyncio.Event()
        self._volumes.look_again(kind, name)
        for container in (*self.inits, *self.containers):
            container.look_again()

    def gone(self) -> None:
        """The pod was removed by force."""
        meta = self.pod["metadata"]
        self.pod = self.pod | {"metadata": meta | {"deletionGracePeriodSeconds": 0}}
        self._deleted.set()

    async def stop(self) -> None:
        """End it at once, since the node ends."""
        await cancel(self._task)

    def find(self, name: str) -> Container | None:
        """A container by name; the first one without a name."""
        everything = (*self.containers, *self.inits)
        return next((container for container in everything if name in ("", container.state.name)), None)

    def _binds(self, spec: Object) -> tuple[Bind, ...]:
        return (Bind(self._context.ca_bundle, CA_BUNDLE, True), *self._volumes.binds(spec))

    async def _run(self) -> None:
        writing = asyncio.create_task(self._write_statuses(), name="status")
        living = asyncio.create_task(self._live(), name="containers")
        try:
            await self._deleted.wait()
            await self._end()
        finally:
            await cancel(living)
            await cancel(writing)
            await self._clean_up()
        await self._confirm()

    async def _live(self) -> None:
        """Up to the end of all containers; what nobody has thought of must not keep the pod from being deleted."""
        try:
            await self._bring_up()
        except Exception:
            log.exception("pod %s", self.pod["metadata"]["name"])

    async def _bring_up(self) -> None:
        await self._open_sandbox()
        await self._mount()
        for container in self.inits:
            await self._run_container(container)
        self._volumes.keep_current()
        self._runs = [asyncio.create_task(self._run_container(container)) for container in self.containers]
        try:
            await asyncio.gather(*self._runs)
        finally:
            for run in self._runs:
                await cancel(run)

    async def _run_container(self, container: Container) -> None:
        await container.run()
        self._changed.set()

    async def _open_sandbox(self) -> None:
        """The pod's address and proxy."""
        while self._context.faults.is_on("pods-not-starting"):
            text = "Failed to create pod sandbox: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
            self._context.recorder.warning(self.pod, "FailedCreatePodSandBox", text)
            self._changed.set()
            await asyncio.sleep(SANDBOX_RETRY_SECONDS)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._place.address = self._context.addresses.take()
        self._proxy = await self._context.proxies.open(Origin("pod", address=self._place.address))
        url = self._context.client.url
        self._place.environment = lab_environment(self._proxy, CA_BUNDLE, self._place.address, url)
        self._changed.set()

    async def _mount(self) -> None:
        """Until every volume is in place; side by side, each with its own back-off."""
        volumes = self.pod["spec"].get("volumes") or []
        async with asyncio.TaskGroup() as group:
            for volume in volumes:
                group.create_task(self._mount_one(volume))

    async def _mount_one(self, volume: Object) -> None:
        pause = MOUNT_RETRY_SECONDS[0]
        while True:
            look = self._look
            try:
                await self._volumes.set_up(volume)
                return
            except (MountError, aiohttp.ClientError, TimeoutError) as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                self._context.recorder.warning(self.pod, "FailedMount", text)
            try:
                async with asyncio.timeout(pause):
                    await look.wait()
            except TimeoutError:
                pause = min(2 * pause, MOUNT_RETRY_SECONDS[1])

    async def _end(self) -> None:
        """Ask the containers to end, within the grace period."""
        grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        everything = (*self.containers, *self.inits)
        await asyncio.gather(*(container.stop(grace) for container in everything))
        running = [run for run in self._runs if not run.done()]
        if running:
            await asyncio.wait(running, timeout=5)

    async def _clean_up(self) -> None:
        await self._volumes.tear_down()
        if self._proxy:
            await self._context.proxies.close(self._proxy)
        if self._place.address:
            self._context.addresses.give_back(self._place.address)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _confirm(self) -> None:
        """Tell the API server that nothing runs any more: the last status, then the pod may go."""
        meta = self.pod["metadata"]
        while True:
            try:
                await self._write_status()
                await self._context.client.delete(
                    PODS, meta["namespace"], meta["name"], uid=meta["uid"], grace_seconds=0
                )
                return
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("pod %s: %s", meta["name"], error)
            await asyncio.sleep(WRITE_RETRY_SECONDS)

    async def _write_statuses(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write_status()
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.warning("status of %s: %s", self.pod["metadata"]["name"], error)
                await asyncio.sleep(WRITE_RETRY_SECONDS)
                self._changed.set()

    async def _write_status(self) -> None:
        meta = self.pod["metadata"]
        states = [container.state for container in self.containers]
        inits = [container.state for container in self.inits]
        facts = Facts(self._place.address, self._context.address, self._started_at, bool(meta.get("deletionTimestamp")))
        status = status_of(self.pod, states, inits, facts, datetime.now(UTC))
        if status == self._written:
            return
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        try:
            answer = await self._context.client.patch(
                PODS, meta["namespace"], meta["name"], patch, subresource="status"
            )
        except ApiError as error:
            if error.not_found or error.conflict:
                return
            raise
        self._written = status
        if version_of(answer) > version_of(self.pod):
            self.update(answer)
