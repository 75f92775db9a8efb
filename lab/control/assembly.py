"""All parts of one lab, put together: the local Azure, what it makes real, the Prefect server and the control API."""

import asyncio
from pathlib import Path

from lab.azure.backends import ClusterSpec, Origin, Proxies, RunningCluster
from lab.azure.cloud import AzureCloud, utc_now
from lab.cluster.cluster import Cluster, ClusterPlace
from lab.commands import tools
from lab.control import network
from lab.control.api import ControlServer
from lab.control.backends import LabBackends
from lab.control.certificates import Authority
from lab.control.environment import SERVER_DOMAIN, operator_variables, proxy_variables
from lab.control.faults import Faults
from lab.control.options import LabOptions
from lab.control.prefect_server import PrefectServer
from lab.control.runtime import Runtime
from lab.control.state import StateFolder
from lab.databases.servers import Servers
from lab.databases.tls_front import TlsFront
from lab.sandbox.machines import MachinePlace, Machines

HOSTS_HEAD = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"


class Lab:
    """One lab, from its certificate authority to its processes.

    Args:
        options: its options, the network reserved.
        folder: its state folder.
        cache: folder for what is unpacked or made once: tools, PostgreSQL's template.
    """

    def __init__(self, options: LabOptions, folder: StateFolder, cache: Path) -> None:
        self._options, self._folder = options, folder
        self.tools_dir = cache / "bin"
        self._runtime = Runtime(cache)
        self.faults = Faults()
        self.authority = Authority.create(folder.path)
        self._front_address = f"{options.network}.{network.FRONT}"
        self._front = TlsFront(
            (self._front_address, *(options.listen or ())[:1]),
            network.POSTGRES_PORT,
            self.authority.server_context,
            lambda: self.faults.is_on("database-down"),
        )
        self._servers = Servers(options, self._front, self._runtime.postgres, self._write_hosts)
        self._machines = Machines(
            MachinePlace(
                options=options,
                runtime=self._runtime,
                proxies=self._get_proxies,
                ca_bundle=self.authority.bundle_path,
                tools_dir=self.tools_dir,
                hosts=self._server_hosts,
            )
        )
        self._backends = LabBackends(
            self._start_cluster, self._machines, self._servers, folder.kubeconfig, self.faults.is_on
        )
        self._cloud = AzureCloud(options, self._backends, self.authority, self.faults, self.faults.now, steady=utc_now)
        self._control: ControlServer | None = None
        self._operator_proxy = ""
        home = options.prefect_home
        self._prefect = PrefectServer(options, home, cache) if home else None

    async def start(self) -> None:
        """Start what an empty subscription has; the slowest first, so that the others start beside it."""
        if self._prefect:
            await self._prefect.start()
        self._write_hosts()
        unpacking = asyncio.create_task(asyncio.to_thread(tools.ensure_tools, self.tools_dir))
        await self._cloud.start()
        self._operator_proxy = await self._cloud.gateway.open(Origin("operator"))
        await self._front.start()
        await unpacking
        if self._prefect:
            await self._prefect.wait_until_ready()

    async def stop(self) -> None:
        """End everything, the newest first."""
        if self._control is not None:
            await self._control.stop()
        if self._prefect:
            await self._prefect.stop()
        await self._backends.stop()
        await self._runtime.stop()
        await self._front.stop()
        await self._cloud.stop()

    async def open_control(self, token: str) -> ControlServer:
        """Open the control API."""
        first, last = self._options.ports
        ports = range(first, last + 1)
        self._control = ControlServer(self._get_status, self.faults, token, ports, self._cloud.add_application)
        await self._control.start()
        return self._control

    def environment(self) -> dict[str, str]:
        """The operator's variables."""
        return {
            **proxy_variables(self._operator_proxy, self.authority.bundle_path),
            **operator_variables(self._cloud.operator_secret, self._folder.kubeconfig, self._front_address),
            **({"PREFECT_API_URL": self._prefect.api_url} if self._prefect else {}),
        }

    def _get_status(self) -> dict[str, object]:
        return {**self._backends.status(), "requests": self._cloud.requests.counts()}

    def _get_proxies(self) -> Proxies:
        return self._cloud.gateway

    def _write_hosts(self) -> None:
        """Write the hosts file in place: it is mounted over /etc/hosts of what runs already."""
        lines = [f"{address} {name}\n" for name, address in self._server_hosts().items()]
        self._folder.hosts_file.write_text(HOSTS_HEAD + "".join(lines))

    def _server_hosts(self) -> dict[str, str]:
        return {f"{name}.{SERVER_DOMAIN}": self._front_address for name in self._servers.names()}

    async def _start_cluster(self, spec: ClusterSpec) -> RunningCluster:
        place = ClusterPlace(
            options=self._options,
            authority=self.authority,
            proxies=self._cloud.gateway,
            faults=self.faults,
            runtime=self._runtime,
            routes=self._cloud.gateway.routes,
            tenant=self._cloud.cluster_access,
        )
        cluster = Cluster(spec, place)
        await cluster.start()
        return cluster
