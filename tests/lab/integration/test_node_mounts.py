"""Mounts that fail, and the words they fail with; syncs that are paused, torn or late."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pod_world import NAMESPACE, PATIENCE_SECONDS, VAULT, VAULT_ID, PodWorld, pod_world
from walkthrough import CLASS, DEPLOYMENT, OBJECTS, SECRET, another_pod, apply_walkthrough, the_pod

from lab.azure.key_vault.vault import SecretAttributes, Vault
from lab.cluster import client as api
from lab.cluster.client import Object
from lab.cluster.node import volumes
from lab.control.faults import Fault
from lab.control.options import TENANT_ID, DriverGeneration

START = 'MountVolume.SetUp failed for volume "postgresql-store" : rpc error: code = Unknown desc = '


@pytest.fixture
async def world(tmp_path: Path, postgres_cache: Path) -> AsyncIterator[PodWorld]:
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi", poll_seconds=0.5) as made:
        yield made


def vault_of(world: PodWorld) -> Vault:
    assert world.cloud is not None
    found = world.cloud.vaults.find(VAULT)
    assert found is not None
    return found


async def failed_mount(world: PodWorld) -> str:
    """The text of the first failed mount; the pod's one container is still being created."""
    pods = await pod_names(world)
    event = await world.event(pods[0], "FailedMount")
    pod = await world.get(api.PODS, pods[0])
    assert pod["status"]["phase"] == "Pending"
    text = str(event["message"])
    assert "Admin123" not in text
    return text


async def pod_names(world: PodWorld) -> list[str]:
    """The names of the deployment's pods, once there are any."""
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d.get("status", {}).get("replicas") == 1)
    listing = await world.client.list(api.PODS, NAMESPACE, labelSelector="app=PostgreSQL")
    return [pod["metadata"]["name"] for pod in listing["items"]]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"keyvaultName": None}, "keyvaultName is not provided"),
        ({"tenantID": None}, "tenantId is not provided"),
        ({"objects": None}, "objects is not set"),
        ({"cloudName": "AzureMoonCloud"}, "cloudName AzureMoonCloud is not valid"),
        (
            {"keyvaultName": "a_b"},
            'failed to get vault: Invalid vault name: "a_b", must match [-a-zA-Z0-9]{3,24}',
        ),
        (
            {"clientID": None},
            "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is not",
        ),
        (
            {"objects": OBJECTS.replace("objectName: username", "objectName: nobody")},
            "failed to get objectType:secret, objectName:nobody, objectVersion:: GET https://dexterkeyvault",
        ),
        (
            {"clientID": "00000000-0000-4000-8000-000000000000"},
            "failed to get objectType:secret, objectName:username, objectVersion:: ClientAssertionCredential "
            f"authentication failed. \nPOST https://login.microsoftonline.com/{TENANT_ID}/oauth2/v2.0/token",
        ),
    ],
)
async def test_a_class_that_cannot_be_mounted_says_why(world: PodWorld, changes: Any, text: str) -> None:
    await apply_walkthrough(world, **changes)
    meta = f"{NAMESPACE}/{(await pod_names(world))[0]}"
    inner = "rpc error: code = Unknown desc = failed to mount objects, error: "
    wanted = f"{START}failed to mount secrets store objects for pod {meta}, err: {inner}{text}"
    assert (await failed_mount(world))[: len(wanted)] == wanted


async def test_a_missing_secret_is_told_with_the_vaults_own_error(world: PodWorld) -> None:
    await apply_walkthrough(world, objects=OBJECTS.replace("objectName: username", "objectName: nobody"))
    text = await failed_mount(world)
    rule = "-" * 80
    assert f"\n{rule}\nRESPONSE 404: 404 Not Found\nERROR CODE: SecretNotFound\n{rule}\n{{\n" in text
    assert text.endswith(f"\n}}\n{rule}\n")


async def test_a_disabled_newest_version_is_not_replaced_by_an_older_one(world: PodWorld) -> None:
    vault_of(world).set_secret("password", "never-seen", SecretAttributes(enabled=False))
    await apply_walkthrough(world)
    text = await failed_mount(world)
    assert "objectName:password" in text
    assert "SecretDisabled" in text
    assert "never-seen" not in text


