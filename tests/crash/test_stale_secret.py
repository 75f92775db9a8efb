"""A driver that comes late: it writes old values into the synced Secret while the clients restart."""

import base64

import pytest

from infra.kubernetes.client import MERGE_PATCH
from infra.rotation.steps import Action
from infra.rotation.verdict import Verdict
from infra.targets import Strategy, Sync
from tests.crash.cases import Case
from tests.crash.faulty import between, nothing_lost, rotate
from tests.crash.scene import DATABASE, KEYS, Pair, Scene


@pytest.mark.parametrize("action", [Action.RESTART, Action.AWAIT_READY])
def test_a_client_that_may_have_begun_with_old_values_is_restarted_once_more(scene: Scene, action: Action) -> None:
    case = Case(Strategy.IN_PLACE, Sync.EXPRESS)
    path = f"/api/v1/namespaces/{DATABASE.namespace}/secrets/{DATABASE.synced_secret}"

    def write(pair: Pair) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in zip(KEYS, pair, strict=True)}
        scene.cluster.request("PATCH", path, {}, {"data": data}, MERGE_PATCH)

    def come_late() -> None:
        write(before)
        if action is Action.AWAIT_READY:
            write(scene.newest(case.target))  # the next look corrects it, and nobody sees that it was wrong

    scene.lab.faults.clear_faults()
    with case.prepared(scene), nothing_lost(scene, case.target) as before:
        scene.lab.faults.switch("sync-paused")
        with between(come_late, action):
            ended = rotate(case.target)
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert scene.environments() == [scene.newest(case.target)]
        scene.lab.faults.clear_faults()
        case.check_after(scene, before)
        generation = scene.cluster.get(f"/apis/apps/v1/namespaces/{DATABASE.namespace}/deployments/client")
        assert generation["metadata"]["generation"] == (2 if action is Action.RESTART else 3)
