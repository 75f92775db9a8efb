"""get-storage in a pod: workload identity from the webhook's variables to the blob."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from pod_world import GROUP, NAMESPACE, PodWorld, pod_world
from walkthrough import ACCOUNT as SERVICE_ACCOUNT

from lab.azure.roles import find_role_by_name
from lab.cluster import client as api
from lab.cluster.client import Object

ACCOUNT, CONTAINER, BLOB = "integrateakskvtachotacho", "dexter", "demo.txt"
ACCOUNT_ID = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
URL = f"http://localhost:8080/api/{ACCOUNT}/{CONTAINER}/{BLOB}"
TEXT = "This is a Demo File."


def has_ready_pod(deployment: Object) -> bool:
    return deployment.get("status", {}).get("readyReplicas") == 1


async def make_account(world: PodWorld) -> None:
    assert world.cloud is not None and world.identity is not None
    account = world.cloud.storage.create(ACCOUNT_ID, ACCOUNT, "eastus2")
    account.create_container(CONTAINER).put_blob(BLOB, TEXT.encode(), datetime.now(UTC), "text/plain")
    await world.create(
        api.SERVICE_ACCOUNTS,
        "ServiceAccount",
        SERVICE_ACCOUNT,
        metadata={"annotations": {"azure.workload.identity/client-id": world.identity.client_id}},
    )


async def start(world: PodWorld) -> str:
    """Deploy get-storage and return its pod's name when it is ready."""
    labels = {"app": "get-storage", "azure.workload.identity/use": "true"}
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5}
    container = {"name": "get-storage", "image": "chester2004/get-storage", "readinessProbe": probe}
    template = {
        "metadata": {"labels": labels},
        "spec": {"serviceAccountName": SERVICE_ACCOUNT, "containers": [container]},
    }
    selector = {"matchLabels": {"app": "get-storage"}}
    await world.create(
        api.DEPLOYMENTS, "Deployment", "get-storage", spec={"replicas": 1, "selector": selector, "template": template}
    )
    await world.until(api.DEPLOYMENTS, "get-storage", has_ready_pod)
    (pod,) = (await world.client.list(api.PODS, NAMESPACE, labelSelector="app=get-storage"))["items"]
    return str(pod["metadata"]["name"])


async def test_the_walkthroughs_curl_reads_the_blob_into_a_file(tmp_path: Path, postgres_cache: Path) -> None:
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi") as world:
        await make_account(world)
        assert world.cloud is not None and world.identity is not None
        role = find_role_by_name("Storage Blob Data Reader")
        assert role is not None
        world.cloud.access.assign(ACCOUNT_ID, role.guid, world.identity.object_id, str(uuid.uuid4()))
        pod = await start(world)
        await world.exec(pod, "curl", "-s", URL, "-o", "myfile")
        assert await world.exec(pod, "cat", "myfile") == TEXT


async def test_without_the_role_the_account_says_no(tmp_path: Path, postgres_cache: Path) -> None:
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi") as world:
        await make_account(world)
        pod = await start(world)
        answer = json.loads(await world.exec(pod, "curl", "-s", URL))
        assert answer["error"]["code"] == "AuthorizationPermissionMismatch"
