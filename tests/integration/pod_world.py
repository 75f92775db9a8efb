"""A cluster in the test's own loop: API server, controllers, node, CSI driver and a local Azure, each as needed."""

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from infra.lab.azure.cloud import AzureCloud
from infra.lab.azure.directory import Principal
from infra.lab.azure.roles import find_role_by_name
from infra.lab.backends import Backends, Origin
from infra.lab.certificates import Authority
from infra.lab.cluster import client as api
from infra.lab.cluster.api import ApiServer
from infra.lab.cluster.client import Client, Object, Resource
from infra.lab.cluster.controllers import Controllers
from infra.lab.cluster.csi import SecretsStore
from infra.lab.cluster.node import Node
from infra.lab.cluster.webhook import workload_identity
from infra.lab.faults import Faults
from infra.lab.network import reserve
from infra.lab.options import TENANT_ID, DriverGeneration, LabOptions
from infra.lab.runtime import Runtime
from infra.lab.sandbox import Sandboxes

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


@dataclass
class PodWorld:
    """What a test needs of the cluster."""

    client: Client
    server: ApiServer
    faults: Faults
    network: str
    state_dir: Path
    runtime: Runtime
    node: Node | None = None
    store: SecretsStore | None = None
    cloud: AzureCloud | None = None
    identity: Principal | None = None
    names: dict[str, int] = field(default_factory=dict)

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

    async def event(self, name: str, reason: str) -> Object:
        """Wait for an event about an object."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            query = {"fieldSelector": f"involvedObject.name={name},reason={reason}"}
            listing = await self.client.list(api.EVENTS, NAMESPACE, **query)
            for found in listing["items"]:
                return cast(Object, found)
            async for change in self.client.watch(
                api.EVENTS, NAMESPACE, listing["metadata"]["resourceVersion"], **query
            ):
                if change["type"] != "BOOKMARK":
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
    rotation: bool = True,
    sandboxes: Sandboxes | None = None,
) -> AsyncIterator[PodWorld]:
    """Start what `parts` names ("controllers", "node", "csi"); everything ends with the block."""
    async with AsyncExitStack() as stack:
        reservation = stack.enter_context(reserve())
        network, faults = reservation.prefix, Faults()
        authority = Authority.create(tmp_path / "ca")
        tls = authority.server_context("127.0.0.1")
        server = ApiServer(
            "127.0.0.1", 0, tls, authority.pem, ISSUER, KUBELET_TOKEN, faults, cluster_ips=f"{network}.100"
        )
        server.mutators.append(workload_identity(TENANT_ID))
        await server.start()
        stack.push_async_callback(server.stop)
        trust = ssl.create_default_context(cadata=authority.pem)
        client = await stack.enter_async_context(
            Client(server.url, trust, server.token("masterclient", ["system:masters"]))
        )
        runtime = Runtime(cache)
        stack.push_async_callback(runtime.stop)
        world = PodWorld(client, server, faults, network, tmp_path / "state", runtime)
        options = LabOptions(tmp_path / "state", network, driver=generation, poll_interval_seconds=poll_seconds)
        if "controllers" in parts:
            controllers = Controllers(client, network, authority.pem)
            await controllers.start()
            stack.push_async_callback(controllers.stop)
        proxies: Any = NoProxies()
        if "csi" in parts:
            proxies = await _start_azure(stack, world, options, authority)
            world.store = SecretsStore(
                client,
                generation,
                poll_seconds or 120.0,
                rotation,
                await proxies.open(Origin("operator")),
                authority.bundle_path,
                faults,
            )
            await world.store.start()
            stack.push_async_callback(world.store.stop)
        if "node" in parts:
            drivers = (world.store,) if world.store else ()
            world.node = Node(
                client,
                options,
                proxies,
                faults,
                world.state_dir,
                network,
                KUBELET_TOKEN,
                authority.bundle_path,
                runtime,
                drivers,
            )
            await world.node.start()
            stack.push_async_callback(world.node.stop)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await client.create(api.NAMESPACES, body)
        if "controllers" in parts:
            await world.until(api.CONFIG_MAPS, "kube-root-ca.crt", bool)
            await world.until(api.SERVICE_ACCOUNTS, "default", bool)
        yield world


async def _start_azure(stack: AsyncExitStack, world: PodWorld, options: LabOptions, authority: Authority) -> Any:
    """A vault with the walkthrough's credential, and the identity that may read it."""
    cloud = AzureCloud(options, cast(Backends, None), authority, world.faults)
    await cloud.start()
    stack.push_async_callback(cloud.stop)
    cloud.set_issuer(ISSUER, world.server.openid_configuration, world.server.jwks)
    world.cloud = cloud
    vault = cloud.vaults.create(VAULT_ID, VAULT, "eastus2", retention_days=7)
    vault.set_secret("username", "dexter")
    vault.set_secret("password", FIRST_PASSWORD)
    identity = world.identity = cloud.directory.add_user_identity(IDENTITY_ID)
    subject = f"system:serviceaccount:{NAMESPACE}:dexter-sa"
    cloud.directory.add_federated_credential(
        identity.object_id, "aks", ISSUER, subject, ("api://AzureADTokenExchange",)
    )
    role = find_role_by_name("Key Vault Secrets User")
    assert role is not None
    cloud.access.assign(VAULT_ID, role.guid, identity.object_id, str(uuid.uuid4()))
    return cloud.gateway
