"""Pods that finished, or are somebody else's, beside those of the database and of a client: none of them counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.credentials import Consumer, Strategy
from infra.kubernetes.workloads import open_workload
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from testing.walkthrough import DATABASE
from tests.crash.cases import find_case
from tests.crash.faulty import nothing_lost, rotate
from tests.crash.scene import CLIENT, DEPLOYMENTS, NAMESPACE, Scene

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
OWNERS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
COMPLETED = {"phase": "Succeeded"}


def leave_pod(scene: Scene, consumer: Consumer, name: str, status: dict[str, Any], owner: dict[str, Any]) -> None:
    """Make a pod that has ended, and give it the labels of a consumer's pods only then: its owner would delete it."""
    spec = {"nodeName": "gone", "containers": [{"name": "main", "image": "postgres:14"}]}
    scene.cluster.request("POST", PODS, {}, {"metadata": {"name": name}, "spec": spec})
    merge = "application/merge-patch+json"
    scene.cluster.request("PATCH", f"{PODS}/{name}/status", {}, {"status": status}, merge)
    deployment = scene.cluster.get(f"{DEPLOYMENTS}/{consumer.workload.name}")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    scene.cluster.patch(f"{PODS}/{name}", {"metadata": {"labels": labels, "ownerReferences": [owner]}})


@contextmanager
def finished_pods(scene: Scene, consumer: Consumer) -> Iterator[list[str]]:
    """Leave an evicted pod of a consumer and a completed one of somebody else with its labels, for a block."""
    name = consumer.workload.name
    (pod,) = open_workload(scene.cluster, consumer.workload).get().pods
    own = scene.cluster.get(f"{PODS}/{pod.name}")["metadata"]["ownerReferences"][0]
    made = scene.cluster.request("POST", OWNERS, {}, {"metadata": {"name": f"{name}-job"}})
    uid = made["metadata"]["uid"]
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"{name}-job", "uid": uid, "controller": True}
    leave_pod(scene, consumer, f"{name}-evicted", EVICTED, own)
    leave_pod(scene, consumer, f"{name}-completed", COMPLETED, other)
    names = [f"{name}-evicted", f"{name}-completed"]
    try:
        yield names
    finally:
        for left in names:
            scene.cluster.delete(f"{PODS}/{left}", gracePeriodSeconds="0")
        scene.cluster.delete(f"{OWNERS}/{name}-job")


@pytest.mark.parametrize("sync", [Sync.WAIT, Sync.EXPRESS])
@pytest.mark.parametrize("strategy", [Strategy.RECREATE, Strategy.IN_PLACE])
def test_a_rotation_succeeds_beside_pods_that_have_finished(scene: Scene, strategy: Strategy, sync: Sync) -> None:
    scene.lab.faults.clear_faults()
    case = find_case(strategy, sync)
    with case.prepared(scene), finished_pods(scene, DATABASE) as first, finished_pods(scene, CLIENT) as second:
        with nothing_lost(scene, case.credential) as before:
            ended = rotate(case.credential, sync=sync)
            assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
        case.check_after_rotation(scene, before)
        left = {pod["metadata"]["name"] for pod in scene.cluster.get(PODS)["items"]}
        assert {*first, *second} <= left, "nobody but the test deletes them"
