"""A local ARM on loopback, with fakes for what it makes real, and SDK clients that find it."""

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken

from infra.lab.azure.access import Access
from infra.lab.azure.arm import Arm
from infra.lab.azure.blobs.store import StorageStore
from infra.lab.azure.directory import Directory, Principal
from infra.lab.azure.key_vault.store import VaultStore
from infra.lab.azure.tokens import Tokens
from infra.lab.backends import ClusterSpec, CommandResult
from infra.lab.certificates import Authority
from infra.lab.options import OPERATOR_CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID, LabOptions

SCOPE = f"/subscriptions/{SUBSCRIPTION_ID}"
GROUP = "integrateakskv-rg"
LOCATION = "eastus2"
OPERATION_SECONDS = 0.05


class FakeCluster:
    """A cluster that remembers what it was told."""

    def __init__(self, spec: ClusterSpec) -> None:
        self.specs, self.stopped = [spec], False

    def kubeconfig(self, role: str) -> str:
        return f"kind: Config\nrole: {role}\n"

    def openid_configuration(self) -> dict[str, Any]:
        return {"issuer": self.specs[-1].issuer_url}

    def jwks(self) -> dict[str, Any]:
        return {"keys": []}

    async def update(self, spec: ClusterSpec) -> None:
        self.specs.append(spec)

    async def stop(self) -> None:
        self.stopped = True


class FakeBackends:
    """Backends that note what they are asked for, wait while `open` is not set, and fail when told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.clusters: dict[str, FakeCluster] = {}
        self.machines: dict[str, str] = {}
        self.servers: dict[str, tuple[str, str, str]] = {}
        self.scripts: list[str] = []
        self.result = CommandResult("", "", 0)

    async def _work(self) -> None:
        await self.open.wait()
        if self.failure:
            raise self.failure

    async def start_cluster(self, spec: ClusterSpec) -> FakeCluster:
        await self._work()
        self.clusters[spec.name] = FakeCluster(spec)
        return self.clusters[spec.name]

    async def start_machine(self, resource_id: str, name: str) -> None:
        await self._work()
        self.machines[resource_id.lower()] = name

    async def run_command(self, resource_id: str, script: str) -> CommandResult:
        await self._work()
        self.scripts.append(script)
        return self.result

    async def stop_machine(self, resource_id: str) -> None:
        del self.machines[resource_id.lower()]

    async def start_server(self, name: str, administrator: str, password: str, version: str) -> None:
        await self._work()
        self.servers[name] = (administrator, password, version)

    async def set_server_password(self, name: str, password: str) -> None:
        await self._work()
        administrator, _, version = self.servers[name]
        self.servers[name] = (administrator, password, version)

    async def stop_server(self, name: str) -> None:
        del self.servers[name]


class Credential:
    """A credential as the SDKs want it: tokens of the lab's own."""

    def __init__(self, tokens: Tokens, principal: Principal) -> None:
        self._tokens, self._principal = tokens, principal

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        audience = scopes[0].removesuffix("/.default")
        return AccessToken(self._tokens.issue(self._principal, audience), int(time.time()) + 3600)


class World:
    """ARM in a thread of its own, as the SDK clients block."""

    def __init__(self, state_dir: Path) -> None:
        def now() -> datetime:
            return datetime.now(UTC)

        self.authority = Authority.create(state_dir)
        self.directory = Directory(now, OPERATOR_CLIENT_ID)
        self.access, self.tokens = Access(now), Tokens(TENANT_ID, self.directory, now)
        self.access.make_owner(self.directory.operator.object_id, SCOPE)
        self.vaults, self.storage = VaultStore(now), StorageStore(now)
        self.options = LabOptions(state_dir, operation_seconds=OPERATION_SECONDS)
        self._clients: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self.run(self._start(self.authority.server_context("127.0.0.1")))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in ARM's thread and return its result."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=30)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in ARM's thread."""

        async def work() -> Any:
            return function()

        return self.run(work())

    def client(self, kind: type[Any], principal: Principal | None = None, **options: Any) -> Any:
        """An SDK client for the operator, or for somebody else."""
        credential = Credential(self.tokens, principal or self.directory.operator)
        arguments = {"base_url": self.url, "connection_verify": str(self.authority.pem_path), **options}
        made = kind(credential, SUBSCRIPTION_ID, **arguments)
        self._clients.append(made)
        return made

    def pause(self) -> None:
        """Let the backends' work wait until `resume`."""
        self.call(self.backends.open.clear)

    def resume(self) -> None:
        """Let it go on."""
        self.call(self.backends.open.set)

    async def _start(self, context: ssl.SSLContext) -> str:
        self.backends = FakeBackends()
        self.arm = Arm(self.options, self.directory, self.access, self.tokens, self.backends, self.vaults, self.storage)
        self._runner = web.AppRunner(self.arm.app(), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        return f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self.arm.stop()
        server = self._runner.server
        # A client keeps its connection as long as an error that holds the response is alive.
        for connection in list(server.connections) if server else ():
            if connection.transport:
                connection.transport.abort()
        await self._runner.cleanup()

    def close(self) -> None:
        """End the thread and everything in it."""
        for client in self._clients:
            client.close()
        self.resume()
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty subscription."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def group(world: World) -> str:
    """The walkthrough's resource group."""
    from azure.mgmt.resource.resources import ResourceManagementClient

    with world.client(ResourceManagementClient) as client:
        client.resource_groups.create_or_update(GROUP, {"location": LOCATION})
    return GROUP
