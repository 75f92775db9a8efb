"""Argo Rollouts through the adapter, with the lab's controller: restarted without a canary, once, and whose pods are.

No node takes part: the tests say which pods are ready.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.credentials import WorkloadKind, WorkloadRef
from infra.errors import WorkloadUnhealthy
from infra.kubernetes.client import Cluster
from infra.kubernetes.discovery import list_templates
from infra.kubernetes.obstacles import read_obstacles
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from testing.cluster_world import World
from testing.rollouts import install_rollouts, rollout
from testing.waiting import eventually
from testing.walkthrough import DATABASE, consumer_like

API = "apis/argoproj.io/v1alpha1"
LABELS = {"app": "db"}
SPEC = {
    "replicas": 2,
    "selector": {"matchLabels": LABELS},
    "template": {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "db", "image": "postgres:14"}], "terminationGracePeriodSeconds": 0},
    },
}
NEW_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "postgres:15"}]}}}}


@pytest.fixture(scope="module")
def argo(controlled_cluster: Cluster) -> Cluster:
    """The cluster with its controllers, and Argo's."""
    install_rollouts(controlled_cluster)
    return controlled_cluster


class Rollouts(World):
    """A namespace with the Rollout `db`."""

    @property
    def handle(self) -> WorkloadHandle:
        ref = WorkloadRef(kind=WorkloadKind.ROLLOUT, namespace=self.namespace, name="db")
        return open_workload(self.cluster, ref)

    def make(self, **spec: Any) -> None:
        self.put("rollouts", rollout("db", self.namespace, **{**SPEC, **spec}), API)
        self.settle_at("Healthy")

    def change(self, patch: dict[str, Any]) -> None:
        self.cluster.patch(self.path("rollouts", "db", API), patch)

    def item(self) -> dict[str, Any]:
        return self.cluster.get(self.path("rollouts", "db", API))

    def settle_at(self, phase: str) -> dict[str, Any]:
        """Make every pod ready until the Rollout is in this phase."""

        def look() -> dict[str, Any] | None:
            self.set_readiness(lambda _: True)
            found = self.item()
            status, generation = found.get("status") or {}, str(found["metadata"]["generation"])
            is_there = (status.get("phase"), status.get("observedGeneration")) == (phase, generation)
            is_settled = phase != "Healthy" or self.handle.get().settled
            return found if is_there and is_settled else None

        return eventually(look, f"the phase {phase}")

    def images(self) -> list[str]:
        return sorted(image for pod in self.handle.get().pods for image in pod.images)


@pytest.fixture
def space(argo: Cluster, numbers: Iterator[int]) -> Rollouts:
    return Rollouts(argo, f"argo-{next(numbers)}")


def test_a_restart_replaces_every_pod_of_the_same_template_one_at_a_time_and_is_made_once(space: Rollouts) -> None:
    space.make()
    before, template = space.handle.get(), space.item()["spec"]["template"]
    assert (before.replicas, before.settled, len(before.pods)) == (2, True, 2)
    space.handle.restart("r1", "41")
    assert not space.handle.get().settled, "its controller has not seen the restart"
    asked = space.item()
    space.handle.restart("r1", "41")
    assert space.item()["spec"] == asked["spec"], "the same restart is not asked for twice"
    space.settle_at("Healthy")
    after = space.handle.wait_for_ready(10)
    assert not after.live_pods.keys() & before.live_pods.keys()
    assert (after.restart.restarted_for, after.restart.secret_version) == ("r1", "41")
    space.handle.mark_start_checked()
    space.handle.restart("r1", "41")
    assert space.handle.get().settled, "nor after it is over"
    assert space.item()["spec"]["template"] == template
    owned = space.cluster.get(space.path("replicasets", group="apis/apps/v1"))["items"]
    assert len(owned) == 1, "no canary began"
    space.handle.restart("r1", "42")
    assert space.item()["spec"]["restartAt"] > asked["spec"]["restartAt"], "another Secret is another restart"


