"""A StatefulSet, a DaemonSet, a CronJob and a pooler share a credential: each gets the new password in its own way."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from clients import PODS, SECONDS, WAITING, manifest, wait_for_no_pods

from infra.credentials import Consumer, CsiDelivery, Reload, WorkloadKind
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret
from infra.kubernetes.pods import read_pods, run_in_pod
from infra.kubernetes.waiting import follow
from infra.kubernetes.workloads import open_workload
from infra.rotation.execution import Verdict
from testing.rotating import KEYS, NAMESPACE, World, rotate
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

REPORTS = CsiDelivery(secret_provider_class="report", synced_secret="report")
"""What no pod mounts between two runs, so the driver does not refresh its Secret."""
QUEUE = consumer_like(DATABASE, name="queue", kind=WorkloadKind.STATEFUL_SET, is_database=False)
AGENT = consumer_like(DATABASE, name="agent", kind=WorkloadKind.DAEMON_SET, is_database=False)
REPORT = consumer_like(DATABASE, name="report", kind=WorkloadKind.CRON_JOB, is_database=False, delivery=REPORTS)
READ = ("sh", "-c", "cp /credential/password /loaded/password")
POOLER = consumer_like(DATABASE, name="pooler", is_database=False, reload=Reload(container="client", command=READ))
"""It keeps the password that it has read until it is told to read it again."""
CREDENTIAL = change(DEXTER, strategy="in-place", consumers=(DATABASE, QUEUE, AGENT, REPORT, POOLER))
APPS, BATCH = f"/apis/apps/v1/namespaces/{NAMESPACE}", f"/apis/batch/v1/namespaces/{NAMESPACE}"


def spec_of(consumer: Consumer) -> dict[str, Any]:
    """Return selector and template of a client of this name."""
    spec: dict[str, Any] = manifest(["true"])["spec"]
    delivery, pod = consumer.delivery, spec["template"]["spec"]
    spec["selector"]["matchLabels"] = spec["template"]["metadata"]["labels"]
    spec["template"]["metadata"]["labels"]["app"] = consumer.workload.name
    pod["volumes"][0]["csi"]["volumeAttributes"] = {"secretProviderClass": delivery.secret_provider_class}
    for variable in pod["containers"][0]["env"]:
        variable["valueFrom"]["secretKeyRef"]["name"] = delivery.synced_secret
    return spec


def spec_of_pooler() -> dict[str, Any]:
    """Return the spec of a client that reads its password when it starts, and when it is told."""
    spec = spec_of(POOLER)
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    container.pop("env")
    container["command"] = ["sh", "-c", f"{READ[-1]}; {WAITING}"]
    container["volumeMounts"].append({"name": "loaded", "mountPath": "/loaded"})
    pod["volumes"].append({"name": "loaded", "emptyDir": {}})
    return spec


def class_of_reports(world: World) -> dict[str, Any]:
    like = world.cluster.get(path_of(NAMESPACE, DATABASE.delivery.secret_provider_class))
    (synced,) = like["spec"]["secretObjects"]
    spec = {**like["spec"], "secretObjects": [{**synced, "secretName": REPORTS.synced_secret}]}
    metadata = {"name": REPORTS.secret_provider_class, "namespace": NAMESPACE}
    return {"apiVersion": like["apiVersion"], "kind": like["kind"], "metadata": metadata, "spec": spec}


@contextmanager
def created(world: World, path: str, item: dict[str, Any]) -> Iterator[None]:
    world.cluster.request("POST", path, {}, item)
    try:
        yield
    finally:
        name = item["metadata"]["name"]
        world.cluster.delete(f"{path}/{name}")
        wait_for_no_pods(world, name)


@pytest.fixture
def everybody(world: World) -> Iterator[World]:
    queue = {**spec_of(QUEUE), "replicas": 2, "serviceName": "queue"}
    agent = spec_of(AGENT)
    agent.pop("replicas")
    run = spec_of(REPORT)["template"]
    run["spec"]["restartPolicy"] = "Never"
    report = {"schedule": "0 4 * * *", "suspend": True, "jobTemplate": {"spec": {"template": run}}}
    values = dict(zip(KEYS, world.values(), strict=True))
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    classes = path_of(NAMESPACE, REPORTS.secret_provider_class).rpartition("/")[0]
    with (
        created(world, f"/api/v1/namespaces/{NAMESPACE}/secrets", {"metadata": {"name": "report"}, "data": data}),
        created(world, classes, class_of_reports(world)),
        created(world, f"{APPS}/statefulsets", {"metadata": {"name": "queue"}, "spec": queue}),
        created(world, f"{APPS}/daemonsets", {"metadata": {"name": "agent"}, "spec": agent}),
        created(world, f"{APPS}/deployments", {"metadata": {"name": "pooler"}, "spec": spec_of_pooler()}),
        created(world, f"{BATCH}/cronjobs", {"metadata": {"name": "report"}, "spec": report}),
    ):
        for consumer in (QUEUE, AGENT, POOLER):
            open_workload(world.cluster, consumer.workload).wait_for_ready(SECONDS)
        yield world


@contextmanager
def a_run(world: World) -> Iterator[None]:
    """Start a run as `kubectl create job --from` does, and wait until its pod is ready."""
    made = world.cluster.get(f"{BATCH}/cronjobs/report")
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": made["metadata"]["uid"]}
    metadata = {"name": "report-by-hand", "ownerReferences": [{**owner, "controller": True}]}
    run = {"metadata": metadata, "spec": made["spec"]["jobTemplate"]["spec"]}
    with created(world, f"{BATCH}/jobs", run):
        seen = follow(world.cluster, PODS, {"labelSelector": "app=report"}, SECONDS)
        assert any(pod.ready for found, _ in seen for pod in read_pods(found.values())), "no pod is ready"
        yield


def pods(world: World, consumer: Consumer) -> dict[str, str]:
    """Return uid -> name of its pods."""
    return open_workload(world.cluster, consumer.workload).get().live_pods


def passwords(world: World, consumer: Consumer) -> set[str]:
    """Return what its pods' processes have."""
    names = pods(world, consumer).values()
    return {run_in_pod(world.cluster, NAMESPACE, pod, ["printenv", "PASSWORD"]).stdout.strip() for pod in names}


def test_each_kind_gets_the_new_password_in_its_own_way(everybody: World) -> None:
    world = everybody
    before = {consumer.key: pods(world, consumer) for consumer in (QUEUE, AGENT, POOLER)}
    assert sorted(before[QUEUE.key].values()) == ["queue-0", "queue-1"]
    ended = rotate(CREDENTIAL, sync="express", data_loss="no")
    assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    username, password = world.values()
    for consumer in (QUEUE, AGENT):
        after = pods(world, consumer)
        assert len(after) == len(before[consumer.key])
        assert not after.keys() & before[consumer.key].keys()
        assert passwords(world, consumer) == {password}
    assert sorted(pods(world, QUEUE).values()) == ["queue-0", "queue-1"]
    assert pods(world, POOLER) == before[POOLER.key], "it runs on"
    (pooler,) = before[POOLER.key].values()
    assert run_in_pod(world.cluster, NAMESPACE, pooler, ["cat", "/loaded/password"]).stdout.strip() == password
    expected = dict(zip(KEYS, (username, password), strict=True))
    assert SyncedSecret(world.cluster, NAMESPACE, "report").find_differing_keys(expected) == []
    assert pods(world, REPORT) == {}, "nothing but its schedule starts a run"
    with a_run(world):
        assert passwords(world, REPORT) == {password}
    world.assert_well()
