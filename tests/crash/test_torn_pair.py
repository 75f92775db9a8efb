"""A rotation that dies between its two writes: until the next run, nobody mounts one of each."""

import time

from infra.credentials import Login, Strategy
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR, path_of
from infra.kubernetes.pods import find_differing_files
from infra.kubernetes.workloads import open_workload
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from testing.walkthrough import DATABASE
from tests.crash.cases import Case
from tests.crash.faulty import prefix_of
from tests.crash.guillotine import FIRST_WRITE, KillPoint, When
from tests.crash.scene import NAMESPACE, POLL_SECONDS, Scene

CASE = Case(Strategy.ALTERNATING, Sync.WAIT, clients_always_work=True)
CREDENTIAL = CASE.credential
PATH = path_of(NAMESPACE, DATABASE.delivery.secret_provider_class)
POLLS = 2


def assert_mounted(scene: Scene, login: Login) -> None:
    """Check for several polls of the driver that the database's pod has both files of a login, and that it works."""
    (pod,) = open_workload(scene.cluster, DATABASE.workload).get().pods
    files = dict(zip(("/mederma/username", "/mederma/password"), (login.username, login.password), strict=True))
    deadline = time.monotonic() + POLLS * POLL_SECONDS
    while time.monotonic() < deadline:
        assert find_differing_files(scene.cluster, NAMESPACE, pod.name, files) == []
        assert scene.logs_in(CREDENTIAL, login)


def test_no_mount_mixes_the_two_if_the_rotation_dies_between_its_two_writes(scene: Scene) -> None:
    scene.lab.faults.clear_faults()
    with CASE.prepared(scene):
        before, spec = scene.newest(CREDENTIAL), scene.cluster.get(PATH)["spec"]
        point = KillPoint(prefix_of(Action.PUBLISH), FIRST_WRITE, When.AFTER)
        killed = scene.zygote.run(CREDENTIAL, CASE.options(), point, fresh_id="torn")
        assert killed.killed_at, killed
        torn = scene.newest(CREDENTIAL)
        assert torn.username != before.username, "the username is new"
        assert torn.password == before.password, "the password is the previous one"
        assert_mounted(scene, before)
    with scene.client():
        assert scene.environments() == [before], "a client that starts now gets both previous values"
        ended = scene.zygote.run(CREDENTIAL, CASE.options("torn"))
        assert ended.verdict == Verdict.ROTATED, ended.message
        CASE.check_after_rotation(scene, before)
    found = scene.cluster.get(PATH)
    assert found["spec"] == spec
    assert PINNED_FOR not in (found["metadata"].get("annotations") or {})
