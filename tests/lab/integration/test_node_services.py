"""Services on the lab's network: load balancers, cluster addresses, and what they do without pods."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pod_world import NAMESPACE, PodWorld, pod_world

from lab.cluster import client as api
from lab.cluster.client import Object

ECHO = (
    "import os,socketserver as s;"
    "H=type('H',(s.StreamRequestHandler,),{'handle':lambda h:h.wfile.write(os.environ['NAME'].encode())});"
    "s.TCPServer.allow_reuse_address=True;"
    "s.TCPServer((os.environ['IP'],18181),H).serve_forever()"
)


@pytest.fixture
async def world(tmp_path: Path, postgres_cache: Path) -> AsyncIterator[PodWorld]:
    async with pod_world(tmp_path, postgres_cache) as made:
        yield made


async def make_pod(world: PodWorld, name: str) -> None:
    """A pod that answers with its name on port 18181."""

    def field(name: str, path: str) -> Object:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    container = {
        "name": "main",
        "image": "get-storage",
        "command": ["python3", "-c", ECHO],
        "env": [field("IP", "status.podIP"), field("NAME", "metadata.name")],
        "ports": [{"name": "answers", "containerPort": 18181}],
        "readinessProbe": {"tcpSocket": {"port": "answers"}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    await world.pod(name, spec, labels={"app": "echo"})


async def make_service(world: PodWorld, **fields: Any) -> Object:
    ports = [{"port": 5432, "targetPort": "answers"}]
    spec = {"type": "LoadBalancer", "selector": {"app": "echo"}, "ports": ports} | fields
    return await world.create(api.SERVICES, "Service", "echo", spec=spec)


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def has_address(service: Object) -> bool:
    return bool((service["status"].get("loadBalancer") or {}).get("ingress"))


async def ask(address: str) -> str:
    """What stands behind an address, or how it refuses."""
    try:
        reader, writer = await asyncio.open_connection(address, 5432)
    except OSError as error:
        return type(error).__name__
    try:
        return (await reader.read()).decode()
    except OSError as error:
        return type(error).__name__
    finally:
        writer.transport.abort()


async def until(address: str, *wanted: str) -> None:
    """Ask until all of the wanted answers were given."""
    seen: set[str] = set()
    async with asyncio.timeout(10):
        while not set(wanted) <= seen:
            seen.add(await ask(address))
            await asyncio.sleep(0.01)


async def test_a_load_balancer_leads_to_all_ready_pods_by_both_addresses(world: PodWorld) -> None:
    await make_service(world)
    service = await world.until(api.SERVICES, "echo", has_address)
    address = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    assert address == f"{world.network}.200.1"
    for reason in ("EnsuringLoadBalancer", "EnsuredLoadBalancer"):
        await world.event("echo", reason)
    assert await ask(address) == "ConnectionRefusedError", "nothing is ready yet"
    for name in ("one", "two"):
        await make_pod(world, name)
        await world.until(api.PODS, name, is_ready)
    await until(address, "one", "two")
    await until(service["spec"]["clusterIP"], "one", "two")
    await world.client.delete(api.PODS, NAMESPACE, "one")
    await world.until_gone(api.PODS, "one")
    await until(address, "two")
    await world.client.delete(api.PODS, NAMESPACE, "two")
    await until(address, "ConnectionRefusedError")


async def test_an_address_goes_with_its_service(world: PodWorld) -> None:
    await make_service(world)
    await make_pod(world, "one")
    service = await world.until(api.SERVICES, "echo", has_address)
    address = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    await until(address, "one")
    await world.client.delete(api.SERVICES, NAMESPACE, "echo")
    await until(address, "ConnectionRefusedError")
    assert await ask(service["spec"]["clusterIP"]) == "ConnectionRefusedError"
    assert is_ready(await world.get(api.PODS, "one")), "the pod runs on"


async def test_connections_are_cut_while_the_database_is_down(world: PodWorld) -> None:
    await make_service(world)
    await make_pod(world, "one")
    service = await world.until(api.SERVICES, "echo", has_address)
    address = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    await until(address, "one")
    world.faults.switch("database-down", True)
    assert await ask(address) in ("ConnectionResetError", "")
    world.faults.switch("database-down", False)
    assert await ask(address) == "one"


async def test_another_class_of_load_balancer_is_left_alone(world: PodWorld) -> None:
    await make_service(world, loadBalancerClass="example.com/other")
    await make_pod(world, "one")
    await world.until(api.PODS, "one", is_ready)
    service = await world.get(api.SERVICES, "echo")
    await until(service["spec"]["clusterIP"], "one")
    assert not has_address(service)


async def test_a_port_that_is_taken_is_told_of_and_tried_again(world: PodWorld) -> None:
    with socket.create_server((f"{world.network}.200.1", 5432)):
        await make_service(world)
        await make_pod(world, "one")
        event = await world.event("echo", "SyncLoadBalancerFailed")
        assert event["message"].startswith("Error syncing load balancer: failed to ensure load balancer: EADDRINUSE")
    await until(f"{world.network}.200.1", "one")
