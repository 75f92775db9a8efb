"""Cluster, database and host fail in the middle of a rotation: restarts, lost watches, conflicts, cut connections."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from flows.rotate import TaskExecutor
from infra.credentials import Credential
from infra.errors import LoginRefused, NeedsOperator, RolledBack, SyncPending
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from infra.postgres import addresses
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from tasks.rotation import password_change
from testing import bare
from testing.walkthrough import DATABASE, change
from tests.crash.cases import OPTIONS, RECREATE
from tests.crash.cutting_proxy import CuttingProxy
from tests.crash.faulty import ALTERNATING, IN_PLACE, assert_resumes, between, nothing_lost, prefix_of, rotate
from tests.crash.scene import CLIENT, NAMESPACE, SECONDS, Scene

API_SERVER = "*.azmk8s.io"
DEPLOYMENT = f"*/deployments/{DATABASE.workload.name}"
CONFLICT = json.dumps({"kind": "Status", "status": "Failure", "reason": "Conflict", "message": "changed", "code": 409})


@pytest.fixture(autouse=True)
def _without_faults(scene: Scene) -> None:
    scene.lab.faults.clear_faults()


@pytest.mark.parametrize("call", ["wait_for_ready", "_inspect"], ids=["from the first look on", "after the first look"])
def test_an_api_server_that_restarts_while_pods_are_waited_for_is_waited_for_too(scene: Scene, call: str) -> None:
    faults, timers = scene.lab.faults, list[threading.Timer]()
    made: Callable[..., Any] = getattr(WorkloadHandle, call)

    def made_while_away(*args: Any, **options: Any) -> Any:
        """Let the API server be away for a second, from the first call on."""
        if not timers:
            faults.switch("api-server-down")
            timers.append(threading.Timer(1, faults.switch, ("api-server-down", False)))
            timers[-1].start()
        return made(*args, **options)

    with nothing_lost(scene, RECREATE) as before:
        with patch.object(WorkloadHandle, call, made_while_away):
            ended = rotate(RECREATE)
        assert ended.verdict is Verdict.ROTATED, ended.message
        assert timers, "the API server was not away"
        timers[-1].join()
    scene.assert_well(RECREATE, before)


def test_an_api_server_that_is_away_at_a_step_stops_the_rotation(scene: Scene) -> None:
    down = lambda: scene.lab.faults.switch("api-server-down")  # noqa: E731
    with nothing_lost(scene, RECREATE) as before:
        with between(down, Action.STOP, lambda: scene.lab.faults.switch("api-server-down", on=False)):
            ended = rotate(RECREATE)
        assert ended.verdict is Verdict.NEEDS_OPERATOR
        assert ended.code == "Unreachable"
    assert_resumes(scene, RECREATE, before)


@pytest.mark.parametrize("action", [Action.AWAIT_SYNC, Action.AWAIT_READY])
def test_watches_that_expire_are_started_again(scene: Scene, action: Action) -> None:
    timer = threading.Timer(0.1, scene.lab.faults.switch, ("watches-expired",))
    with nothing_lost(scene, RECREATE) as before, between(timer.start, action):
        assert rotate(RECREATE, sync=Sync.WAIT).verdict is Verdict.ROTATED
    timer.join()
    scene.assert_well(RECREATE, before)


def test_conflicts_with_others_who_write_the_deployment_and_the_lock_are_retried(scene: Scene) -> None:
    faults = scene.lab.faults
    for method, path in (("PATCH", DEPLOYMENT), ("PUT", "*/leases/*")):
        faults.add_fault(host=API_SERVER, method=method, path=path, status=409, body=CONFLICT, times=2)
    with nothing_lost(scene, RECREATE) as before:
        assert rotate(RECREATE).verdict is Verdict.ROTATED
    assert faults.faults()["faults"] == {}
    scene.assert_well(RECREATE, before)


def test_a_write_to_the_cluster_whose_answer_is_lost_is_found_done_by_the_next_run(scene: Scene) -> None:
    def lose() -> None:
        scene.lab.faults.add_fault(host=API_SERVER, method="PATCH", path=DEPLOYMENT, status=500, late=True, times=1)

    with nothing_lost(scene, RECREATE) as before:
        with between(lose, Action.START):
            ended = rotate(RECREATE)
        assert ended.verdict is Verdict.NEEDS_OPERATOR, ended.message
    assert_resumes(scene, RECREATE, before)


def test_a_sync_that_times_out_leaves_two_logins_that_work(scene: Scene) -> None:
    bare.make_owner_role(ALTERNATING)
    with nothing_lost(scene, ALTERNATING) as before:
        scene.lab.faults.switch("sync-paused")
        ended = rotate(ALTERNATING, sync=Sync.WAIT, sync_timeout_seconds=1)
        assert ended.verdict is Verdict.SYNC_PENDING
        assert type(ended.error) is SyncPending
        assert scene.logs_in(ALTERNATING, before), "the previous login"
        assert scene.logs_in(ALTERNATING, scene.newest(ALTERNATING)), "the new one"
    assert_resumes(scene, ALTERNATING, before)


def test_pods_that_start_neither_with_the_new_values_nor_with_the_previous_ones_need_an_operator(scene: Scene) -> None:
    with nothing_lost(scene, RECREATE) as before:
        scene.lab.faults.switch("pods-not-starting")
        ended = rotate(RECREATE, ready_timeout_seconds=1)
        assert ended.verdict is Verdict.NEEDS_OPERATOR
        assert ended.error is not None and "resumes here" in ended.error.fix
        scene.lab.faults.clear_faults()
        ended = rotate(RECREATE)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
    assert_resumes(scene, RECREATE, before)


@contextmanager
def after_the_change(call: Callable[[], object]) -> Iterator[None]:
    """Call something when the database has the new password, which is not yet proven, for a block."""
    change = password_change._change_password

    def changed(*args: Any) -> None:
        change(*args)
        call()

    with patch.object(password_change, "_change_password", changed):
        yield


def before_the_change(call: Callable[[], object]) -> AbstractContextManager[None]:
    return between(call, Action.SET_PASSWORD)


@pytest.mark.parametrize("around", [before_the_change, after_the_change])
def test_a_database_that_goes_down_before_or_after_it_is_changed_gets_its_previous_password_back(
    scene: Scene, around: Callable[[Callable[[], object]], AbstractContextManager[None]]
) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        with around(lambda: scene.lab.faults.switch("database-down")):
            ended = rotate(IN_PLACE)
        assert ended.verdict is Verdict.NEEDS_OPERATOR
        assert type(ended.error) is NeedsOperator
        assert "it was rolling back" in ended.error.seen
        failure = ended.error.cause
        assert failure is not None, "what stopped the rollback"
        assert failure.cause is not None, "what made it necessary"
        assert ended.message.count("\nCause: ") == 2
        scene.lab.faults.clear_faults()
    assert_resumes(scene, IN_PLACE, before, Verdict.ROLLED_BACK)


@pytest.mark.parametrize(
    ("credential", "change", "action", "next_action"),
    [
        pytest.param(IN_PLACE, "tasks.rotation.password_change._set_password", Action.SET_PASSWORD, Action.RESTORE),
        pytest.param(ALTERNATING, "infra.postgres.owner_role.enable_login", Action.ENABLE_ALTERNATE, Action.UNPIN),
    ],
    ids=["in-place", "alternating"],
)
def test_a_change_without_effect_is_noticed_by_the_step_itself(
    scene: Scene, credential: Credential, change: str, action: Action, next_action: Action
) -> None:
    execute, executed = TaskExecutor.execute, list[Action]()

    def noted(self: TaskExecutor, plan: Any, step: Any) -> None:
        executed.append(step.action)
        execute(self, plan, step)

    if credential is ALTERNATING:
        bare.make_owner_role(ALTERNATING)
    with nothing_lost(scene, credential) as before:
        with patch(change, return_value=None), patch.object(TaskExecutor, "execute", noted):
            ended = rotate(credential)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert ended.error is not None
        assert type(ended.error.cause) is LoginRefused
        assert executed[executed.index(action) + 1] is next_action, "the rollback follows at once"
        assert scene.logs_in(credential, before)
    assert_resumes(scene, credential, before)
    if credential is ALTERNATING:
        assert rotate(RECREATE).verdict is Verdict.ROTATED, "the database starts anew, without an owner role"


@contextmanager
def cut_at(scene: Scene, statement: str, late: bool) -> Iterator[None]:
    """Let the connection that changes the login be cut at a statement, for a block."""
    address = scene.database(IN_PLACE).address
    with CuttingProxy((address.host, address.port), statement, late).running() as proxy:
        detour = patch.object(addresses, "find_route", lambda *_: ("127.0.0.1", proxy.port))
        with between(detour.start, Action.SET_PASSWORD, detour.stop):
            yield
        assert proxy.cuts == 1


@pytest.mark.parametrize(
    ("statement", "late"),
    [
        pytest.param("ALTER ROLE", False, id="before it is changed"),
        pytest.param("COMMIT", False, id="before the commit"),
        pytest.param("COMMIT", True, id="after the commit"),
    ],
)
def test_a_connection_that_is_cut_while_the_login_is_changed_brings_the_previous_password_back(
    scene: Scene, statement: str, late: bool
) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        with cut_at(scene, statement, late):
            ended = rotate(IN_PLACE)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert type(ended.error) is RolledBack
        assert scene.newest(IN_PLACE) == before
        assert scene.logs_in(IN_PLACE, before)
    assert_resumes(scene, IN_PLACE, before)


@pytest.mark.parametrize("full_from", ["", prefix_of(Action.PUBLISH)], ids=["at once", "publishing"])
def test_a_rotation_needs_no_disk(scene: Scene, full_from: str) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        ended = scene.zygote.run(IN_PLACE, OPTIONS, disk_full_from=full_from)
        assert ended.verdict == Verdict.ROTATED, ended
    scene.assert_well(IN_PLACE, before)


def test_a_clock_of_azure_that_is_ahead_hides_no_pod_that_started_with_the_failed_password(scene: Scene) -> None:
    """A client's pod that starts after the publishing starts before the candidate, by the cluster's clock."""
    credential = change(IN_PLACE, consumers=(DATABASE, CLIENT))

    def replace_the_client() -> None:
        client = open_workload(scene.cluster, CLIENT.workload)
        for pod in client.get().pods:
            scene.cluster.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod.name}")
        client.wait_for_ready(SECONDS)
        assert scene.environments() == [scene.newest(credential)], "it has the new password"

    with nothing_lost(scene, credential) as before, scene.client():
        scene.lab.faults.switch("azure-clock-ahead")
        with cut_at(scene, "ALTER ROLE", late=False), between(replace_the_client, Action.SET_PASSWORD):
            ended = rotate(credential, sync=Sync.WAIT)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert scene.environments() == [before], "it started with the password that was rolled back"
        assert_resumes(scene, credential, before)
