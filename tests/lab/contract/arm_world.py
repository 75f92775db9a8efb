"""The local Azure, with fakes for what it makes real, and default-constructed SDK clients that find it."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.credentials import AccessToken
from cryptography.hazmat.primitives.asymmetric import rsa
from lab_coverage import Recorder

from lab.azure.backends import ClusterSpec, CommandResult, Origin
from lab.azure.cloud import AzureCloud
from lab.azure.directory import Principal
from lab.azure.tokens import Tokens
from lab.control.certificates import Authority
from lab.control.faults import Faults
from lab.control.options import OPERATOR_CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID, LabOptions

SCOPE = f"/subscriptions/{SUBSCRIPTION_ID}"
GROUP = "integrateakskv-rg"
LOCATION = "eastus2"
OPERATION_SECONDS = 0.02


@cache
def make_signing_key() -> rsa.RSAPrivateKey:
    """Make the key that signs the tokens of every local Azure of a run: it takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


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
    """The local Azure in a thread of its own, as the SDK clients block. What it makes real are fakes.

    Args:
        state_dir: for certificates.
        is_fresh: whether no resource provider is registered yet.
    """

    url = "https://management.azure.com"

    def __init__(self, state_dir: Path, *, is_fresh: bool = False) -> None:
        self.authority = Authority.create(state_dir)
        self.options = LabOptions(state_dir, operation_seconds=OPERATION_SECONDS, is_fresh=is_fresh)
        self._clients: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.proxy = self.run(self._start())
        self.arm, self.directory, self.access = self.cloud.arm, self.cloud.directory, self.cloud.access
        self.vaults, self.storage, self.tokens = self.cloud.vaults, self.cloud.storage, self.cloud.tokens

    @property
    def env(self) -> dict[str, str]:
        """The variables by which clients find the lab."""
        return {
            "HTTPS_PROXY": self.proxy,
            "https_proxy": self.proxy,
            "NO_PROXY": "",
            "no_proxy": "",
            "REQUESTS_CA_BUNDLE": str(self.authority.pem_path),
            "AZURE_TENANT_ID": TENANT_ID,
            "AZURE_CLIENT_ID": OPERATOR_CLIENT_ID,
            "AZURE_CLIENT_SECRET": self.cloud.operator_secret,
        }

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the lab's thread and return its result."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(timeout=30)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in the lab's thread."""

        async def work() -> Any:
            return function()

        return self.run(work())

    def client(self, kind: type[Any], principal: Principal | None = None) -> Any:
        """A default-constructed SDK client for the operator, or for somebody else."""
        made = kind(Credential(self.tokens, principal or self.directory.operator), SUBSCRIPTION_ID)
        self._clients.append(made)
        return made

    def ask(self, method: str, url: str, body: Any = None, principal: Principal | None = None) -> requests.Response:
        """Send one request as it is: no SDK that checks or adds anything. A path is one of management.azure.com."""
        url = url if url.startswith("https://") else f"{self.url}{url}"
        host = url.split("/")[2]
        audience = "https://vault.azure.net" if host.endswith(".vault.azure.net") else f"https://{host}"
        token = self.tokens.issue(principal or self.directory.operator, audience)
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                url,
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                proxies={"https": self.proxy},
                verify=str(self.authority.pem_path),
                timeout=30,
            )

    def refusal(self, method: str, url: str, body: Any = None, principal: Principal | None = None) -> tuple[int, str]:
        """Status and code of a request; the code is empty when nothing was refused."""
        answer = self.ask(method, url, body, principal)
        error = answer.json().get("error", {}) if answer.content else {}
        return answer.status_code, str(error.get("code", ""))

    def pause(self) -> None:
        """Let the backends' work wait until `resume`."""
        self.call(self.backends.open.clear)

    def resume(self) -> None:
        """Let it go on."""
        self.call(self.backends.open.set)

    async def _start(self) -> str:
        self.backends = FakeBackends()
        self.cloud = AzureCloud(self.options, self.backends, self.authority, Faults(), signing_key=make_signing_key())
        await self.cloud.start()
        return await self.cloud.gateway.open(Origin("operator"))

    def close(self) -> None:
        """End the thread and everything in it."""
        for client in self._clients:
            client.close()
        self.resume()
        self.run(self.cloud.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> Iterator[World]:
    """An empty subscription, found by the environment."""
    made = World(tmp_path)
    recorder.watch(made.cloud)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, recorder: Recorder) -> Iterator[World]:
    """One subscription for all tests of a module, with the walkthrough's group; they ask it by `ask`."""
    made = World(tmp_path_factory.mktemp("shared"))
    recorder.watch(made.cloud)
    made.ask("PUT", f"{SCOPE}/resourceGroups/{GROUP}?api-version=2024-11-01", {"location": LOCATION})
    yield made
    made.close()


@pytest.fixture
def fresh(tmp_path: Path, recorder: Recorder) -> Iterator[World]:
    """A new subscription, in which no resource provider is registered, with the walkthrough's group."""
    made = World(tmp_path, is_fresh=True)
    recorder.watch(made.cloud)
    made.ask("PUT", f"{SCOPE}/resourceGroups/{GROUP}?api-version=2024-11-01", {"location": LOCATION})
    yield made
    made.close()


@pytest.fixture
def group(world: World) -> str:
    """The walkthrough's resource group."""
    from azure.mgmt.resource.resources import ResourceManagementClient

    with world.client(ResourceManagementClient) as client:
        client.resource_groups.create_or_update(GROUP, {"location": LOCATION})
    return GROUP
