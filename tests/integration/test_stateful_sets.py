"""A StatefulSet whose pods are not ready once the password has changed, restarted with the lab's controller.

No node takes part: the tests say which pods are ready.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.credentials import WorkloadKind, WorkloadRef
from infra.errors import WorkloadUnhealthy
from infra.kubernetes.client import Cluster
from infra.kubernetes.waiting import Progress
from infra.kubernetes.workload_handle import RESTARTED_FOR
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from testing.cluster_world import World
from testing.waiting import eventually

LABELS = {"app": "db"}
TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "db", "image": "postgres:14"}], "terminationGracePeriodSeconds": 0},
}
ALL = ["db-0", "db-1", "db-2"]


class Sets(World):
    """A namespace with the StatefulSet `db`, whose pods log in by their readiness probes."""

    @property
    def handle(self) -> WorkloadHandle:
        ref = WorkloadRef(kind=WorkloadKind.STATEFUL_SET, namespace=self.namespace, name="db")
        return open_workload(self.cluster, ref)

    def make(self, **spec: Any) -> None:
        """Make it with three pods, and wait until all are ready."""
        body = {"serviceName": "db", "replicas": 3, "selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec}
        self.put("statefulsets", {"metadata": {"name": "db"}, "spec": body}, "apis/apps/v1")

        def is_ready() -> bool:
            self.probe("")
            return self.handle.get().settled

        eventually(is_ready, "three ready pods")

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cluster.get(self.path("pods"))["items"]
        return found

    def probe(self, mark: str) -> None:
        """Say of each pod whether it logs in: those of this restart do."""
        self.set_readiness(lambda pod: (pod["metadata"].get("annotations") or {}).get(RESTARTED_FOR, "") == mark)


@pytest.fixture
def sets(controlled_cluster: Cluster, numbers: Iterator[int]) -> Sets:
    return Sets(controlled_cluster, f"sets-{next(numbers)}")


def test_a_restart_replaces_pods_that_lost_their_login_one_after_the_other(sets: Sets) -> None:
    sets.make()
    before = {pod["metadata"]["uid"] for pod in sets.pods()}
    sets.probe("r1")
    sets.handle.restart("r1", "41")
    replaced: list[str] = []

    def look(_: Progress) -> None:
        sets.probe("r1")
        new = [pod["metadata"]["name"] for pod in sets.pods() if pod["metadata"]["uid"] not in before]
        replaced.extend(name for name in new if name not in replaced)

    found = sets.handle.wait_for_ready(30, look)
    assert [pod.name for pod in found.pods] == ALL
    assert not {pod.uid for pod in found.pods} & before
    assert replaced == sorted(replaced), "the lowest ordinal first, and each when the one before was ready"


def test_pods_that_the_restart_made_stay_although_they_are_not_ready(sets: Sets) -> None:
    sets.make()
    sets.handle.restart("r1", "41")
    sets.handle.wait_for_ready(30, lambda _: sets.probe("r1"))
    sets.probe("a later one")
    before = {pod["metadata"]["uid"] for pod in sets.pods()}
    with pytest.raises(WorkloadUnhealthy) as caught:
        sets.handle.wait_for_ready(2)
    assert "db" in caught.value.name
    assert {pod["metadata"]["uid"] for pod in sets.pods()} == before


def test_no_pod_is_deleted_where_nobody_asked_for_a_restart(sets: Sets) -> None:
    sets.make()
    sets.probe("nobody")
    before = {pod["metadata"]["uid"] for pod in sets.pods()}
    with pytest.raises(WorkloadUnhealthy) as caught:
        sets.handle.wait_for_ready(2)
    assert "db" in caught.value.name
    assert {pod["metadata"]["uid"] for pod in sets.pods()} == before
