"""Workloads and load balancers: read, stopped, restarted, waited for. The tests write what controllers report."""

from itertools import count
from typing import Any

import pytest

from infra.credentials import WorkloadRef
from infra.errors import NotFound, WorkloadUnhealthy
from infra.kubernetes.client import Cluster
from infra.kubernetes.pods import list_pods
from infra.kubernetes.services import get_load_balancer, list_services, wait_for_load_balancer
from infra.kubernetes.waiting import Progress
from infra.kubernetes.workloads import RestartFacts, open_workload
from testing.cluster_world import Then, World, reference

FINISHED = [{"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource"}, {"phase": "Succeeded"}]
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def written(world: World) -> dict[str, Any]:
    """The Deployment `db` as the API server has it."""
    return world.cluster.get(world.path("deployments", "db", "apis/apps/v1"))


def scale(world: World, replicas: int) -> None:
    """Scale the Deployment `db` as a person does."""
    world.cluster.patch(world.path("deployments", "db", "apis/apps/v1"), {"spec": {"replicas": replicas}})


def test_a_stop_sets_the_wanted_pods_and_nothing_else(world: World) -> None:
    world.deployment(replicas=1)
    before, spec = world.workload.get(), written(world)["spec"]
    world.workload.stop()
    after = world.workload.get()
    assert (before.replicas, after.replicas) == (1, 0)
    assert written(world)["metadata"]["generation"] == 2
    assert written(world)["spec"] == spec | {"replicas": 0}


def test_stopping_what_does_not_exist_is_an_error_that_names_it(world: World) -> None:
    with pytest.raises(NotFound) as caught:
        open_workload(world.cluster, WorkloadRef(namespace=world.namespace, name="nosuch")).stop()
    assert "nosuch" in caught.value.name


def test_a_stop_remembers_the_replicas_and_a_start_brings_them_back(world: World) -> None:
    world.deployment(replicas=2)
    for _ in range(2):
        world.workload.stop()
        stopped = world.workload.get()
        assert (stopped.replicas, stopped.restart) == (0, RestartFacts(stopped_replicas=2))
    assert world.workload.start("r1") == 2
    started = world.workload.get()
    assert (started.replicas, started.restart) == (2, RestartFacts(restarted_for="r1"))
    assert world.workload.start("r1") == 2


def test_a_start_of_what_a_person_scaled_to_0_wants_one_pod(world: World) -> None:
    world.deployment(replicas=2)
    scale(world, 0)
    assert world.workload.start("r1") == 1


def test_a_restart_marks_the_deployment_and_its_pods_in_one_write(world: World) -> None:
    world.deployment(replicas=2)
    before = written(world)["metadata"]["generation"]
    world.workload.restart("r1")
    assert world.workload.get().restart == RestartFacts(restarted_for="r1")
    after = written(world)
    assert after["spec"]["replicas"] == 2
    assert after["spec"]["template"]["metadata"]["annotations"]["keyturn/restarted-for"] == "r1"
    assert after["metadata"]["generation"] == before + 1
    world.workload.restart("r1")
    assert written(world)["metadata"]["generation"] == before + 1, "the same mark replaces no pod again"


def test_a_restart_with_another_version_of_the_secret_replaces_the_pods_again(world: World) -> None:
    world.deployment(replicas=2)
    world.workload.restart("r1", "41")
    generation = written(world)["metadata"]["generation"]
    world.workload.restart("r1", "41")
    assert written(world)["metadata"]["generation"] == generation
    world.workload.restart("r1", "42")
    assert written(world)["metadata"]["generation"] > generation
    assert world.workload.get().restart == RestartFacts(restarted_for="r1", secret_version="42")
    template = written(world)["spec"]["template"]
    world.workload.mark_start_checked()
    assert world.workload.get().restart == RestartFacts(restarted_for="r1")
    assert written(world)["spec"]["template"] == template, "what is checked replaces no pod"


def test_pods_are_gone_when_the_last_one_is(world: World) -> None:
    world.deployment(replicas=0)
    world.pod("db-1")
    world.pod("db-2")

    def remove(name: str) -> None:
        world.cluster.delete(world.path("pods", name), gracePeriodSeconds="0")

    then = Then(lambda: remove("db-1"), lambda: remove("db-2"))
    world.workload.wait_for_pods_gone(10, then)
    assert then.heard[0] == "db-1 is running, db-2 is running"
    assert list_pods(world.cluster, world.namespace) == ()