async def test_without_the_role_the_vault_refuses(world: PodWorld) -> None:
    assert world.cloud is not None
    for assignment in world.cloud.access.list(VAULT_ID):
        world.cloud.access.remove(assignment.name)
    await apply_walkthrough(world)
    assert "ForbiddenByRbac" in await failed_mount(world)


async def test_a_subject_that_is_not_federated_is_refused_by_entra(world: PodWorld) -> None:
    assert world.cloud is not None and world.identity is not None
    world.cloud.directory.remove_federated_credential(world.identity.object_id, "aks")
    await apply_walkthrough(world)
    text = await failed_mount(world)
    rule = "-" * 80
    assert f"\n{rule}\nRESPONSE 401: 401 Unauthorized\n{rule}\n{{\n" in text
    assert "AADSTS70" in text


async def test_the_pod_starts_by_itself_when_what_was_missing_is_there(world: PodWorld) -> None:
    await apply_walkthrough(world, objects=OBJECTS.replace("objectName: username", "objectName: late"))
    assert "objectName:late" in await failed_mount(world)
    patch = {"spec": {"parameters": {"objects": OBJECTS}}}
    await world.client.patch(api.PROVIDER_CLASSES, NAMESPACE, CLASS, patch)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)


async def test_a_missing_class_is_told_before_the_provider_is_asked(world: PodWorld) -> None:
    await apply_walkthrough(world)
    await pod_names(world)
    await world.client.delete(api.PROVIDER_CLASSES, NAMESPACE, CLASS)
    pod = await replace_pod(world)
    other = f'SecretProviderClass.secrets-store.csi.x-k8s.io "{CLASS}" not found'
    event = await world.event(pod, "FailedMount")
    assert event["message"] == f"{START}failed to get secretproviderclass {NAMESPACE}/{CLASS}, error: {other}"


async def test_a_secret_key_whose_object_is_not_mounted_makes_no_secret(world: PodWorld) -> None:
    await apply_walkthrough(world)
    data = [{"key": "USERNAME", "objectName": "user"}]
    patch = {"spec": {"secretObjects": [{"secretName": "other", "type": "Opaque", "data": data}]}}
    await world.client.patch(api.PROVIDER_CLASSES, NAMESPACE, CLASS, patch)
    pod = await replace_pod(world)
    event = await world.event(pod, "FailedToCreateSecret")
    assert event["message"] == (
        f"failed to get data in spc {NAMESPACE}/{CLASS} for secret other, err: file matching objectName user not found "
        "in the pod"
    )
    assert await world.client.find(api.SECRETS, NAMESPACE, "other") is None


async def replace_pod(world: PodWorld) -> str:
    """Delete the deployment's pod by force; returns the name of the next one."""
    name = (await pod_names(world))[0]
    await world.client.delete(api.PODS, NAMESPACE, name, grace_seconds=0)
    return await another_pod(world, name)


async def test_nothing_is_looked_up_while_the_sync_is_paused(world: PodWorld) -> None:
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    pod = str((await the_pod(world))["metadata"]["name"])
    report = f"{pod}-{NAMESPACE}-{CLASS}"
    world.faults.switch("sync-paused", True)
    await polls_passed(world, 3)  # a look that is under way is not stopped
    before = (await world.get(api.POD_STATUSES, report))["status"]["objects"]
    made = vault_of(world).set_secret("password", "Mashroof123")
    await polls_passed(world, 3)
    assert (await world.get(api.POD_STATUSES, report))["status"]["objects"] == before
    world.faults.switch("sync-paused", False)
    await world.until(api.POD_STATUSES, report, lambda r: made.version in str(r["status"]["objects"]))


