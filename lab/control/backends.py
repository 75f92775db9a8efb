"""What ARM resources stand for: implements `lab.azure.backends.Backends` with clusters, machines and servers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lab.azure.backends import ClusterSpec, CommandResult, RunningCluster
from lab.databases.servers import Servers
from lab.sandbox.machines import Machines

ClusterStarter = Callable[[ClusterSpec], Awaitable[RunningCluster]]
LATE_SECONDS = 2.0
"""How long after its operation a password takes effect while `server-password-late` is on."""


class LabBackends:
    """Starts and ends clusters, machines and servers.

    Args:
        start_cluster: starts a cluster.
        machines: the virtual machines.
        servers: the Flexible Servers.
        kubeconfig: where the kubeconfig of the first cluster is written.
        is_on: asks for a switch of the lab.
    """

    def __init__(
        self,
        start_cluster: ClusterStarter,
        machines: Machines,
        servers: Servers,
        kubeconfig: Path,
        is_on: Callable[[str], bool],
    ) -> None:
        self._start_cluster, self._machines, self._servers = start_cluster, machines, servers
        self._kubeconfig, self._is_on = kubeconfig, is_on
        self._late = set[asyncio.Task[None]]()
        self._clusters: dict[str, RunningCluster] = {}

    def status(self) -> dict[str, Any]:
        """Names of what runs."""
        return {
            "clusters": sorted(name.rsplit("/", 1)[-1] for name in self._clusters),
            "machines": self._machines.names(),
            "servers": self._servers.names(),
        }

    async def stop(self) -> None:
        """End everything."""
        for task in list(self._late):
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        for cluster in list(self._clusters.values()):
            await cluster.stop()
        self._clusters.clear()
        await self._machines.stop()
        await self._servers.stop()

    async def start_cluster(self, spec: ClusterSpec) -> RunningCluster:
        """Start a cluster; the first one's kubeconfig is what kubectl in `lab run` reads."""
        cluster = await self._start_cluster(spec)
        key = spec.resource_id.lower()
        self._clusters[key] = cluster
        if not self._kubeconfig.exists():
            self._kubeconfig.touch(mode=0o600)
            self._kubeconfig.write_text(cluster.kubeconfig("exec" if spec.entra else "user"))
        return _Registered(cluster, lambda: self._forget(key))

    def _forget(self, key: str) -> None:
        self._clusters.pop(key, None)
        if not self._clusters:
            self._kubeconfig.unlink(missing_ok=True)

    async def start_machine(self, resource_id: str, name: str) -> None:
        """Make a virtual machine."""
        await self._machines.start(resource_id, name)

    async def run_command(self, resource_id: str, script: str) -> CommandResult:
        """Run a shell script on a machine."""
        return await self._machines.run_command(resource_id, script)

    async def stop_machine(self, resource_id: str) -> None:
        """Remove a machine."""
        await self._machines.remove(resource_id)

    async def start_server(self, name: str, administrator: str, password: str, version: str) -> None:
        """Start a Flexible Server."""
        await self._servers.start(name, administrator, password, version)

    async def set_server_password(self, name: str, password: str) -> None:
        """Change the administrator's password. By a switch it takes effect later, or fails after it took effect."""
        if self._is_on("server-password-late"):
            task = asyncio.create_task(self._set_late(name, password), name=f"late password of {name}")
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return
        await self._servers.set_password(name, password)
        if self._is_on("server-password-fails"):
            raise RuntimeError("the switch server-password-fails is on")

    async def _set_late(self, name: str, password: str) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await self._servers.set_password(name, password)

    async def stop_server(self, name: str) -> None:
        """End a server and drop its data."""
        await self._servers.remove(name)


class _Registered:
    """A cluster that leaves the list when it is stopped."""

    def __init__(self, cluster: RunningCluster, forget: Callable[[], None]) -> None:
        self._cluster, self._forget = cluster, forget

    def kubeconfig(self, role: str) -> str:
        return self._cluster.kubeconfig(role)

    def openid_configuration(self) -> dict[str, Any]:
        return self._cluster.openid_configuration()

    def jwks(self) -> dict[str, Any]:
        return self._cluster.jwks()

    async def update(self, spec: ClusterSpec) -> None:
        await self._cluster.update(spec)

    async def stop(self) -> None:
        self._forget()
        await self._cluster.stop()
