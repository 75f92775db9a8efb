"""Virtual machines: a proxy of their own, so that IMDS knows them, and a sandbox for each script."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import lab
from lab.azure.backends import CommandResult, Origin, Proxies
from lab.control import network
from lab.control.environment import proxy_variables
from lab.control.options import LabOptions
from lab.control.runtime import Runtime
from lab.errors import NotFound
from lab.sandbox.sandboxes import Bind, Process, Sandboxes, World

HOME = "/home/azureuser"
SCRIPT = ".run-command.sh"
SCRIPT_TIMEOUT_SECONDS = 600
TIMED_OUT = 124


@dataclass(frozen=True)
class Machine:
    """A running virtual machine.

    Args:
        name: its name.
        folder: what is its own on the real machine; `home` in it stays between scripts.
        address: what it calls localhost.
        proxy_url: its proxy.
    """

    name: str
    folder: Path
    address: str
    proxy_url: str

    @property
    def home(self) -> Path:
        """The folder that scripts run in."""
        return self.folder / "home"


@dataclass(frozen=True)
class MachinePlace:
    """What the lab gives to its machines.

    Args:
        options: the lab's options.
        runtime: gives sandboxes.
        proxies: gives the proxies; asked for late, since the gateway starts after this is made.
        ca_bundle: the authorities that machines trust.
        tools_dir: folder with curl and jq.
        hosts: the names of the lab's servers and their addresses, just now.
    """

    options: LabOptions
    runtime: Runtime
    proxies: Callable[[], Proxies]
    ca_bundle: Path
    tools_dir: Path
    hosts: Callable[[], Mapping[str, str]]


class Machines:
    """The virtual machines of a lab, by ARM id."""

    def __init__(self, place: MachinePlace) -> None:
        self._place = place
        self._machines: dict[str, Machine] = {}
        self._count = 0

    def names(self) -> list[str]:
        """Names of all machines."""
        return sorted(machine.name for machine in self._machines.values())

    async def start(self, resource_id: str, name: str) -> None:
        """Make a machine; nothing happens when it is there."""
        key = resource_id.lower()
        if key in self._machines:
            return
        self._count += 1
        options = self._place.options
        folder = options.state_dir / "machines" / re.sub(r"[^-\w]", "_", f"{self._count}-{name}")
        address = f"{options.network}.{network.MACHINES}.{self._count}"
        url = await self._place.proxies().open(Origin("vm", resource_id, address))
        self._machines[key] = machine = Machine(name, folder, address, url)
        machine.home.mkdir(parents=True)

    async def remove(self, resource_id: str) -> None:
        """Remove a machine; nothing happens when there is none."""
        machine = self._machines.pop(resource_id.lower(), None)
        if machine is not None:
            await self._place.proxies().close(machine.proxy_url)

    async def stop(self) -> None:
        """Remove all machines."""
        for resource_id in list(self._machines):
            await self.remove(resource_id)

    async def run_command(self, resource_id: str, script: str) -> CommandResult:
        """Run a shell script on a machine, as Azure's run-command does.

        Raises:
            NotFound: there is no such machine.
        """
        machine = self._machines.get(resource_id.lower())
        if machine is None:
            raise NotFound("no such machine", name=resource_id)
        sandboxes = await self._place.runtime.sandboxes()
        file = machine.home / SCRIPT
        file.touch(mode=0o600)
        file.write_text(script)
        for path in (machine.home, file):
            _give(path, sandboxes.owner())
        try:
            return await self._run(sandboxes, machine)
        finally:
            file.unlink(missing_ok=True)

    async def _run(self, sandboxes: Sandboxes, machine: Machine) -> CommandResult:
        process = await sandboxes.start(
            self._world(machine), ["/bin/sh", f"{HOME}/{SCRIPT}"], self._environment(machine), stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(SCRIPT_TIMEOUT_SECONDS):
                return await _finish(process)
        except TimeoutError:
            return CommandResult("", f"the script ran longer than {SCRIPT_TIMEOUT_SECONDS} s", TIMED_OUT)
        finally:
            await process.kill()

    def _world(self, machine: Machine) -> World:
        """The machine's own home, and what the tools stand on at the paths that they are found at."""
        place = self._place
        shown = {Path(lab.__file__).parent.parent, Path(sys.prefix), place.tools_dir, place.ca_bundle}
        binds = [Bind(path, str(path), read_only=True) for path in sorted(shown)]
        return World(
            folder=machine.folder,
            hostname=machine.name,
            address=machine.address,
            user="azureuser",
            cwd=HOME,
            binds=(Bind(machine.home, HOME), *binds),
            hosts=place.hosts(),
        )

    def _environment(self, machine: Machine) -> dict[str, str]:
        """A machine's own environment: nothing of the daemon's but the way to programs."""
        path = os.pathsep.join([str(self._place.tools_dir), os.environ.get("PATH", os.defpath)])
        proxies = proxy_variables(machine.proxy_url, self._place.ca_bundle)
        return {**proxies, "PATH": path, "HOME": HOME, "USER": "azureuser", "LANG": "C.UTF-8"}


async def _finish(process: Process) -> CommandResult:
    if process.stdout is None or process.stderr is None:
        raise ValueError("the script's output is not piped")
    stdout, stderr = await asyncio.gather(process.stdout.read(), process.stderr.read())
    code = await process.wait()
    return CommandResult(stdout.decode(errors="replace"), stderr.decode(errors="replace"), code)


def _give(path: Path, owner: tuple[int, int]) -> None:
    """Let the sandbox's user have it; only root need, and can, give things away."""
    if os.geteuid() == 0:
        os.chown(path, *owner)