def test_pods_that_stay_are_named(world: World) -> None:
    world.deployment(replicas=0)
    world.pod("db-1")
    with pytest.raises(WorkloadUnhealthy) as caught:
        world.workload.wait_for_pods_gone(0.2)
    assert (caught.value.code, caught.value.seen) == ("PodsLeft", "db-1 is running after 0.2 s")


def test_a_pod_that_runs_is_not_waited_for_where_only_terminating_ones_count(world: World) -> None:
    world.deployment()
    world.pod("db-1", READY)
    world.workload.wait_for_pods_gone(0.2, terminating_only=True)
    assert [pod.name for pod in list_pods(world.cluster, world.namespace)] == ["db-1"]


@pytest.mark.parametrize("status", FINISHED, ids=["evicted", "completed"])
def test_a_finished_pod_is_none_of_the_workloads(world: World, status: dict[str, Any]) -> None:
    world.deployment()
    world.pod("db-0", status)
    uid = world.pod("db-1", READY)
    world.settle()
    found = world.workload.wait_for_ready(10)
    assert [pod.uid for pod in found.pods] == [uid]
    assert found.live_pods == {uid: "db-1"}
    world.cluster.delete(world.path("pods", "db-1"), gracePeriodSeconds="0")
    world.workload.wait_for_pods_gone(0.2)


@pytest.mark.parametrize("is_owned", [False, True], ids=["nobody's", "another ReplicaSet's"])
def test_a_pod_that_only_has_the_same_labels_is_none_of_the_workloads(world: World, is_owned: bool) -> None:
    world.deployment()
    uid = world.pod("db-1", READY)
    owners = [reference("ReplicaSet", world.replica_set("other-7c9b", []))] if is_owned else []
    world.pod("other", {"phase": "Pending"}, ownerReferences=owners)
    world.settle()
    assert [pod.uid for pod in world.workload.wait_for_ready(10).pods] == [uid]
    world.cluster.delete(world.path("pods", "db-1"), gracePeriodSeconds="0")
    world.workload.wait_for_pods_gone(0.2)
    assert [pod.name for pod in list_pods(world.cluster, world.namespace)] == ["other"]


def test_a_pod_that_does_not_get_ready_is_explained_and_a_finished_one_is_not(world: World) -> None:
    world.deployment()
    world.pod("db-0", FINISHED[0])
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off"}
    container = {"name": "db", "image": "postgres:14", "imageID": "", "ready": False, "restartCount": 0}
    world.pod("db-1", {"phase": "Running", "containerStatuses": [container | {"state": {"waiting": waiting}}]})
    with pytest.raises(WorkloadUnhealthy) as caught:
        world.workload.wait_for_ready(0.2)
    assert caught.value.code == "CrashLoopBackOff"
    assert "db-0" not in str(caught.value)


@pytest.mark.parametrize(("replica_set", "counts"), [("db-7c9b", True), ("other-7c9b", False)])
def test_a_terminating_pod_counts_when_its_replica_set_is_forgotten_already(
    world: World, replica_set: str, counts: bool
) -> None:
    world.deployment(revisionHistoryLimit=0)
    forgotten = reference("ReplicaSet", world.replica_set(replica_set, []))
    labels = {"app": "db", "pod-template-hash": "7c9b"}
    world.pod("db-1", {"phase": "Running"}, labels=labels, ownerReferences=[forgotten], finalizers=["keyturn/test"])
    world.cluster.delete(world.path("replicasets", replica_set, "apis/apps/v1"))
    world.cluster.delete(world.path("pods", "db-1"), gracePeriodSeconds="0")
    assert [pod.name for pod in world.workload.get().pods] == (["db-1"] if counts else [])
    world.cluster.patch(world.path("pods", "db-1"), {"metadata": {"finalizers": None}})
    world.workload.wait_for_pods_gone(10, terminating_only=True)


def test_a_selector_may_be_an_expression(world: World) -> None:
    expressions = [{"key": "app", "operator": "In", "values": ["db"]}, {"key": "job", "operator": "DoesNotExist"}]
    world.deployment(selector={"matchExpressions": expressions})
    uid = world.pod("db-1", READY)
    world.pod("db-2", READY, labels={"app": "db", "job": "yes"})
    assert [pod.uid for pod in world.workload.get().pods] == [uid]


def test_a_workload_is_ready_when_its_controller_and_its_pods_say_so(world: World) -> None:
    world.deployment()
    then = Then(lambda: (world.pod("db-1", READY), world.settle()))
    found = world.workload.wait_for_ready(10, then)
    assert found.settled
    assert [pod.ready for pod in found.pods] == [True]
    assert then.heard == ["0 of 1 pods ready"]


