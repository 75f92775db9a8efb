"""One container of a pod: image, start, probes, restart with back-off, end."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp

from lab.cluster.client import ApiError, Object
from lab.cluster.informer import cancel
from lab.cluster.node import images
from lab.cluster.node.context import NodeContext
from lab.cluster.node.environment import ConfigError, Environment, expand
from lab.cluster.node.images import Launch, Place
from lab.cluster.node.logs import ContainerLog
from lab.cluster.node.place import PodPlace, describe_failure, full_name, go_duration
from lab.cluster.node.probing import Probing, Verdicts
from lab.cluster.node.pulling import BACK_OFF_SECONDS, Pulling
from lab.cluster.node.status import ContainerState
from lab.errors import LabError
from lab.sandbox.sandboxes import Process, Sandboxes, SandboxFailed

CALM_SECONDS = 600.0
"""A container that ran for so long starts again without back-off."""
CONFIG_RETRY_SECONDS = 10.0


class Container:
    """Runs one container as long as its pod wants it.

    Args:
        context: the node.
        place: the pod.
        spec: the container as the pod has it.
        on_change: called when its state changes.
        again: whether it runs again after an exit code.
    """

    def __init__(
        self,
        context: NodeContext,
        place: PodPlace,
        spec: Object,
        on_change: Callable[[], None],
        again: Callable[[int], bool],
    ) -> None:
        self._context, self._place, self.spec = context, place, spec
        self._on_change, self._again = on_change, again
        self.state = ContainerState(spec["name"], spec["image"])
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self._launch: Launch | None = None
        self._environment: dict[str, str] = {}
        self._process: Process | None = None
        self._retry = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Run it until it has ended for good or is cancelled."""
        back_off = 0.0
        while not self._stopping:
            policy = self.spec.get("imagePullPolicy", "IfNotPresent")
            await Pulling(self.spec["image"], policy, self._context.pulled, self._event, self._wait).pull()
            launch = await self._configure()
            began = asyncio.get_running_loop().time()
            code = await self._run_once(launch)
            if self._stopping or not self._again(code):
                return
            self.state.remember()
            if asyncio.get_running_loop().time() - began > CALM_SECONDS:
                back_off = 0.0
            await self._wait_back_off(back_off)
            back_off = min(max(2 * back_off, BACK_OFF_SECONDS[0]), BACK_OFF_SECONDS[1])
            self.state.restarts += 1

    def look_again(self) -> None:
        """Something that the environment may refer to has changed."""
        self._retry.set()

    @property
    def process(self) -> Process | None:
        """The running process."""
        return self._process if self._process is not None and self._process.running else None

    async def enter(self, argv: list[str], *, terminal: bool = False, **streams: Any) -> Process:
        """Run a command inside.

        Raises:
            SandboxFailed: it cannot be run, or the container does not run.
        """
        if self.process is None or self._launch is None:
            raise SandboxFailed("the container does not run", name=self.state.name, code="gone")
        sandboxes = await self._context.processes.sandboxes()
        extra = {"TERM": "xterm"} if terminal else {}
        return await sandboxes.enter(
            self._launch.world, self.process, argv, self._environment | extra, terminal=terminal, **streams
        )

    async def stop(self, grace_seconds: float, *, quietly: bool = False) -> None:
        """End it: its stop signal, and SIGKILL when the time is over."""
        self._stopping = True
        process = self.process
        if process is None:
            return
        if not quietly:
            self._event("Normal", "Killing", f"Stopping container {self.state.name}")
        await self._end(process, grace_seconds)

    async def _end(self, process: Process, grace_seconds: float) -> None:
        if grace_seconds > 0 and self._launch is not None:
            process.send(self._launch.stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await process.wait()
                    return
        await process.kill()

    def _event(self, kind: str, reason: str, message: str) -> None:
        write = self._context.recorder.normal if kind == "Normal" else self._context.recorder.warning
        write(self._place.pod, reason, message, f"spec.containers{{{self.state.name}}}")

    def _wait(self, reason: str, message: str = "") -> None:
        self.state.wait(reason, message)
        self._on_change()

    async def _configure(self) -> Launch:
        """Until the environment can be built."""
        while True:
            self._retry.clear()
            try:
                return await self._prepare()
            except ConfigError as error:
                self._event("Warning", "Failed", f"Error: {error}")
                self._wait("CreateContainerConfigError", str(error))
            except (LabError, ApiError, aiohttp.ClientError, TimeoutError) as error:
                self._event("Warning", "Failed", f"Error: {error}")
                self._wait("CreateContainerError", str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(CONFIG_RETRY_SECONDS):
                    await self._retry.wait()

    async def _prepare(self) -> Launch:
        pod = self._place.pod
        folder = self._place.folder / "containers" / f"{self.state.name}-{self.state.restarts}"
        folder.mkdir(parents=True, exist_ok=True)
        hostname = pod["spec"].get("hostname") or pod["metadata"]["name"][:63]
        place = Place(folder, hostname, self._place.address, self._place.binds(self.spec))
        launch = await images.prepare(self._context, self.spec["image"], place)
        given = launch.environment | {"HOSTNAME": hostname} | dict(self._place.environment)
        addressed = pod | {
            "status": pod.get("status", {}) | {"podIP": self._place.address, "hostIP": self._context.address}
        }
        self._environment = await Environment(self._context.client).build(addressed, self.spec, given)
        self._launch = launch
        return launch

    async def _run_once(self, launch: Launch) -> int:
        """Start it and wait for its end; returns the exit code."""
        sandboxes = await self._context.processes.sandboxes()
        if self.log is not None:
            self.previous_log = self.log
        self.log = log = ContainerLog(self._place.log_dir / self.state.name / f"{self.state.restarts}.log")
        self._event("Normal", "Created", f"Created container: {self.state.name}")
        try:
            self._process = process = await self._start(sandboxes, launch)
            self.state.image_id = f"docker.io/lab/{images.launcher_of(self.spec['image'])}@sha256:{'0' * 64}"
            self.state.run(f"containerd://{secrets.token_hex(32)}", datetime.now(UTC))
            self._event("Normal", "Started", f"Started container {self.state.name}")
            code = await self._accompany(process, log)
        except SandboxFailed as error:
            return self._not_started(error)
        finally:
            log.end()
        self.state.end(code, "Completed" if code == 0 else "Error", datetime.now(UTC))
        self._on_change()
        return code

    async def _accompany(self, process: Process, log: ContainerLog) -> int:
        """Take in its output and probe it until it ends; returns the exit code."""
        streams = [asyncio.create_task(work) for work in self._copies(process, log)]
        probing = asyncio.create_task(self._probing(process).watch(), name=f"probes of {self.state.name}")
        self._on_change()
        try:
            return await process.wait()
        finally:
            await process.kill()
            await cancel(probing)
            await asyncio.gather(*streams)

    def _copies(self, process: Process, log: ContainerLog) -> list[Coroutine[Any, Any, None]]:
        streams = (("stdout", process.stdout), ("stderr", process.stderr))
        return [log.copy(name, stream) for name, stream in streams if stream is not None]

    async def _start(self, sandboxes: Sandboxes, launch: Launch) -> Process:
        known = self._environment
        command = [expand(text, known) for text in self.spec.get("command") or launch.entrypoint]
        default = () if self.spec.get("command") else launch.command
        arguments = [expand(text, known) for text in self.spec.get("args") or default]
        pipe = asyncio.subprocess.PIPE
        return await sandboxes.start(launch.world, [*command, *arguments], known, stdout=pipe, stderr=pipe)

    def _not_started(self, error: SandboxFailed) -> int:
        text = (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
            "failed: unable to start container process: error during container init: "
            f"{describe_failure(error)}: unknown"
        )
        self._event("Warning", "Failed", f"Error: {text}")
        self.state.end(128, "StartError", datetime.now(UTC), text)
        self._on_change()
        return 128

    def _set_started(self) -> None:
        self.state.started = True
        self._on_change()

    def _set_ready(self, ready: bool) -> None:
        self.state.ready = ready
        self._on_change()

    def _probing(self, process: Process) -> Probing:
        async def restart(kind: str) -> None:
            self._event("Normal", "Killing", f"Container {self.state.name} failed {kind} probe, will be restarted")
            await self._end(process, self._place.pod["spec"].get("terminationGracePeriodSeconds", 30))

        def failed(text: str) -> None:
            self._event("Warning", "Unhealthy", text)

        verdicts = Verdicts(self._set_started, self._set_ready, failed, restart)
        return Probing(self.spec, self._place.address, self._run_probe, verdicts)

    async def _run_probe(self, command: list[str], limit: float) -> tuple[int, str]:
        pipe, merged = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        try:
            process = await self.enter(command, stdout=pipe, stderr=merged)
        except SandboxFailed as error:
            return 127, error.seen
        try:
            async with asyncio.timeout(limit):
                output = await process.communicate()
                return await process.wait(), output.decode(errors="replace")[:10240]
        except TimeoutError:
            await process.kill()
            raise

    async def _wait_back_off(self, seconds: float) -> None:
        if not seconds:
            return
        pod, name = full_name(self._place.pod), self.state.name
        self._event("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {pod}")
        text = f"back-off {go_duration(seconds)} restarting failed container={name} pod={pod}"
        self._wait("CrashLoopBackOff", text)
        await asyncio.sleep(seconds)
