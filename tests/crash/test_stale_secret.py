"""A driver that comes late: it writes old values into the synced Secret while the clients restart."""

import base64
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from infra.kubernetes.client import MERGE_PATCH
from infra.kubernetes.workloads import get_workload
from infra.rotation.steps import Action
from infra.rotation.verdict import Verdict
from infra.targets import Strategy, Sync
from tasks import scaling
from tests.crash.cases import Case
from tests.crash.faulty import Interrupted, between, nothing_lost, rotate
from tests.crash.scene import CLIENT, DATABASE, DEPLOYMENTS, KEYS, Pair, Scene

CASE = Case(Strategy.IN_PLACE, Sync.EXPRESS)
SECRET = f"/api/v1/namespaces/{DATABASE.namespace}/secrets/{DATABASE.synced_secret}"


def write(scene: Scene, pair: Pair) -> None:
    """Put a pair into the synced Secret."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in zip(KEYS, pair, strict=True)}
    scene.cluster.request("PATCH", SECRET, {}, {"data": data}, MERGE_PATCH)


@pytest.fixture
def late(scene: Scene) -> Iterator[Scene]:
    """A client, and a driver that does nothing but what a test does for it."""
    scene.lab.faults.clear_faults()
    with CASE.prepared(scene):
        scene.lab.faults.switch("sync-paused")
        yield scene
        scene.lab.faults.clear_faults()


def assert_restarted(scene: Scene, before: Pair, times: int) -> None:
    """See that all is well, and how often the client was restarted."""
    assert scene.environments() == [scene.newest(CASE.target)]
    scene.lab.faults.clear_faults()
    CASE.check_after(scene, before)
    client = scene.cluster.get(f"{DEPLOYMENTS}/{CLIENT.workload}")
    assert client["metadata"]["generation"] == 1 + times


@pytest.mark.parametrize(("action", "times"), [(Action.RESTART, 1), (Action.AWAIT_READY, 2)])
def test_a_client_that_may_have_begun_with_old_values_is_restarted_once_more(
    late: Scene, action: Action, times: int
) -> None:
    def come_late() -> None:
        write(late, before)
        if action is Action.AWAIT_READY:
            write(late, late.newest(CASE.target))  # the next look corrects it, and nobody sees that it was wrong

    with nothing_lost(late, CASE.target) as before:
        with between(come_late, action):
            ended = rotate(CASE.target)
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert_restarted(late, before, times)


def test_the_next_run_looks_for_it_where_the_last_one_died_before_it_could(late: Scene) -> None:
    def come_late_and_die(_: object) -> None:
        write(late, before)
        write(late, late.newest(CASE.target))
        raise Interrupted

    with nothing_lost(late, CASE.target) as before:
        with patch.object(scaling, "_restart_again", come_late_and_die), pytest.raises(Interrupted):
            rotate(CASE.target)
        assert_client_is_ready(late)
        ended = rotate(CASE.target)
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert_restarted(late, before, 2)


def assert_client_is_ready(scene: Scene) -> None:
    """See that nothing but the check is left to do for it."""
    workload = get_workload(scene.cluster, CLIENT.namespace, CLIENT.workload)
    assert workload.settled
