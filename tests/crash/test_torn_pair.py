"""A rotation that dies between its two writes: until the next run, nobody mounts one of each."""

import time

from infra.kubernetes.mounted_files import differing_files
from infra.kubernetes.provider_classes import HELD_FOR, path_of
from infra.kubernetes.workloads import get_workload
from infra.rotation.steps import Action
from infra.targets import Strategy, Sync
from tests.crash.cases import Case
from tests.crash.faulty import beginning
from tests.crash.guillotine import FIRST_WRITE, Cut, When
from tests.crash.scene import DATABASE, POLL_SECONDS, Pair, Scene

CASE = Case(Strategy.ALTERNATING, Sync.WAIT, keeps_clients=True)
PATH = path_of(DATABASE.namespace, DATABASE.secret_provider_class)
POLLS = 5


def assert_mounted(scene: Scene, pair: Pair) -> None:
    """See that the database's pod has both files of a pair, for several polls of the driver, and that it works."""
    (pod,) = get_workload(scene.cluster, DATABASE.namespace, DATABASE.workload).pods
    files = dict(zip(("/mederma/username", "/mederma/password"), pair, strict=True))
    deadline = time.monotonic() + POLLS * POLL_SECONDS
    while time.monotonic() < deadline:
        assert differing_files(scene.cluster, DATABASE.namespace, pod.name, files) == []
        assert scene.logs_in(CASE.target, pair)


def test_no_mount_mixes_the_two_when_the_rotation_dies_between_its_two_writes(scene: Scene) -> None:
    scene.lab.faults.clear_faults()
    with CASE.prepared(scene):
        before, spec = scene.newest(CASE.target), scene.cluster.get(PATH)["spec"]
        cut = Cut(beginning(Action.PUBLISH), FIRST_WRITE, When.AFTER)
        died = scene.zygote.run(CASE.target, CASE.options("torn"), cut)
        assert died.fell, died
        torn = scene.newest(CASE.target)
        assert (torn[0] != before[0], torn[1]) == (True, before[1]), "a new username and the old password"
        assert_mounted(scene, before)
    with scene.client():
        assert scene.environments() == [before], "a client that begins now gets both of before"
        ended = scene.zygote.run(CASE.target, CASE.options("torn"))
        assert ended.verdict == "Rotated", ended.message
        CASE.check_after(scene, before)
    found = scene.cluster.get(PATH)
    assert found["spec"] == spec
    assert HELD_FOR not in (found["metadata"].get("annotations") or {})
