"""Containers on the node: environment, images, restarts, probes, ends, volumes."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pod_world import NAMESPACE, PodWorld, pod_world

from lab.cluster import client as api
from lab.cluster.client import Object
from lab.sandbox.sandboxes import Isolation


@pytest.fixture
async def world(tmp_path: Path, postgres_cache: Path) -> AsyncIterator[PodWorld]:
    async with pod_world(tmp_path, postgres_cache) as made:
        yield made


def spec(*command: str, **fields: Any) -> Object:
    """A pod of one container that runs a command."""
    container = {"name": "main", "image": "busybox:1.36", "command": list(command)} | fields.pop("container", {})
    return {"terminationGracePeriodSeconds": 1, "containers": [container], **fields}


def state_of(pod: Object, which: str = "state") -> Object:
    statuses = pod["status"].get("containerStatuses") or [{}]
    found: Object = statuses[0].get(which) or {}
    return found


def waits(reason: str) -> Any:
    return lambda pod: state_of(pod).get("waiting", {}).get("reason") == reason


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def secret_reference(name: str, key: str) -> Object:
    return {"name": "VALUE", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


async def make_secret(world: PodWorld, name: str, **data: str) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    await world.create(api.SECRETS, "Secret", name, data=encoded)


async def logs(world: PodWorld, pod: str) -> str:
    """The container's log without its times."""
    (folder,) = (world.state_dir / "logs" / "pods").glob(f"{NAMESPACE}_{pod}_*")
    lines = sorted((folder / "main").glob("*.log"))[-1].read_text().splitlines()
    return "\n".join(line.split(" ", 3)[3] for line in lines)


async def test_a_missing_secret_holds_the_container_until_it_is_there(world: PodWorld) -> None:
    container = {"env": [secret_reference("userpass", "PASSWORD")]}
    await world.pod("one", spec("sh", "-c", "echo $VALUE; sleep 60", container=container))
    held = await world.until(api.PODS, "one", waits("CreateContainerConfigError"))
    assert state_of(held)["waiting"]["message"] == 'secret "userpass" not found'
    assert (await world.event("one", "Failed"))["message"] == 'Error: secret "userpass" not found'
    await make_secret(world, "userpass", PASSWORD="s3cret")
    await world.until(api.PODS, "one", is_ready)
    assert await world.exec("one", "printenv", "VALUE") == "s3cret\n"


async def test_a_missing_key_is_named(world: PodWorld) -> None:
    await make_secret(world, "userpass", USERNAME="dexter")
    await world.pod("one", spec("true", container={"env": [secret_reference("userpass", "PASSWORD")]}))
    held = await world.until(api.PODS, "one", waits("CreateContainerConfigError"))
    assert state_of(held)["waiting"]["message"] == "couldn't find key PASSWORD in Secret dexter/userpass"


async def test_the_environment_is_built_from_every_source(world: PodWorld) -> None:
    await make_secret(world, "all", A="1", B="2")
    await world.create(api.CONFIG_MAPS, "ConfigMap", "settings", data={"mode": "fast"})
    env = [
        {"name": "PLAIN", "value": "x"},
        {"name": "COMPOSED", "value": "$(PLAIN)-$(A)-$$(PLAIN)-$(NOBODY)"},
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
    ]
    container = {"env": env, "envFrom": [{"secretRef": {"name": "all"}, "prefix": ""}]}
    await world.pod("one", spec("sleep", "60", container=container), labels={"app": "x"})
    pod = await world.until(api.PODS, "one", is_ready)
    lines = (await world.exec("one", "env")).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert found["COMPOSED"] == "x-1-$(PLAIN)-$(NOBODY)"
    assert (found["A"], found["B"], found["MODE"], found["LABEL"]) == ("1", "2", "fast", "x")
    assert (found["POD"], found["IP"], found["HOSTNAME"]) == ("one", pod["status"]["podIP"], "one")
    assert "NONE" not in found


async def test_an_image_that_nobody_has_is_not_pulled(world: PodWorld) -> None:
    await world.pod("one", spec("true", container={"image": "nope/nothing:1"}))
    pod = await world.until(api.PODS, "one", waits("ErrImagePull"))
    text = (
        'failed to pull and unpack image "docker.io/nope/nothing:1": failed to resolve reference '
        '"docker.io/nope/nothing:1": pull access denied, repository does not exist or may require authorization: '
        "server message: insufficient_scope: authorization failed"
    )
    assert state_of(pod)["waiting"]["message"] == text
    assert await world.event("one", "Failed", f'Failed to pull image "nope/nothing:1": {text}')
    assert await world.event("one", "Failed", "Error: ErrImagePull")
    pod = await world.until(api.PODS, "one", waits("ImagePullBackOff"))
    assert state_of(pod)["waiting"]["message"].startswith('Back-off pulling image "nope/nothing:1"')


