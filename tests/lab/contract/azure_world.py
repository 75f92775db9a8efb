"""A local Azure in a thread, its clock in the test's hand, and default-constructed SDK clients that reach it."""

import asyncio
import json
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import jwt
import pytest
import requests
from arm_world import make_signing_key
from azure.core.credentials import TokenCredential
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.storage.blob import BlobServiceClient
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from lab_coverage import Recorder

from lab.azure.backends import Backends, Origin
from lab.azure.cloud import AzureCloud
from lab.azure.directory import Principal
from lab.azure.roles import find_role_by_name
from lab.control.certificates import Authority
from lab.control.faults import Faults
from lab.control.options import OPERATOR_CLIENT_ID, SUBSCRIPTION_ID, TENANT_ID, LabOptions

GROUP = f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/integrateakskv-rg"
VAULT, ACCOUNT, CONTAINER = "dexterkeyvault", "integrateakskvtachotacho", "dexter"
VAULT_ID = f"{GROUP}/providers/Microsoft.KeyVault/vaults/{VAULT}"
ACCOUNT_ID = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
MACHINE_ID = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/AzureVM-Server"
IDENTITY_ID = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-aks-uai"
ISSUER = f"https://eastus2.oic.prod-aks.azure.com/{TENANT_ID}/6a4d4a5e-0000-4000-8000-0123456789ab/"
SUBJECT = "system:serviceaccount:dexter:dexter-sa"
AUDIENCE = "api://AzureADTokenExchange"
VAULT_SCOPE = "https://vault.azure.net/.default"
T = TypeVar("T")


class Clock:
    """The real time, and as much later as a test says."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += timedelta(seconds=seconds)


class ClusterIssuer:
    """Signs service account tokens, as a cluster does."""

    def __init__(self, key: rsa.RSAPrivateKey | None = None) -> None:
        self.key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def openid_configuration(self) -> dict[str, Any]:
        return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}openid/v1/jwks"}

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**json.loads(RSAAlgorithm.to_jwk(self.key.public_key())), "kid": "one", "use": "sig"}]}

    def token(self, now: datetime, *, kid: str = "one", lifetime: float = 3600, **claims: Any) -> str:
        issued = now.timestamp()
        body = {"iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "nbf": issued, "exp": issued + lifetime, **claims}
        return jwt.encode(body, self.key, algorithm="RS256", headers={"kid": kid})


@dataclass
class AzureWorld:
    """What a test needs of the local Azure."""

    cloud: AzureCloud
    faults: Faults
    clock: Clock
    loop: asyncio.AbstractEventLoop
    proxy: str
    monkeypatch: pytest.MonkeyPatch
    issuer: ClusterIssuer
    closing: ExitStack = field(default_factory=ExitStack)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def speak_as_operator(self, secret: str = "") -> None:
        """Let clients made from now on find the operator in the environment."""
        self.use_proxy(self.proxy)
        self.monkeypatch.setenv("AZURE_CLIENT_SECRET", secret or self.cloud.operator_secret)
        self.monkeypatch.setenv("AZURE_CLIENT_ID", OPERATOR_CLIENT_ID)
        self.monkeypatch.setenv("AZURE_TENANT_ID", TENANT_ID)

    def speak_as_machine(self) -> Principal:
        """Let clients made from now on run on a virtual machine with an identity of its own."""
        self._forget_operator()
        self.use_proxy(self.open(Origin("vm", MACHINE_ID)))
        return self.cloud.directory.add_system_identity(MACHINE_ID)

    def use_proxy(self, url: str) -> None:
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
            self.monkeypatch.setenv(name, url)

    def _forget_operator(self) -> None:
        for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
            self.monkeypatch.delenv(name, raising=False)

    def open(self, origin: Origin) -> str:
        return self.run(self.cloud.gateway.open(origin))

    def assign(self, principal: Principal, role: str, scope: str) -> None:
        found = find_role_by_name(role)
        assert found, role
        self.cloud.access.assign(scope, found.guid, principal.object_id, str(uuid.uuid4()))

    def let_operator(self, role: str, scope: str) -> None:
        self.assign(self.cloud.directory.operator, role, scope)

    def keep(self, client: Any) -> Any:
        """Close a client when the test is over."""
        self.closing.callback(client.close)
        return client

    def credential(self, **options: Any) -> DefaultAzureCredential:
        return cast(DefaultAzureCredential, self.keep(DefaultAzureCredential(**options)))

    def machine_credential(self, **options: Any) -> ManagedIdentityCredential:
        return cast(ManagedIdentityCredential, self.keep(ManagedIdentityCredential(**options)))

    def pod_credential(self, token: str, client_id: str, folder: Path) -> WorkloadIdentityCredential:
        path = folder / f"token-{uuid.uuid4()}"
        path.write_text(token)
        made = WorkloadIdentityCredential(tenant_id=TENANT_ID, client_id=client_id, token_file_path=str(path))
        return cast(WorkloadIdentityCredential, self.keep(made))

    def secrets(self, credential: TokenCredential | None = None, vault: str = VAULT, **options: Any) -> SecretClient:
        url = f"https://{vault}.vault.azure.net"
        return cast(SecretClient, self.keep(SecretClient(url, credential or self.credential(), **options)))

    def blobs(self, credential: TokenCredential | None = None, **options: Any) -> BlobServiceClient:
        url = f"https://{ACCOUNT}.blob.core.windows.net"
        return cast(BlobServiceClient, self.keep(BlobServiceClient(url, credential or self.credential(), **options)))

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """A request without an SDK, through the proxy of the environment."""
        with requests.Session() as session:
            return session.request(method, url, timeout=20, **options)

    def token(self, scope: str = VAULT_SCOPE) -> str:
        return self.credential().get_token(scope).token


@pytest.fixture
def make_azure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> Iterator[Callable[..., AzureWorld]]:
    """Starts a local Azure with a vault and an account; the keywords are those of LabOptions."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local Azure")
    thread.start()
    worlds: list[AzureWorld] = []

    def make(**options: Any) -> AzureWorld:
        world = _start(LabOptions(tmp_path, **{"operation_seconds": 0.0, **options}), loop, monkeypatch)
        recorder.watch(world.cloud)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.closing.close()
        world.run(world.cloud.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@cache
def _make_cluster_key() -> rsa.RSAPrivateKey:
    """Make the key of every world's cluster."""
    return ClusterIssuer().key


def _start(options: LabOptions, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> AzureWorld:
    authority, faults, clock = Authority.create(options.state_dir), Faults(), Clock()
    issuer = ClusterIssuer(_make_cluster_key())

    async def start() -> tuple[AzureCloud, str]:
        cloud = AzureCloud(options, cast(Backends, None), authority, faults, clock, make_signing_key())
        await cloud.start()
        return cloud, await cloud.gateway.open(Origin("operator"))

    cloud, proxy = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    cloud.vaults.create(VAULT_ID, VAULT, "eastus2", retention_days=7)
    cloud.storage.create(ACCOUNT_ID, ACCOUNT, "eastus2")
    cloud.set_issuer(ISSUER, issuer.openid_configuration, issuer.jwks)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.pem_path))
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    world = AzureWorld(cloud, faults, clock, loop, proxy, monkeypatch, issuer)
    world.speak_as_operator()
    return world


@pytest.fixture
def azure(make_azure: Callable[..., AzureWorld]) -> AzureWorld:
    """A local Azure with an empty vault and an empty account, and the operator in the environment."""
    return make_azure()