def test_a_report_about_the_spec_before_is_not_believed(world: World) -> None:
    world.deployment()
    world.pod("db-1", READY)
    world.settle()
    scale(world, 0)
    scale(world, 1)
    assert not world.workload.get().settled


def test_pods_that_do_not_get_ready_in_time_are_explained(world: World) -> None:
    world.deployment()
    uid = world.pod("db-1", {"phase": "Pending"})
    world.event("FailedMount", "MountVolume.SetUp failed: AADSTS700213: no match", "Pod", "db-1", uid)
    with pytest.raises(WorkloadUnhealthy) as caught:
        world.workload.wait_for_ready(0.2)
    assert caught.value.code == "AADSTS700213"
    assert caught.value.name == f"db in {world.namespace}"
    assert "federated credential's subject" in caught.value.fix


def test_of_a_namespaces_events_only_warnings_are_fetched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy namespace has thousands of others, and each change of a pod asks again."""
    fetched: list[str] = []
    get = Cluster.get

    def listen(cluster: Cluster, path: str, **query: str) -> Any:
        found = get(cluster, path, **query)
        if path.endswith("/events"):
            fetched.extend(event["reason"] for event in found["items"])
        return found

    monkeypatch.setattr(Cluster, "get", listen)
    world.deployment()
    uid = world.pod("db-1", {"phase": "Pending"})
    world.event("Scheduled", "assigned to a node", "Pod", "db-1", uid, level="Normal")
    world.event("FailedMount", "MountVolume.SetUp failed", "Pod", "db-1", uid)
    with pytest.raises(WorkloadUnhealthy):
        world.workload.wait_for_ready(0.2)
    uid = balancer(world)
    world.event("EnsuringLoadBalancer", "Ensuring load balancer", "Service", "dexter-service", uid, level="Normal")
    with pytest.raises(WorkloadUnhealthy):
        wait_for_load_balancer(world.cluster, world.namespace, "dexter-service", 0.2)
    assert set(fetched) == {"FailedMount"}


def test_a_permanent_cause_ends_the_wait_early(world: World) -> None:
    world.deployment()
    waiting = {"reason": "CreateContainerConfigError", "message": "couldn't find key X in Secret dexter/userpass"}
    container = {"name": "db", "image": "postgres:14", "imageID": "", "ready": False, "restartCount": 0}
    world.pod("db-1", {"phase": "Pending", "containerStatuses": [container | {"state": {"waiting": waiting}}]})
    seconds = count(step=5)
    with pytest.raises(WorkloadUnhealthy) as caught:
        world.workload.wait_for_ready(100_000, clock=lambda: float(next(seconds)))
    assert caught.value.code == "SecretKeyMissing"
    assert next(seconds) < 1000


def progress(world: World, at_seconds: int, status: str = "True", reason: str = "ReplicaSetUpdated") -> None:
    """Report the condition Progressing as the Deployment's controller does."""
    condition = {"type": "Progressing", "status": status, "reason": reason, "message": f"{reason} of db-5f6d"}
    condition["lastUpdateTime"] = condition["lastTransitionTime"] = f"2026-01-01T00:00:{at_seconds:02}Z"
    generation = written(world)["metadata"]["generation"]
    reported = {"observedGeneration": generation, "conditions": [condition]}
    world.set_status("deployments", "db", reported, "apis/apps/v1")


class SteppedClock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rollout_that_progresses_is_waited_for_beyond_the_timeout(world: World) -> None:
    world.deployment(replicas=3)
    clock, uids = SteppedClock(), list[str]()

    def next_pod() -> None:
        clock.now += 90
        uids.append(world.pod(f"db-{len(uids)}", READY))
        progress(world, len(uids))
        if len(uids) == 3:
            world.settle(3)

    found = world.workload.wait_for_ready(100, Then(*[next_pod] * 3), clock)
    assert clock.now == 270
    assert {pod.uid for pod in found.pods} == set(uids)


def test_a_rollout_that_progresses_for_ever_is_given_up_when_every_pod_had_its_time(world: World) -> None:
    world.deployment(replicas=3)
    clock, times = SteppedClock(), count(1)

    def flap(_: Progress) -> None:
        clock.now += 90
        progress(world, next(times))

    with pytest.raises(WorkloadUnhealthy):
        world.workload.wait_for_ready(100, flap, clock)
    assert 300 <= clock.now <= 450