@pytest.mark.parametrize(
    ("image", "policy", "reason", "message"),
    [
        ("Not An Image", "IfNotPresent", "InvalidImageName", "couldn't parse image name"),
        ("busybox:1", "Never", "ErrImageNeverPull", "is not present with pull policy of Never"),
    ],
)
async def test_images_that_are_not_even_asked_for(
    world: PodWorld, image: str, policy: str, reason: str, message: str
) -> None:
    await world.pod("one", spec("true", container={"image": image, "imagePullPolicy": policy}))
    held = await world.until(api.PODS, "one", waits(reason))
    assert f'"{image}"' in state_of(held)["waiting"]["message"]
    assert message in state_of(held)["waiting"]["message"]
    events = await world.client.list(api.EVENTS, NAMESPACE, fieldSelector="involvedObject.name=one,reason=Pulling")
    assert events["items"] == []


async def test_a_failing_container_starts_again_at_once_and_then_backs_off(world: PodWorld) -> None:
    await world.pod("one", spec("sh", "-c", "echo out; exit 3"))
    pod = await world.until(api.PODS, "one", waits("CrashLoopBackOff"))
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert (status["lastState"]["terminated"]["exitCode"], status["lastState"]["terminated"]["reason"]) == (3, "Error")
    who = f"main pod=one_{NAMESPACE}({pod['metadata']['uid']})"
    assert status["state"]["waiting"]["message"] == f"back-off 10s restarting failed container={who}"
    assert (await world.event("one", "BackOff"))["message"] == (
        f"Back-off restarting failed container main in pod one_{NAMESPACE}({pod['metadata']['uid']})"
    )


async def test_a_command_that_does_not_exist_cannot_start(world: PodWorld) -> None:
    await world.pod("one", spec("no-such-program", restartPolicy="Never"))
    pod = await world.until(api.PODS, "one", lambda pod: pod["status"]["phase"] == "Failed")
    ended = state_of(pod)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (7, "Failed")])
async def test_a_pod_that_never_restarts_ends_with_its_container(world: PodWorld, code: int, phase: str) -> None:
    await world.pod("one", spec("sh", "-c", f"exit {code}", restartPolicy="Never"))
    pod = await world.until(api.PODS, "one", lambda pod: pod["status"]["phase"] == phase)
    assert state_of(pod)["terminated"]["exitCode"] == code
    assert not is_ready(pod)


async def test_init_containers_run_first_and_one_after_the_other(world: PodWorld) -> None:
    volume, mounts = {"name": "shared", "emptyDir": {}}, [{"name": "shared", "mountPath": "/shared"}]
    inits = [
        {"name": name, "image": "busybox", "volumeMounts": mounts, "command": ["sh", "-c", f"echo {name} >> /shared/f"]}
        for name in ("first", "second")
    ]
    await world.pod(
        "one", spec("sleep", "60", container={"volumeMounts": mounts}, initContainers=inits, volumes=[volume])
    )
    pod = await world.until(api.PODS, "one", is_ready)
    assert await world.exec("one", "cat", "/shared/f") == "first\nsecond\n"
    assert [status["state"]["terminated"]["reason"] for status in pod["status"]["initContainerStatuses"]] == [
        "Completed"
    ] * 2


