"""StatefulSets, DaemonSets and CronJobs through the adapter: restarted, waited for, and which pods are theirs."""

from typing import Any

import pytest

from infra.credentials import WorkloadKind, WorkloadRef
from infra.kubernetes.autoscalers import find_autoscalers
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from testing.cluster_world import Then, World, reference

READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
STATUS = {
    WorkloadKind.STATEFUL_SET: ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"),
    WorkloadKind.DAEMON_SET: (
        *("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled"),
        *("numberReady", "numberAvailable"),
    ),
}
TEMPLATE = {
    "metadata": {"labels": {"app": "db"}},
    "spec": {"containers": [{"name": "db", "image": "postgres:14"}]},
}


def opened(world: World, kind: WorkloadKind) -> WorkloadHandle:
    return open_workload(world.cluster, WorkloadRef(kind=kind, namespace=world.namespace, name="db"))


def make(world: World, kind: WorkloadKind, **spec: Any) -> dict[str, Any]:
    """Make the workload `db`; its controller is the test."""
    body = {"selector": {"matchLabels": {"app": "db"}}, "template": TEMPLATE, **spec}
    item = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "db"}, "spec": body}
    return world.put(f"{kind.lower()}s", item, "apis/apps/v1")


def settle(world: World, kind: WorkloadKind, generation: int, **counts: int) -> None:
    names = dict.fromkeys(STATUS[kind], 1) | {"observedGeneration": generation, **counts}
    world.set_status(f"{kind.lower()}s", "db", names, "apis/apps/v1")


@pytest.mark.parametrize("kind", STATUS)
def test_a_restart_is_over_when_the_controller_says_that_its_pods_are_new(world: World, kind: WorkloadKind) -> None:
    made = make(world, kind)
    handle, owners = opened(world, kind), [reference(kind, made)]
    uid = world.pod("db-0", READY, ownerReferences=owners)
    world.pod("other", READY)
    settle(world, kind, 1)
    assert handle.get().settled
    handle.restart("r1", "41")
    assert not handle.get().settled, "its controller has not seen the restart"
    template = world.cluster.get(handle.path)["spec"]["template"]
    assert template["metadata"]["annotations"]["keyturn/restarted-for"] == "r1"
    settle(world, kind, 2, **{STATUS[kind][1 if kind is WorkloadKind.STATEFUL_SET else 2]: 0})
    then = Then(lambda: settle(world, kind, 2))
    found = handle.wait_for_ready(10, then)
    assert then.heard == ["1 of 1 pods ready"], "the pod before is ready, and not believed"
    assert [pod.uid for pod in found.pods] == [uid]
    assert (found.replicas, found.restart.restarted_for, found.restart.secret_version) == (1, "r1", "41")


def test_a_stateful_set_is_stopped_and_started_as_a_deployment_is(world: World) -> None:
    make(world, WorkloadKind.STATEFUL_SET, replicas=2)
    handle = opened(world, WorkloadKind.STATEFUL_SET)
    handle.stop()
    assert (handle.get().replicas, handle.get().restart.stopped_replicas) == (0, 2)
    assert handle.start("r1") == 2


def test_the_claims_of_a_stateful_set_keep_the_databases_files(world: World) -> None:
    mounts = [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]
    container = {"name": "db", "image": "postgres:14", "volumeMounts": mounts}
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    template = {**TEMPLATE, "spec": {"containers": [container]}}
    make(world, WorkloadKind.STATEFUL_SET, template=template, volumeClaimTemplates=[claim])
    assert opened(world, WorkloadKind.STATEFUL_SET).get().keeps_pgdata


def test_the_runs_of_a_cron_job_are_the_pods_of_its_jobs_that_have_not_ended(world: World) -> None:
    template = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}
    spec = {"schedule": "0 4 * * *", "suspend": True, "jobTemplate": {"spec": {"template": template}}}
    made = world.put("cronjobs", {"metadata": {"name": "db"}, "spec": spec}, "apis/batch/v1")
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "controller": True, "name": "db"}
    jobs = {}
    for name, owners in {"db-1": [{**owner, "uid": made["metadata"]["uid"]}], "other": []}.items():
        item = {"metadata": {"name": name, "ownerReferences": owners}, "spec": {"template": template}}
        jobs[name] = world.put("jobs", item, "apis/batch/v1")
    for name, job in jobs.items():
        owners, labels = [reference("Job", job) | {"apiVersion": "batch/v1"}], {"job-name": name}
        world.pod(f"{name}-done", {"phase": "Succeeded"}, labels=labels, ownerReferences=owners)
        world.pod(f"{name}-runs", READY, labels=labels, ownerReferences=owners)
    found = opened(world, WorkloadKind.CRON_JOB).get()
    assert [pod.name for pod in found.pods] == ["db-1-runs"]
    assert (found.replicas, found.keeps_pgdata) == (0, False)


def test_the_autoscalers_of_a_workload_are_those_that_target_its_kind_and_name(world: World) -> None:
    for name, kind, target in (("db", "Deployment", "db"), ("set", "StatefulSet", "db"), ("web", "Deployment", "web")):
        reference = {"apiVersion": "apps/v1", "kind": kind, "name": target}
        spec = {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 5}
        world.put("horizontalpodautoscalers", {"metadata": {"name": name}, "spec": spec}, "apis/autoscaling/v1")
    assert find_autoscalers(world.cluster, world.workload.ref) == ("db, 2 to 5 pods",)
    other = opened(world, WorkloadKind.DAEMON_SET).ref
    assert find_autoscalers(world.cluster, other) == ()
