"""Virtual machines: a proxy of their own, so that IMDS knows them, and a place where scripts run."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import infra
from infra.errors import NotFound
from infra.lab import network
from infra.lab.backends import CommandResult, Origin, Proxies
from infra.lab.environment import proxy_variables
from infra.lab.options import LabOptions
from infra.lab.state import StateFolder

SCRIPT_TIMEOUT_SECONDS = 600
TIMED_OUT = 124


@dataclass(frozen=True)
class Machine:
    """A running virtual machine.

    Args:
        name: its name.
        home: the folder that scripts run in; it stays between scripts.
        proxy_url: its proxy.
    """

    name: str
    home: Path
    proxy_url: str


class Machines:
    """The virtual machines of a lab, by ARM id.

    Args:
        options: the lab's options.
        proxies: gives the proxies; asked for late, since the gateway starts after this is made.
        ca_bundle: the authorities that machines trust.
        folder: the state folder.
        tools_dir: folder with curl and jq.
    """

    def __init__(
        self,
        options: LabOptions,
        proxies: Callable[[], Proxies],
        ca_bundle: Path,
        folder: StateFolder,
        tools_dir: Path,
    ) -> None:
        self._options, self._proxies, self._ca_bundle = options, proxies, ca_bundle
        self._folder, self._tools_dir = folder, tools_dir
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
        address = f"{self._options.network}.{network.MACHINES}.{self._count}"
        home = self._folder.path / "machines" / re.sub(r"[^-\w]", "_", f"{self._count}-{name}")
        home.mkdir(parents=True)
        url = await self._proxies().open(Origin("vm", resource_id, address))
        self._machines[key] = Machine(name, home, url)

    async def remove(self, resource_id: str) -> None:
        """Remove a machine; nothing happens when there is none."""
        machine = self._machines.pop(resource_id.lower(), None)
        if machine is not None:
            await self._proxies().close(machine.proxy_url)

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
        file = machine.home / ".script.sh"
        file.touch(mode=0o600)
        file.write_text(script)
        try:
            return await self._run(machine, file)
        finally:
            file.unlink(missing_ok=True)

    async def _run(self, machine: Machine, file: Path) -> CommandResult:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infra.lab.machine_shell",
            str(self._folder.hosts_file),
            str(file),
            cwd=machine.home,
            env=self._environment(machine),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SCRIPT_TIMEOUT_SECONDS):
                stdout, stderr = await process.communicate()
        except TimeoutError:
            return CommandResult("", f"the script ran longer than {SCRIPT_TIMEOUT_SECONDS} s", TIMED_OUT)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return CommandResult(stdout.decode(errors="replace"), stderr.decode(errors="replace"), process.returncode or 0)

    def _environment(self, machine: Machine) -> dict[str, str]:
        """A machine's own environment: nothing of the daemon's but the way to programs."""
        path = os.pathsep.join([str(self._tools_dir), os.environ.get("PATH", os.defpath)])
        return {
            **proxy_variables(machine.proxy_url, self._ca_bundle),
            "PATH": path,
            "HOME": str(machine.home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(infra.__file__).parent.parent),
        }