async def test_readiness_follows_its_probe_and_tells_why_it_failed(world: PodWorld) -> None:
    probe = {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    await world.pod("one", spec("sleep", "60", container={"readinessProbe": probe}))
    event = await world.event("one", "Unhealthy")
    assert event["message"] == "Readiness probe failed: cat: /tmp/ready: No such file or directory\n"
    await world.exec("one", "touch", "/tmp/ready")
    await world.until(api.PODS, "one", is_ready)
    await world.exec("one", "rm", "/tmp/ready")
    await world.until(api.PODS, "one", lambda pod: not is_ready(pod))


async def test_tcp_and_http_probes_fail_with_the_kubelets_words(world: PodWorld) -> None:
    tcp = {"tcpSocket": {"port": 81}, "periodSeconds": 60}
    http = {"httpGet": {"path": "/x", "port": 82}, "periodSeconds": 60}
    await world.pod("one", spec("sleep", "60", container={"readinessProbe": tcp}))
    await world.pod("two", spec("sleep", "60", container={"readinessProbe": http}))
    first = await world.until(api.PODS, "one", lambda pod: pod["status"].get("podIP"))
    second = await world.until(api.PODS, "two", lambda pod: pod["status"].get("podIP"))
    addresses = [pod["status"]["podIP"] for pod in (first, second)]
    assert (await world.event("one", "Unhealthy"))["message"] == (
        f"Readiness probe failed: dial tcp {addresses[0]}:81: connect: connection refused"
    )
    assert (await world.event("two", "Unhealthy"))["message"] == (
        f'Readiness probe failed: Get "http://{addresses[1]}:82/x": dial tcp {addresses[1]}:82: connect: '
        "connection refused"
    )


async def test_a_failed_liveness_probe_restarts_the_container(world: PodWorld) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    await world.pod(
        "one", spec("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done", container={"livenessProbe": probe})
    )
    await world.until(api.PODS, "one", is_ready)
    await world.exec("one", "touch", "/tmp/sick")
    pod = await world.until(api.PODS, "one", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert (await world.event("one", "Killing"))["message"] == "Container main failed liveness probe, will be restarted"
    assert pod["metadata"]["name"] == "one"


async def test_a_startup_probe_holds_the_others_back(world: PodWorld) -> None:
    startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    await world.pod("one", spec("sleep", "60", container={"startupProbe": startup}))
    pod = await world.until(api.PODS, "one", lambda pod: "running" in state_of(pod))
    assert pod["status"]["containerStatuses"][0]["started"] is False
    assert not is_ready(pod)
    await world.exec("one", "touch", "/tmp/up")
    pod = await world.until(api.PODS, "one", is_ready)
    assert pod["status"]["containerStatuses"][0]["started"] is True


async def test_a_container_is_asked_to_end_and_then_killed(world: PodWorld) -> None:
    await world.pod("polite", spec("sh", "-c", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"))
    await world.pod("deaf", spec("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"))
    for name in ("polite", "deaf"):
        await world.until(api.PODS, name, is_ready)
    began = asyncio.get_running_loop().time()
    for name in ("polite", "deaf"):
        await world.client.delete(api.PODS, NAMESPACE, name)
    await world.until_gone(api.PODS, "polite")
    assert asyncio.get_running_loop().time() - began < 1
    await world.until_gone(api.PODS, "deaf")
    assert asyncio.get_running_loop().time() - began >= 1
    assert await logs(world, "polite") == "bye"
    assert (await world.event("polite", "Killing"))["message"] == "Stopping container main"


async def test_a_pod_removed_by_force_leaves_no_process(world: PodWorld) -> None:
    await world.pod("one", spec("sleep", "60"))
    await world.until(api.PODS, "one", is_ready)
    assert world.node is not None
    worker = world.node._find(NAMESPACE, "one")
    assert worker is not None
    container = worker.find("main")
    assert container is not None and container.process is not None
    process = container.process
    await world.client.delete(api.PODS, NAMESPACE, "one", grace_seconds=0)
    async with asyncio.timeout(5):
        assert await process.wait() == 137


async def test_volumes_follow_their_secret_at_once_for_all_files(world: PodWorld) -> None:
    await make_secret(world, "files", username="dexter", password="one")
    volume = {"name": "files", "secret": {"secretName": "files"}}
    mounts = [{"name": "files", "mountPath": "/mederma", "readOnly": True}]
    script = 'while [ "$(cat /mederma/password)" = one ]; do :; done; echo $(cat /mederma/username); sleep 60'
    await world.pod("one", spec("sh", "-c", script, container={"volumeMounts": mounts}, volumes=[volume]))
    await world.until(api.PODS, "one", is_ready)
    data = {"username": base64.b64encode(b"therema").decode(), "password": base64.b64encode(b"two").decode()}
    await world.client.patch(api.SECRETS, NAMESPACE, "files", {"data": data})
    async with asyncio.timeout(10):
        while await logs(world, "one") != "therema":
            await asyncio.sleep(0.02)
    if (await world.runtime.sandboxes()).isolation is not Isolation.MAPPED:
        assert "Read-only file system" in await world.exec("one", "touch", "/mederma/x")


async def test_a_missing_volume_source_is_a_failed_mount(world: PodWorld) -> None:
    mounts = [{"name": "files", "mountPath": "/files"}]
    volume = {"name": "files", "configMap": {"name": "absent"}}
    await world.pod("one", spec("sleep", "60", container={"volumeMounts": mounts}, volumes=[volume]))
    event = await world.event("one", "FailedMount")
    assert event["message"] == 'MountVolume.SetUp failed for volume "files" : configmap "absent" not found'
    await world.create(api.CONFIG_MAPS, "ConfigMap", "absent", data={"k": "v"})
    await world.until(api.PODS, "one", is_ready)
    assert await world.exec("one", "cat", "/files/k") == "v"


async def test_what_a_claim_holds_outlives_the_pod(world: PodWorld) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await world.create(api.CLAIMS, "PersistentVolumeClaim", "data", spec=claim)
    mounts = [{"name": "data", "mountPath": "/data"}]
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    for name, command in (("one", "echo kept > /data/f; sleep 60"), ("two", "sleep 60")):
        await world.pod(name, spec("sh", "-c", command, container={"volumeMounts": mounts}, volumes=[volume]))
        await world.until(api.PODS, name, is_ready)
        if name == "one":
            await world.client.delete(api.PODS, NAMESPACE, name)
            await world.until_gone(api.PODS, name)
    assert await world.exec("two", "cat", "/data/f") == "kept\n"


async def test_pods_do_not_start_while_the_fault_is_on(world: PodWorld) -> None:
    world.faults.switch("pods-not-starting", True)
    await world.pod("one", spec("sleep", "60"))
    event = await world.event("one", "FailedCreatePodSandBox")
    assert event["message"].startswith("Failed to create pod sandbox: ")
    assert (await world.get(api.PODS, "one"))["status"]["phase"] == "Pending"
    world.faults.switch("pods-not-starting", False)
    await world.until(api.PODS, "one", is_ready)


async def test_the_service_account_token_is_bound_to_the_pod_and_readable(world: PodWorld) -> None:
    await world.pod("one", spec("sleep", "60"))
    await world.until(api.PODS, "one", is_ready)
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    token = await world.exec("one", "cat", f"{folder}/token")
    payload = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
    assert '"system:serviceaccount:dexter:default"' in payload
    assert '"one"' in payload
    assert await world.exec("one", "cat", f"{folder}/namespace") == NAMESPACE
    assert "BEGIN CERTIFICATE" in await world.exec("one", "cat", f"{folder}/ca.crt")


async def test_localhost_is_the_pods_own_address(world: PodWorld) -> None:
    if (await world.runtime.sandboxes()).isolation is Isolation.MAPPED:
        pytest.skip("without namespaces there is no /etc/hosts of one's own; allow user namespaces")
    await world.pod("one", spec("sleep", "60"))
    pod = await world.until(api.PODS, "one", is_ready)
    assert (await world.exec("one", "getent", "hosts", "localhost")).split()[0] == pod["status"]["podIP"]
    assert (await world.exec("one", "hostname")).strip() == "one"


async def test_a_token_is_renewed_before_it_expires(world: PodWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.cluster.node.tokens.RENEW_AT", 1.5 / 3600)
    token = {"path": "token", "audience": "api://AzureADTokenExchange", "expirationSeconds": 3600}
    volume = {"name": "identity", "projected": {"sources": [{"serviceAccountToken": token}]}}
    mounts = [{"name": "identity", "mountPath": "/tokens", "readOnly": True}]
    await world.pod("one", spec("sleep", "60", container={"volumeMounts": mounts}, volumes=[volume]))
    await world.until(api.PODS, "one", is_ready)
    first = second = await world.exec("one", "cat", "/tokens/token")
    async with asyncio.timeout(10):
        while second == first:
            await asyncio.sleep(0.05)
            second = await world.exec("one", "cat", "/tokens/token")
    old, new = claims(first), claims(second)
    assert old["iat"] < new["iat"] < old["exp"] < new["exp"]
    assert (new["aud"], new["sub"]) == (old["aud"], old["sub"])
    assert new["aud"] == ["api://AzureADTokenExchange"]


def claims(token: str) -> Object:
    """What a token says."""
    payload = token.split(".")[1]
    said: Object = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return said