async def polls_passed(world: PodWorld, count: int) -> None:
    """Wait until the driver would have looked that many times."""
    assert world.store is not None
    due = asyncio.get_running_loop().time() + count * world.store.poll_interval
    while (left := due - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(left)


async def test_an_existing_secret_is_not_refreshed_by_a_new_mount_before_1_6(
    tmp_path: Path, postgres_cache: Path
) -> None:
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi", poll_seconds=600) as world:
        await apply_walkthrough(world)
        await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
        vault_of(world).set_secret("password", "Mashroof123")
        pod = await replace_pod(world)
        await world.until(api.PODS, pod, is_ready)
        assert await world.exec(pod, "cat", "/mederma/password") == "Mashroof123"
        assert await password_in_secret(world) == "Admin123", "the Secret is stale until the next poll"
        assert await world.exec(pod, "printenv", "POSTGRES_PASSWORD") == "Admin123\n"


async def test_a_new_mount_refreshes_the_secret_from_1_6_on(tmp_path: Path, postgres_cache: Path) -> None:
    options: Any = {"poll_seconds": 600, "generation": DriverGeneration.REPUBLISH}
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi", **options) as world:
        await apply_walkthrough(world)
        await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
        vault_of(world).set_secret("password", "Mashroof123")
        assert await password_in_secret(world) == "Admin123", "no poll is due"
        await replace_pod(world)
        wanted = base64.b64encode(b"Mashroof123").decode()
        await world.until(api.SECRETS, SECRET, lambda s: s["data"]["PASSWORD"] == wanted)
        assert await password_in_secret(world) == "Mashroof123"


async def test_scaling_to_zero_keeps_the_secret_and_a_deleted_one_comes_back_with_the_next_pod(world: PodWorld) -> None:
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    owned = await world.until(api.SECRETS, SECRET, lambda s: s["metadata"].get("ownerReferences"))
    assert [owner["kind"] for owner in owned["metadata"]["ownerReferences"]] == ["ReplicaSet"]
    pod = (await pod_names(world))[0]
    await world.client.patch(api.DEPLOYMENTS, NAMESPACE, DEPLOYMENT, {"spec": {"replicas": 0}})
    await world.until_gone(api.PODS, pod)
    await world.until_gone(api.POD_STATUSES, f"{pod}-{NAMESPACE}-{CLASS}")
    assert (await world.get(api.SECRETS, SECRET))["metadata"]["uid"] == owned["metadata"]["uid"]
    await world.client.delete(api.SECRETS, NAMESPACE, SECRET)
    await world.client.patch(api.DEPLOYMENTS, NAMESPACE, DEPLOYMENT, {"spec": {"replicas": 1}})
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    assert await password_in_secret(world) == "Admin123"


async def test_the_report_names_pod_class_target_and_versions(world: PodWorld) -> None:
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    pod = await the_pod(world)
    report = await world.get(api.POD_STATUSES, f"{pod['metadata']['name']}-{NAMESPACE}-{CLASS}")
    assert report["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
    assert report["metadata"]["labels"]["internal.secrets-store.csi.k8s.io/node-name"] == pod["spec"]["nodeName"]
    status = report["status"]
    assert status["mounted"] is True
    assert (status["podName"], status["secretProviderClassName"]) == (pod["metadata"]["name"], CLASS)
    assert status["targetPath"].endswith("/volumes/kubernetes.io~csi/postgresql-store/mount")
    newest = {f"secret/{name}": vault_of(world).get_version(name).version for name in ("username", "password")}
    assert {entry["id"]: entry["version"] for entry in status["objects"]} == newest


async def test_older_versions_are_files_beside_the_newest_until_they_are_disabled(world: PodWorld) -> None:
    with_history = OBJECTS.replace("objectName: password", "objectName: password\n    objectVersionHistory: 2")
    await apply_walkthrough(world, objects=with_history)
    made = await world.get(api.PROVIDER_CLASSES, CLASS)
    made["spec"]["secretObjects"][0]["data"][1]["objectName"] = "password/0"
    await world.client.patch(api.PROVIDER_CLASSES, NAMESPACE, CLASS, {"spec": made["spec"]})
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d.get("status", {}).get("readyReplicas") == 1)
    vault, pod = vault_of(world), (await the_pod(world))["metadata"]["name"]
    before = vault.get_version("password").version
    newest = vault.set_secret("password", "second").version

    async def reported(versions: dict[str, str]) -> None:
        name, wanted = f"{pod}-{NAMESPACE}-{CLASS}", versions.items()
        await world.until(
            api.POD_STATUSES, name, lambda r: {(e["id"], e["version"]) for e in r["status"]["objects"]} == wanted
        )

    username = {"secret/username": vault.get_version("username").version}
    await reported({**username, "secret/password/0": newest, "secret/password/1": before})
    second = base64.b64encode(b"second").decode()
    await world.until(api.SECRETS, SECRET, lambda secret: secret["data"]["PASSWORD"] == second)
    vault.update_version("password", before, {"enabled": False})
    await reported({**username, "secret/password/0": newest})
    events = (await world.client.list(api.EVENTS, NAMESPACE))["items"]
    assert not [event["message"] for event in events if event["reason"] in ("FailedMount", "SecretRotationFailed")]


async def test_the_old_driver_says_secret_rotation_complete_at_every_poll(world: PodWorld) -> None:
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    pod = str((await the_pod(world))["metadata"]["name"])
    first = await world.event(pod, "SecretRotationComplete")
    name = first["metadata"]["name"]
    await world.until(api.EVENTS, name, lambda event: event["count"] > first["count"])
    query = {"fieldSelector": f"involvedObject.name={pod},reason=MountRotationComplete"}
    assert (await world.client.list(api.EVENTS, NAMESPACE, **query))["items"] == []


async def test_a_poll_that_finds_nothing_new_asks_the_api_server_for_the_secret_alone(
    world: PodWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    pod = str((await the_pod(world))["metadata"]["name"])
    first = await world.event(pod, "SecretRotationComplete")
    asked: set[tuple[str, str]] = set()
    send = api.Client.request

    async def watched(client: api.Client, method: str, path: str, *args: Any, **options: Any) -> Object:
        task = asyncio.current_task()
        if task and task.get_name().startswith("rotation "):
            asked.add((method, path))
        return await send(client, method, path, *args, **options)

    monkeypatch.setattr(api.Client, "request", watched)
    name = first["metadata"]["name"]
    await world.until(api.EVENTS, name, lambda event: event["count"] > first["count"] + 1)
    assert asked == {("GET", api.SECRETS.path(NAMESPACE, SECRET))}


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


async def password_in_secret(world: PodWorld) -> str:
    return base64.b64decode((await world.get(api.SECRETS, SECRET))["data"]["PASSWORD"]).decode()


async def test_a_pod_does_not_end_before_the_driver_of_its_mount_is_back(
    world: PodWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = asyncio.Event()
    monkeypatch.setattr(volumes, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(volumes.log, "warning", lambda *_: refused.set())
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    pod = str((await the_pod(world))["metadata"]["name"])
    assert world.node is not None
    assert world.store is not None
    world.node.unregister_driver(world.store.name)
    await world.client.delete(api.PODS, NAMESPACE, pod)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await refused.wait()
    assert (await world.get(api.PODS, pod))["metadata"]["deletionTimestamp"]
    world.node.register_driver(world.store)
    await world.until_gone(api.PODS, pod)


async def test_an_api_server_that_is_away_as_a_pod_starts_neither_holds_the_pod_nor_its_volumes_back(
    tmp_path: Path, postgres_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_current = volumes.Volumes.keep_current

    def keep_current_without_server(kept: volumes.Volumes) -> None:
        world.faults.add(Fault(path="/apis/storage.k8s.io/v1/csidrivers/*", status=503, times=1))
        keep_current(kept)

    monkeypatch.setattr(volumes.Volumes, "keep_current", keep_current_without_server)
    monkeypatch.setattr(volumes, "RETRY_SECONDS", 0.1)
    options: Any = {"poll_seconds": 0.5, "generation": DriverGeneration.REPUBLISH}
    async with pod_world(tmp_path, postgres_cache, parts="controllers node csi", **options) as world:
        await apply_walkthrough(world)
        await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
        assert world.faults.list() == {}
        pod = str((await the_pod(world))["metadata"]["name"])
        made = vault_of(world).set_secret("password", "Mashroof123")
        report = f"{pod}-{NAMESPACE}-{CLASS}"
        await world.until(api.POD_STATUSES, report, lambda r: made.version in str(r["status"]["objects"]))
        await world.client.patch(api.DEPLOYMENTS, NAMESPACE, DEPLOYMENT, {"spec": {"replicas": 0}})
        await world.until_gone(api.PODS, pod)


async def test_a_node_ends_although_the_driver_of_a_mount_is_gone(world: PodWorld) -> None:
    await apply_walkthrough(world)
    await world.until(api.DEPLOYMENTS, DEPLOYMENT, lambda d: d["status"].get("readyReplicas") == 1)
    assert world.node is not None
    assert world.store is not None
    world.node.unregister_driver(world.store.name)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await world.node.stop()
