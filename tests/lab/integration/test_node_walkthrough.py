"""The walkthrough's database on a node, from the vault to the login and through a rotation, in both generations."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from pod_world import NAMESPACE, VAULT, PodWorld, pod_world, real_cluster
from walkthrough import CLASS, DEPLOYMENT, SECRET, apply_walkthrough, the_pod

from infra.kubernetes.client import connect
from infra.kubernetes.pods import CommandOutput, run_in_pod
from infra.settings import Settings
from lab.cluster import client as api
from lab.cluster.client import Object
from lab.control.options import DriverGeneration

POLL_SECONDS = 1.0


CASES = [
    pytest.param((DriverGeneration.RECONCILER, False), id="reconciler"),
    pytest.param((DriverGeneration.REPUBLISH, False), id="republish"),
    pytest.param((DriverGeneration.RECONCILER, True), id="reconciler-real", marks=pytest.mark.realcluster),
    pytest.param((DriverGeneration.REPUBLISH, True), id="republish-real", marks=pytest.mark.realcluster),
]


@pytest.fixture(params=CASES)
async def world(request: pytest.FixtureRequest, tmp_path: Path, postgres_cache: Path) -> AsyncIterator[PodWorld]:
    generation, real = request.param
    if real and real_cluster.why_not():
        pytest.skip(real_cluster.why_not())
    options: Any = {"poll_seconds": POLL_SECONDS, "generation": generation, "real": real}
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi", **options) as made:
        yield made


def is_available(deployment: Object) -> bool:
    return deployment.get("status", {}).get("availableReplicas") == 1


async def login(address: str, user: str, password: str) -> str:
    connection = await psycopg.AsyncConnection.connect(
        host=address, user=user, password=password, dbname=user, connect_timeout=5
    )
    async with connection:
        row = await (await connection.execute("select current_user")).fetchone()
    assert row is not None
    return str(row[0])


def run_by_api(world: PodWorld, pod: str, *command: str) -> CommandOutput:
    """Run a command in a pod by the API server, as the product does."""
    with closing(connect(yaml.safe_load(world.server.kubeconfig), Settings())) as cluster:
        return run_in_pod(cluster, NAMESPACE, pod, command)


async def test_a_rotation_reaches_files_secret_and_after_a_restart_the_database(world: PodWorld) -> None:
    assert world.cloud is not None
    await apply_walkthrough(world)
    began = time.perf_counter()
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, is_available)
    print(f"available after {time.perf_counter() - began:.2f} s")
    service = await world.get(api.SERVICES, "dexter-service")
    address = service["status"]["loadBalancer"]["ingress"][0]["ip"]
    assert await login(address, "dexter", "Admin123") == "dexter"
    pod = await the_pod(world)
    assert await world.exec(pod["metadata"]["name"], "cat", "/mederma/username") == "dexter"
    printed = await asyncio.to_thread(run_by_api, world, pod["metadata"]["name"], "cat", "/mederma/username")
    assert (printed.stdout, printed.code) == ("dexter", 0), "the API server's exec gets to the node"

    vault = world.cloud.vaults.find(VAULT)
    assert vault is not None
    versions = [vault.set_secret("username", "therema"), vault.set_secret("password", "Mashroof123")]
    wanted = {"secret/username": versions[0].version, "secret/password": versions[1].version}
    report = f"{pod['metadata']['name']}-{NAMESPACE}-{CLASS}"
    began = time.perf_counter()
    await world.until(
        api.POD_STATUSES, report, lambda r: {o["id"]: o["version"] for o in r["status"]["objects"]} == wanted
    )
    assert await world.exec(pod["metadata"]["name"], "cat", "/mederma/password") == "Mashroof123"
    secret = await world.until(
        api.SECRETS, SECRET, lambda s: s["data"]["PASSWORD"] == base64.b64encode(b"Mashroof123").decode()
    )
    assert secret["metadata"]["labels"] == {"secrets-store.csi.k8s.io/managed": "true"}
    print(f"synced after {time.perf_counter() - began:.2f} s")

    assert await login(address, "dexter", "Admin123") == "dexter", "the database was initialised before"
    for replicas in (0, 1):
        await world.client.patch(api.DEPLOYMENTS, NAMESPACE, DEPLOYMENT, {"spec": {"replicas": replicas}})
        if not replicas:
            await world.until_gone(api.PODS, pod["metadata"]["name"])
    began = time.perf_counter()
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, is_available)
    print(f"restarted after {time.perf_counter() - began:.2f} s")
    assert await login(address, "therema", "Mashroof123") == "therema"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await login(address, "dexter", "Admin123")
    assert await world.exec((await the_pod(world))["metadata"]["name"], "cat", "/mederma/username") == "therema"
