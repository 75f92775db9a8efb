"""The fleet's memory on a real server: what it started, once for each need, how it ended, what people asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Cancelled, Completed, Crashed, Pending, Running

from infra.credentials import ClusterRef, Day
from infra.credentials.schedule import Window
from infra.fleet.schedule import Attempt, Due, Facts, Why, find_due
from infra.rotation.options import Guards, Sync
from tasks.fleet import runs
from tasks.reports.endings import VERDICT_LABEL
from testing.walkthrough import SERVER, change

pytestmark = pytest.mark.usefixtures("prefect_api")
NOW = datetime.now(UTC)
CLUSTER = ClusterRef(name="elsewhere", resource_group="group")


@pytest.fixture
def deployment() -> str:
    """A deployment of a flow called rotate, whose runs nobody executes."""
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(flow(lambda: None, name="rotate")), "rotate-elsewhere")
    found = runs.find_deployments.fn()
    assert "rotate-elsewhere" in found
    return runs.choose_deployment(change(SERVER, cluster=CLUSTER), found)


def due_now() -> Due:
    return Due(f"elsewhere-{uuid4().hex[:8]}", Why.AGE, NOW, NOW)


def attempts_of(due: Due) -> list[Attempt]:
    return runs.recall_attempts.fn(datetime.now(UTC)).get(due.credential, [])


def end_run(run_id: UUID, state: Any, verdict: str = "") -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, state, force=True)
        if verdict:
            client.update_flow_run_labels(run_id, {VERDICT_LABEL: verdict})


def test_two_runs_of_the_fleet_start_one_rotation_for_one_need(deployment: str) -> None:
    due = due_now()
    first = runs.start_rotation.fn(due, deployment, Sync.EXPRESS)
    assert runs.start_rotation.fn(due, deployment, Sync.EXPRESS) == first
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(first)
    assert run.parameters == {"credential": due.credential, "dry_run": False, "sync": "express"}
    assert run.tags == ["fleet"]
    assert run.parent_task_run_id is None, "cancelling the fleet cancels no rotation"
    assert attempts_of(due) == [Attempt(due.key, None)]


def test_a_rotation_that_waits_for_a_worker_knows_its_window(deployment: str) -> None:
    window = Window(start="22:00", end="04:00", days=(Day.SUNDAY,), time_zone="Europe/Berlin")
    run_id = runs.start_rotation.fn(due_now(), deployment, Sync.WAIT, Guards.within(window))
    with get_client(sync_client=True) as client:
        guards = Guards.model_validate(client.read_flow_run(run_id).parameters["guards"])
    assert guards.window == window


@pytest.mark.parametrize(
    ("state", "verdict", "is_bad"),
    [
        (Completed(), "rotated", False),
        (Completed(), "rolled-back", True),
        (Crashed(), "", True),
        (Cancelled(), "", True),
    ],
)
def test_how_a_rotation_ended_is_recalled(deployment: str, state: Any, verdict: str, is_bad: bool) -> None:
    due = due_now()
    run_id = runs.start_rotation.fn(due, deployment, Sync.WAIT)
    end_run(run_id, state, verdict)
    [attempt] = attempts_of(due)
    assert attempt.key == due.key
    assert (attempt.verdict, attempt.is_bad) == (verdict, is_bad)
    assert runs.look_at_runs([run_id], datetime.now(UTC)) == {run_id: attempt}


def test_a_run_that_seems_to_run_for_hours_counts_as_dead(deployment: str) -> None:
    due = due_now()
    run_id = runs.start_rotation.fn(due, deployment, Sync.WAIT)
    end_run(run_id, Running())
    soon, late = datetime.now(UTC) + timedelta(hours=3), datetime.now(UTC) + timedelta(hours=5)
    assert not runs.look_at_runs([run_id], soon)[run_id].is_bad
    assert runs.look_at_runs([run_id], late)[run_id].is_bad


def test_a_run_that_a_worker_took_and_never_began_counts_as_dead_after_half_an_hour(deployment: str) -> None:
    due = due_now()
    run_id = runs.start_rotation.fn(due, deployment, Sync.WAIT)
    waits = runs.look_at_runs([run_id], datetime.now(UTC) + timedelta(days=1))[run_id]
    assert waits.ended_at is None, "one that no worker took still waits for one"
    end_run(run_id, Pending())
    soon, late = datetime.now(UTC) + timedelta(minutes=20), datetime.now(UTC) + timedelta(minutes=40)
    assert runs.look_at_runs([run_id], soon)[run_id].ended_at is None
    assert runs.look_at_runs([run_id], late)[run_id].is_bad


def test_a_request_outlives_the_run_that_it_was_made_in() -> None:
    name = f"asked-{uuid4().hex[:8]}"

    @flow(name="fleet")
    def asking(requested: list[str]) -> None:
        runs.keep_request()
        raise RuntimeError("the run dies")

    with pytest.raises(RuntimeError):
        asking([name])
    asked_at = runs.recall_requests.fn(datetime.now(UTC))[name]
    credential, old = change(SERVER, name=name), Facts(NOW - timedelta(days=1), requested_at=asked_at)
    due = find_due(credential, old, datetime.now(UTC))
    assert due is not None
    assert due.why is Why.REQUESTED
    assert find_due(credential, Facts(asked_at + timedelta(seconds=5), requested_at=asked_at), NOW) is None