def test_a_change_of_the_template_stops_at_the_canarys_pause_and_a_restart_does_not(space: Rollouts) -> None:
    space.make(strategy={"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}})
    space.handle.restart("r1")
    space.settle_at("Healthy")
    assert read_pause(space) == ""
    space.change(NEW_IMAGE)
    space.settle_at("Paused")
    eventually(lambda: space.images() == ["postgres:14", "postgres:15"])
    assert read_pause(space) == "status.pauseConditions has CanaryPauseStep"
    with pytest.raises(WorkloadUnhealthy) as caught:
        space.handle.wait_for_ready(0.2)
    assert (caught.value.code, caught.value.what) == ("Paused", "The rollout is paused")
    assert f"kubectl argo rollouts promote db -n {space.namespace}" in caught.value.fix
    space.set_status("rollouts", "db", {"pauseConditions": None}, API)
    space.settle_at("Healthy")
    assert space.images() == ["postgres:15", "postgres:15"]


def read_pause(space: Rollouts) -> str:
    consumer = consumer_like(
        DATABASE, namespace=space.namespace, name="db", kind=WorkloadKind.ROLLOUT, is_database=False
    )
    return read_obstacles(space.cluster, consumer).pause


def test_without_steps_a_change_of_the_template_is_a_rolling_update(space: Rollouts) -> None:
    space.make()
    space.change(NEW_IMAGE)
    space.settle_at("Healthy")
    assert space.images() == ["postgres:15", "postgres:15"]


def test_a_rollout_is_stopped_and_started_like_a_deployment(space: Rollouts) -> None:
    space.make()
    space.handle.stop()
    space.settle_at("Healthy")
    space.handle.wait_for_pods_gone(10)
    assert (space.handle.get().replicas, space.handle.get().restart.stopped_replicas) == (0, 2)
    assert space.handle.start("r1") == 2
    space.settle_at("Healthy")
    assert len(space.handle.wait_for_ready(10).pods) == 2


def test_a_template_is_read_from_the_deployment_that_has_it_and_the_deployment_is_no_reader(space: Rollouts) -> None:
    volume = {"name": "login", "secret": {"secretName": "userpass", "optional": True}}
    pod = {**SPEC["template"]["spec"], "volumes": [volume]}
    template = {**SPEC["template"], "spec": pod}
    deployment = {"metadata": {"name": "source"}, "spec": {**SPEC, "replicas": 0, "template": template}}
    space.put("deployments", deployment, "apis/apps/v1")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "source"}
    item = rollout("db", space.namespace, replicas=2, workloadRef=reference)
    space.put("rollouts", item, API)
    space.settle_at("Healthy")
    found = space.handle.get()
    assert (found.settled, len(found.pods)) == (True, 2)
    assert space.handle.template(space.item())["spec"]["volumes"][0]["secret"]["secretName"] == "userpass"
    listed = {key: spec for key, spec in list_templates(space.cluster, [space.namespace]) if key[1] == space.namespace}
    assert set(listed) == {("Rollout", space.namespace, "db")}
    assert listed["Rollout", space.namespace, "db"]["volumes"][0]["name"] == "login"
    space.cluster.patch(space.path("deployments", "source", "apis/apps/v1"), {"spec": {"replicas": 1}})
    both = {key[0] for key, _ in list_templates(space.cluster, [space.namespace]) if key[1] == space.namespace}
    assert both == {"Rollout", "Deployment"}, "it has pods of its own"


def test_what_the_labs_controller_does_not_know_is_an_invalid_spec(space: Rollouts) -> None:
    spec = {**SPEC, "strategy": {"blueGreen": {"activeService": "db"}}}
    space.put("rollouts", rollout("db", space.namespace, **spec), API)
    status = space.settle_at("Degraded")["status"]
    assert status["conditions"][0]["type"] == "InvalidSpec"
    assert not space.cluster.get(space.path("pods"))["items"]
