"""The deployments of prefect.yaml, for real: a server, a work pool, a worker in the lab's environment, their runs."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment

from infra.rotation.options import RotationOptions
from testing.labs import ROOT
from testing.rotating import OPTIONS, World

SCHEDULED_SECONDS, RUN_SECONDS, END_SECONDS = 60, 150, 30
QUICK_RUNS = {
    "rotate/rotate": {"Planned"},
    "verify login/verify-login": {"Completed"},
    "story/story": {"Planned"},
    "provision/provision": {"Planned"},
    "deploy/deploy": {"Planned"},
    "tear down/tear-down": {"NotConfirmed"},
    "migrate/migrate": {"Completed"},
    "verify access/verify-access": {"Verified"},
}
"""Deployment -> how a run without parameters ends. The stack's poll interval differs from the default's."""


def prefect(*arguments: str) -> str:
    argv = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for(what: str, look: Callable[[], Any], seconds: float) -> Any:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        pause.wait(0.5)
    return found


@pytest.fixture(scope="module")
def deployed(prefect_api: str) -> dict[str, DeploymentResponse]:
    """Every deployment of prefect.yaml, by name."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="keyturn", type="process"))
        prefect("deploy", "--all")
        return {one.name: one for one in client.read_deployments()}


@pytest.fixture(scope="module")
def worker(
    deployed: dict[str, DeploymentResponse], stack: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A process worker that finds the lab by its environment, started in a folder that is not the checkout.

    Schedules are paused: a scheduled run would take a deployment's one slot at any quarter of an hour.
    """
    with get_client(sync_client=True) as client:
        for one in deployed.values():
            client.pause_deployment(one.id)
    folder = tmp_path_factory.mktemp("worker")
    env = {**os.environ, "KEYTURN_HOME": str(ROOT), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "keyturn", "--type", "process"]
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(argv, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, (folder / "worker.log").read_text()[-3000:]
        finally:
            process.kill()  # it has ended its runs and keeps nothing; where SIGINT is ignored, it hears no SIGTERM
            process.wait(END_SECONDS)


def start(name: str, **parameters: Any) -> FlowRun:
    return run_deployment(name, parameters=parameters, timeout=0)  # type: ignore[return-value]


def ended(run: FlowRun) -> State[Any]:
    """Wait until a run has ended."""

    def look() -> State[Any] | None:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
        return state if state and state.is_final() else None

    return wait_for(f"end of {run.name}", look, RUN_SECONDS)  # type: ignore[no-any-return]


def test_every_flow_that_a_person_starts_is_deployed(deployed: dict[str, DeploymentResponse]) -> None:
    names = {"rotate", "migrate", "verify-login", "verify-access", "story", "provision", "deploy", "tear-down"}
    assert set(deployed) == names
    for one in deployed.values():
        assert one.work_pool_name == "keyturn"
        assert "keyturn" in one.tags
        assert one.description
        assert set(one.parameters) <= {"credential", "stack"}, "a quick run takes the defaults"
        required = (one.parameter_openapi_schema or {}).get("required", ())
        assert set(required) <= set(one.parameters), "a quick run asks for nothing"


def test_no_path_of_this_machine_is_kept_with_a_deployment(deployed: dict[str, DeploymentResponse]) -> None:
    for one in deployed.values():
        assert str(ROOT) not in one.model_dump_json()
        assert not Path(one.entrypoint or "/").is_absolute()


def test_the_weekly_rotation_is_a_real_one_and_waits_to_be_switched_on(deployed: dict[str, DeploymentResponse]) -> None:
    [weekly] = deployed["rotate"].schedules
    assert weekly.active is False
    assert getattr(weekly.schedule, "timezone", None)
    options = RotationOptions.model_validate(weekly.parameters["options"])
    assert (options.dry_run, options.data_loss) == (False, "I accept data loss")


def test_a_scheduled_run_appears_by_itself(deployed: dict[str, DeploymentResponse]) -> None:
    ours = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployed["verify-login"].id]))

    def look() -> list[FlowRun]:
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(flow_run_filter=ours)
        return [one for one in found if one.auto_scheduled and one.state and one.state.is_scheduled()]

    runs = wait_for("scheduled run", look, SCHEDULED_SECONDS)
    assert {one.expected_start_time.minute % 15 for one in runs} == {0}


@pytest.mark.slow
def test_deploying_again_adds_nothing(deployed: dict[str, DeploymentResponse]) -> None:
    prefect("deploy", "--all")
    with get_client(sync_client=True) as client:
        again = {one.name: one for one in client.read_deployments()}
    assert {name: one.id for name, one in again.items()} == {name: one.id for name, one in deployed.items()}
    assert all(len(one.schedules) == len(deployed[name].schedules) for name, one in again.items())


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_quick_run_of_any_deployment_changes_nothing(world: World) -> None:
    before = world.snapshot()
    runs = {name: start(name) for name in QUICK_RUNS}
    states = {name: ended(run) for name, run in runs.items()}
    for name, state in states.items():
        assert state.is_completed(), f"{name}: {state.name} {state.message}"
        said = {state.name, (state.message or "").partition(":")[0]}
        assert said & QUICK_RUNS[name], f"{name}: {state.name} {state.message}"
    assert world.snapshot() == before


def suspended_or_ended(run: FlowRun) -> State[Any]:
    """Wait until a run asks a person, or has ended."""

    def look() -> State[Any] | None:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
        return state if state and (state.is_paused() or state.is_final()) else None

    return wait_for(f"question or end of {run.name}", look, RUN_SECONDS)  # type: ignore[no-any-return]


def begin_two() -> FlowRun:
    """Start two rotations that need approval at once, and return the one that is not cancelled."""
    options = {**OPTIONS.model_dump(mode="json"), "sync": "express"}
    guards = {"approval": True, "minimum_age_hours": 0}
    runs = [start("rotate/rotate", options=options, guards=guards) for _ in range(2)]
    states = {run.id: suspended_or_ended(run) for run in runs}
    (cancelled,) = (state for state in states.values() if state.is_final())
    assert cancelled.name == "Cancelled"
    assert "concurrency limit" in (cancelled.message or "")
    return next(run for run in runs if not states[run.id].is_final())


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("answer", "name"), [pytest.param("decline", "Declined", marks=pytest.mark.slow), ("approve", "Rotated")]
)
def test_of_two_rotations_at_once_one_shows_its_plan_waits_for_the_answer_and_ends(
    world: World, answer: str, name: str
) -> None:
    values, before = world.values(), world.snapshot()
    run = begin_two()
    form = suspended_or_ended(run).state_details.run_input_keyset
    assert form
    assert world.snapshot() == before, "nothing is changed before the answer"
    with get_client(sync_client=True) as client:
        description = client.read_flow_run_input(run.id, form["description"])
        assert "publish the new version of username" in description
        client.resume_flow_run(run.id, run_input={"answer": answer, "reason": "as agreed"})
    state = ended(run)
    assert state.name == name, state.message
    if answer == "decline":
        assert world.snapshot() == before
    else:
        assert world.values() != values
        world.assert_well()