def test_a_rollout_without_progress_is_waited_for_until_the_timeout(world: World) -> None:
    world.deployment(replicas=3)
    progress(world, 1)
    clock = SteppedClock()

    def pass_time(_: Progress) -> None:
        clock.now += 40
        counts = dict.fromkeys(("replicas", "readyReplicas"), int(clock.now))
        world.set_status("deployments", "db", counts, "apis/apps/v1")

    with pytest.raises(WorkloadUnhealthy):
        world.workload.wait_for_ready(100, pass_time, clock)
    assert 120 <= clock.now <= 160


def test_a_rollout_that_its_controller_gives_up_fails_at_once(world: World) -> None:
    world.deployment()
    world.pod("db-1", {"phase": "Running"})
    progress(world, 1, "False", "ProgressDeadlineExceeded")
    then = Then()
    with pytest.raises(WorkloadUnhealthy) as caught:
        world.workload.wait_for_ready(100_000, then)
    assert (caught.value.code, len(then.heard)) == ("ProgressDeadlineExceeded", 1)
    assert "The pod is being started" in caught.value.seen
    assert "ProgressDeadlineExceeded of db-5f6d" in caught.value.seen


def test_a_rollout_that_was_given_up_before_a_restart_says_nothing_about_the_restart(world: World) -> None:
    world.deployment()
    progress(world, 1, "False", "ProgressDeadlineExceeded")
    world.workload.restart("r1")

    def roll_out() -> None:
        world.pod("db-1", READY)
        world.settle()

    assert world.workload.wait_for_ready(10, Then(roll_out)).settled


def test_a_paused_rollout_is_told_and_ends_the_wait_early(world: World) -> None:
    world.deployment(paused=True)
    world.pod("db-1", READY)
    assert world.workload.get().paused
    seconds = count(step=5)
    with pytest.raises(WorkloadUnhealthy) as caught:
        world.workload.wait_for_ready(100_000, clock=lambda: float(next(seconds)))
    assert (caught.value.code, caught.value.what) == ("Paused", "The rollout is paused")
    assert f"kubectl rollout resume deployment/db -n {world.namespace}" in caught.value.fix
    assert next(seconds) < 1000


def test_what_a_check_raises_ends_the_wait(world: World) -> None:
    world.deployment()

    def check() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        world.workload.wait_for_ready(100, check=check)
    world.pod("db-1", READY)
    world.settle()
    assert world.workload.wait_for_ready(10, check=check).settled


def test_a_workload_that_does_not_exist_is_not_waited_for(world: World) -> None:
    with pytest.raises(NotFound):
        open_workload(world.cluster, WorkloadRef(namespace=world.namespace, name="nosuch")).wait_for_ready(100)


def balancer(world: World) -> str:
    spec = {"type": "LoadBalancer", "ports": [{"port": 5432, "targetPort": 5432}], "selector": {"app": "db"}}
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dexter-service"}, "spec": spec}
    return str(world.put("services", item)["metadata"]["uid"])


def test_a_load_balancer_is_waited_for_until_it_has_an_address(world: World) -> None:
    balancer(world)
    status = {"loadBalancer": {"ingress": [{"ip": "127.77.200.1"}]}}
    then = Then(lambda: world.set_status("services", "dexter-service", status))
    found = wait_for_load_balancer(world.cluster, world.namespace, "dexter-service", 10, then)
    assert found == get_load_balancer(world.cluster, world.namespace, "dexter-service") == ("127.77.200.1", 5432)
    [service] = list_services(world.cluster, world.namespace)
    assert (service.kind, service.address, service.ports) == ("LoadBalancer", "127.77.200.1", "5432/TCP")


def test_a_load_balancer_without_address_is_explained_by_its_event(world: World) -> None:
    uid = balancer(world)
    world.event("SyncLoadBalancerFailed", "PublicIPCountLimitReached", "Service", "dexter-service", uid)
    with pytest.raises(WorkloadUnhealthy) as caught:
        wait_for_load_balancer(world.cluster, world.namespace, "dexter-service", 0.2)
    assert caught.value.code == "SyncLoadBalancerFailed"
    assert "PublicIPCountLimitReached" in caught.value.seen


def test_a_service_that_does_not_exist_is_not_waited_for(world: World) -> None:
    with pytest.raises(NotFound):
        wait_for_load_balancer(world.cluster, world.namespace, "nosuch", 100)
