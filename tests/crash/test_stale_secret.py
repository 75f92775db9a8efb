"""A driver that is late: it writes previous values into the synced Secret while somebody starts with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from infra.credentials import Login, Strategy
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from testing.walkthrough import DATABASE
from tests.crash.cases import Case, find_case
from tests.crash.faulty import Interrupted, between, nothing_lost, rotate
from tests.crash.scene import CLIENT, DEPLOYMENTS, KEYS, NAMESPACE, Scene

CASE = Case(Strategy.IN_PLACE, Sync.EXPRESS)
CREDENTIAL = CASE.credential


def write(scene: Scene, login: Login) -> None:
    """Write a login into the synced Secret."""
    secret = SyncedSecret(scene.cluster, NAMESPACE, DATABASE.delivery.synced_secret)
    assert secret.update(dict(zip(KEYS, (login.username, login.password), strict=True)))


@pytest.fixture
def late(scene: Scene) -> Iterator[Scene]:
    """A client, and a driver that does nothing but what a test does for it."""
    scene.lab.faults.clear_faults()
    with CASE.prepared(scene):
        scene.lab.faults.switch("sync-paused")
        yield scene
        scene.lab.faults.clear_faults()


def assert_restarted(scene: Scene, before: Login, times: int) -> None:
    """Check that all is well, and how often the client was restarted."""
    assert scene.environments() == [scene.newest(CREDENTIAL)]
    scene.lab.faults.clear_faults()
    CASE.check_after_rotation(scene, before)
    client = scene.cluster.get(f"{DEPLOYMENTS}/{CLIENT.workload.name}")
    assert client["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == str(1 + times)


@pytest.mark.parametrize(("action", "times"), [(Action.RESTART, 1), (Action.AWAIT_READY, 2)])
def test_a_client_that_may_have_started_with_previous_values_is_restarted_once_more(
    late: Scene, action: Action, times: int
) -> None:
    def write_late() -> None:
        write(late, before)
        if action is Action.AWAIT_READY:
            write(late, late.newest(CREDENTIAL))  # the next poll corrects it, and nobody sees that it was wrong

    with nothing_lost(late, CREDENTIAL) as before:
        with between(write_late, action):
            ended = rotate(CREDENTIAL)
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert_restarted(late, before, times)


def test_the_next_run_checks_the_secret_if_the_last_one_died_before_it_could(late: Scene) -> None:
    def write_late_and_die(_: WorkloadHandle) -> None:
        write(late, before)
        write(late, late.newest(CREDENTIAL))
        raise Interrupted

    with nothing_lost(late, CREDENTIAL) as before:
        with patch.object(WorkloadHandle, "mark_start_checked", write_late_and_die), pytest.raises(Interrupted):
            rotate(CREDENTIAL)
        assert open_workload(late.cluster, CLIENT.workload).get().settled, "only the check is left to do"
        ended = rotate(CREDENTIAL)
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert_restarted(late, before, 2)


@contextmanager
def written_late(scene: Scene, login: Login, method: str) -> Iterator[None]:
    """Write a login into the Secret just before a workload starts first, after it was refreshed, for a block."""
    act, written = getattr(WorkloadHandle, method), list[Login]()

    def write_and_act(workload: WorkloadHandle, *args: str) -> object:
        if not written:
            write(scene, login)
            written.append(login)
        return act(workload, *args)

    with patch.object(WorkloadHandle, method, write_and_act):
        yield
    assert written


@pytest.mark.parametrize(("strategy", "method"), [(Strategy.IN_PLACE, "restart"), (Strategy.RECREATE, "start")])
def test_pods_that_start_with_previous_values_are_replaced_although_nothing_corrects_the_secret(
    scene: Scene, strategy: Strategy, method: str
) -> None:
    """A client whose probe logs in never gets ready with them; a database gets ready, and refuses the new login."""
    case = find_case(strategy, Sync.EXPRESS)
    scene.lab.faults.clear_faults()
    scene.put_data(case.credential)
    with nothing_lost(scene, case.credential) as before, scene.client(logs_in=True):
        scene.lab.faults.switch("sync-paused")
        with written_late(scene, before, method):
            ended = rotate(case.credential)
        assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
        assert scene.environments() == [scene.newest(case.credential)]
        scene.lab.faults.clear_faults()
        case.check_after_rotation(scene, before)
