"""A cluster in the test's own loop: API server, controllers, node, CSI driver and a local Azure, each as needed."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import real_cluster
import yaml
from arm_world import make_signing_key

from lab.azure.backends import Backends, Origin, Proxies
from lab.azure.cloud import AzureCloud
from lab.azure.directory import Principal
from lab.azure.roles import find_role_by_name
from lab.cluster import client as api
from lab.cluster.api import ApiServer
from lab.cluster.client import Client, Object, Resource
from lab.cluster.controllers import Controllers
from lab.cluster.csi import SecretsStore
from lab.cluster.node import Node
from lab.cluster.webhook import workload_identity
from lab.control.certificates import Authority
from lab.control.faults import Faults
from lab.control.network import reserve
from lab.control.options import TENANT_ID, DriverGeneration, LabOptions
from lab.control.runtime import Runtime

ISSUER = f"https://eastus2.oic.prod-aks.azure.com/{TENANT_ID}/6a4d4a5e-0000-4000-8000-0123456789ab/"
KUBELET_TOKEN = "kubelet-token-of-a-test"
GROUP = "/subscriptions/0b1f6471-0000-4000-8000-112233445566/resourceGroups/integrateakskv-rg"
IDENTITY_ID = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-aks-uai"
VAULT = "dexterkeyvault"
VAULT_ID = f"{GROUP}/providers/Microsoft.KeyVault/vaults/{VAULT}"
NAMESPACE = "dexter"
FIRST_PASSWORD = "Admin123"
PATIENCE_SECONDS = 20.0


class NoProxies:
    """Proxies that lead nowhere, for pods that ask nothing of Azure."""

    async def open(self, origin: Origin) -> str:
        return "http://127.0.0.1:9"

    async def close(self, url: str) -> None:
        """Nothing was opened."""


@dataclass(frozen=True)
class Server:
    """An API server, the small one or a real one.

    Args:
        client: an administrator's client.
        kubeconfig: an administrator's kubeconfig.
        ca_pem: what it is trusted by.
        issuer: issues its service account tokens.
        jwks: their keys.
        real: whether it is a real one, with a real controller manager.
    """

    client: Client
    kubeconfig: str
    ca_pem: str
    issuer: str
    jwks: dict[str, Any]
    real: bool = False


@dataclass
class PodWorld:
    """What a test needs of the cluster."""

    server: Server
    faults: Faults
    network: str
    state_dir: Path
    runtime: Runtime
    node: Node | None = None
    store: SecretsStore | None = None
    cloud: AzureCloud | None = None
    identity: Principal | None = None

    @property
    def client(self) -> Client:
        return self.server.client

    async def get(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> Object:
        return await self.client.get(resource, namespace if resource.namespaced else "", name)

    async def create(self, resource: Resource, kind: str, name: str, **fields: Any) -> Object:
        meta = {"name": name, "namespace": NAMESPACE} | fields.pop("metadata", {})
        return await self.client.create(
            resource, {"apiVersion": resource.group_version, "kind": kind, "metadata": meta, **fields}
        )

    async def until(
        self, resource: Resource, name: str, holds: Callable[[Object], Any], namespace: str = NAMESPACE
    ) -> Object:
        """Wait by a watch until an object is as it shall be, and return it."""
        seen: Object | None = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                query = {"fieldSelector": f"metadata.name={name}"}
                listing = await self.client.list(resource, namespace, **query)
                for seen in listing["items"]:
                    if holds(seen):
                        return seen
                async for event in self.client.watch(
                    resource, namespace, listing["metadata"]["resourceVersion"], **query
                ):
                    if event["type"] != "BOOKMARK":
                        seen = event["object"]
                        if event["type"] != "DELETED" and holds(seen):
                            return seen
        except TimeoutError:
            raise AssertionError(
                f"{resource.plural} {name} is not as expected: {(seen or {}).get('status', seen)}"
            ) from None
        raise AssertionError(f"the watch of {resource.plural} {name} ended")

    async def until_gone(self, resource: Resource, name: str) -> None:
        """Wait by a watch until an object is gone."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            query = {"fieldSelector": f"metadata.name={name}"}
            listing = await self.client.list(resource, NAMESPACE, **query)
            if not listing["items"]:
                return
            async for event in self.client.watch(resource, NAMESPACE, listing["metadata"]["resourceVersion"], **query):
                if event["type"] == "DELETED":
                    return

    async def event(self, name: str, reason: str, text: str = "") -> Object:
        """Wait for an event about an object whose message has `text`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            query = {"fieldSelector": f"involvedObject.name={name},reason={reason}"}
            listing = await self.client.list(api.EVENTS, NAMESPACE, **query)
            version = listing["metadata"]["resourceVersion"]
            for found in listing["items"]:
                if text in found["message"]:
                    return cast(Object, found)
            async for change in self.client.watch(api.EVENTS, NAMESPACE, version, **query):
                if change["type"] != "BOOKMARK" and text in change["object"]["message"]:
                    return cast(Object, change["object"])
        raise AssertionError

    async def pod(self, name: str, spec: Object, **metadata: Any) -> Object:
        """Create a pod."""
        return await self.create(
            api.PODS, "Pod", name, metadata={"name": name, "namespace": NAMESPACE, **metadata}, spec=spec
        )

    async def exec(self, pod: str, *command: str) -> str:
        """Run a command in a pod's sandbox; only its output counts."""
        assert self.node is not None
        worker = self.node._find(NAMESPACE, pod)
        assert worker is not None
        container = worker.find("")
        assert container is not None
        process = await container.enter(list(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output = await process.communicate()
        await process.wait()
        return output.decode()


@asynccontextmanager
async def pod_world(
    tmp_path: Path,
    cache: Path,
    *,
    parts: str = "controllers node",
    poll_seconds: float | None = None,
    generation: DriverGeneration = DriverGeneration.RECONCILER,
    real: bool = False,
) -> AsyncIterator[PodWorld]:
    """Start what `parts` names ("controllers", "node", "csi"); everything ends with the block.

    `real` takes a real API server and controller manager in the place of the small ones.
    """
    async with AsyncExitStack() as stack:
        network, faults = stack.enter_context(reserve()).prefix, Faults()
        authority = Authority.create(tmp_path / "ca")
        server = await (_start_real if real else _start_small)(stack, tmp_path, authority, faults, network)
        runtime = Runtime(cache)
        stack.push_async_callback(runtime.stop)
        world = PodWorld(server, faults, network, tmp_path / "state", runtime)
        if "controllers" in parts:
            down = partial(faults.is_on, "database-down")
            controllers = Controllers(server.client, network, server.ca_pem, down, beside_manager=real)
            await _enter(stack, controllers)
        options = LabOptions(tmp_path / "state", network, driver=generation, poll_interval_seconds=poll_seconds)
        await _start_node(stack, world, options, authority, parts)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await server.client.create(api.NAMESPACES, body)
        if "controllers" in parts:
            await world.until(api.CONFIG_MAPS, "kube-root-ca.crt", bool)
            await world.until(api.SERVICE_ACCOUNTS, "default", bool)
        yield world


async def _enter(stack: AsyncExitStack, part: Any) -> None:
    stack.push_async_callback(part.stop)
    await part.start()


async def _start_small(
    stack: AsyncExitStack, tmp_path: Path, authority: Authority, faults: Faults, network: str
) -> Server:
    tls = authority.server_context("127.0.0.1")
    server = ApiServer("127.0.0.1", 0, tls, authority.pem, ISSUER, KUBELET_TOKEN, faults, cluster_ips=f"{network}.100")
    server.mutators.append(workload_identity(TENANT_ID))
    await _enter(stack, server)
    trust = ssl.create_default_context(cadata=authority.pem)
    client = Client(server.url, trust, server.token("masterclient", ["system:masters"]))
    await stack.enter_async_context(client)
    return Server(client, server.kubeconfig("admin"), authority.pem, ISSUER, server.jwks())


async def _start_real(stack: AsyncExitStack, tmp_path: Path, *_: Any) -> Server:
    folder = tmp_path / "real"
    folder.mkdir()
    running = real_cluster.real_cluster(folder)
    config = await asyncio.to_thread(running.__enter__)
    stack.callback(running.__exit__, None, None, None)
    trust = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    client = Client(config["clusters"][0]["cluster"]["server"], trust, config["users"][0]["user"]["token"])
    await stack.enter_async_context(client)
    jwks = await client.request("GET", "/openid/v1/jwks")
    return Server(client, yaml.safe_dump(config), (folder / "ca.pem").read_text(), real_cluster.ISSUER, jwks, True)


async def _start_node(
    stack: AsyncExitStack, world: PodWorld, options: LabOptions, authority: Authority, parts: str
) -> None:
    bundle, proxies = authority.bundle_path, cast(Proxies, NoProxies())
    if "csi" in parts:
        proxies = await _start_azure(stack, world, options, authority)
        proxy, interval = await proxies.open(Origin("operator")), options.poll_interval_seconds or 120.0
        world.store = SecretsStore(world.client, options.driver, interval, True, proxy, bundle, world.faults)
        await _enter(stack, world.store)
    if "node" in parts:
        drivers, real = (world.store,) if world.store else (), world.server.real
        world.node = Node(
            world.client,
            options,
            proxies,
            world.faults,
            world.state_dir,
            world.network,
            "" if real else KUBELET_TOKEN,
            bundle,
            world.runtime,
            drivers,
            tls=authority.server_context("127.0.0.1") if real else None,
        )
        await _enter(stack, world.node)


async def _start_azure(stack: AsyncExitStack, world: PodWorld, options: LabOptions, authority: Authority) -> Proxies:
    """A vault with the walkthrough's credential, and the identity that may read it."""
    cloud = AzureCloud(options, cast(Backends, None), authority, world.faults, signing_key=make_signing_key())
    await _enter(stack, cloud)
    issuer, jwks = world.server.issuer, world.server.jwks
    cloud.set_issuer(issuer, lambda: {"issuer": issuer, "jwks_uri": f"{issuer}openid/v1/jwks"}, lambda: jwks)
    world.cloud = cloud
    vault = cloud.vaults.create(VAULT_ID, VAULT, "eastus2", retention_days=7)
    vault.set_secret("username", "dexter")
    vault.set_secret("password", FIRST_PASSWORD)
    identity = world.identity = cloud.directory.add_user_identity(IDENTITY_ID)
    subject = f"system:serviceaccount:{NAMESPACE}:dexter-sa"
    audiences = ("api://AzureADTokenExchange",)
    cloud.directory.add_federated_credential(identity.object_id, "aks", issuer, subject, audiences)
    role = find_role_by_name("Key Vault Secrets User")
    assert role is not None
    cloud.access.assign(VAULT_ID, role.guid, identity.object_id, str(uuid.uuid4()))
    return cloud.gateway
