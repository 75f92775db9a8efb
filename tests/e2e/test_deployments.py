"""The deployments of prefect.yaml, for real: a server, a work pool, a worker in the lab's environment, their runs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment
from prefect.states import AwaitingRetry
from reports import verdict

from infra.credentials import Strategy
from infra.fleet.schedule import Due, Why
from infra.rotation.observation import ROTATION_ID
from infra.rotation.options import Guards, Sync
from tasks.fleet import runs
from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import World, fault, parameters
from testing.waiting import eventually
from testing.walkthrough import DEXTER, change

pytestmark = pytest.mark.owner

SCHEDULED_SECONDS, RUN_SECONDS, END_SECONDS, LOOK_SECONDS = 60, 150, 30, 1
QUICK_RUNS = {
    "rotate/rotate": "refused",
    "verify login/verify-login": "verified",
    "story/story": "planned",
    "provision/provision": "planned",
    "deploy/deploy": "planned",
    "tear down/tear-down": "not confirmed",
    "migrate/migrate": "planned",
    "verify access/verify-access": "verified",
    "fleet/fleet": "planned",
    "audit/audit": "all well",
}
"""Deployment -> how a quick run ends. The rotation has no consent; the stack's poll interval is not the default."""


def prefect(*arguments: str) -> str:
    argv = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def deployed(prefect_api: str) -> dict[str, DeploymentResponse]:
    """Every deployment of prefect.yaml, by name."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="keyturn", type="process"))
        prefect("deploy", "--all")
        return ours(client)


def ours(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Return the deployments of our flows: other tests deploy theirs on the same server."""
    found = client.read_deployments()
    return {deployment.name: deployment for deployment in found if (deployment.entrypoint or "").startswith("flows/")}


@pytest.fixture(scope="module")
def worker_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the worker and its runs print."""
    return tmp_path_factory.mktemp("worker") / "worker.log"


@pytest.fixture(scope="module")
def worker(deployed: dict[str, DeploymentResponse], stack: World, worker_log: Path) -> Iterator[None]:
    """A process worker that finds the lab by its environment, started in a folder that is not the checkout.

    Schedules are paused: a scheduled run would mix with the test's own at any quarter of an hour.
    """
    with get_client(sync_client=True) as client:
        for deployment in deployed.values():
            client.pause_deployment(deployment.id)
    listed(DEXTER)
    env = {**os.environ, "KEYTURN_HOME": str(ROOT), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "keyturn", "--type", "process"]
    with worker_log.open("w") as log:
        process = subprocess.Popen(argv, cwd=worker_log.parent, env=env, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, worker_log.read_text()[-3000:]
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

    return eventually(look, f"the end of {run.name}", RUN_SECONDS, LOOK_SECONDS)


def test_every_flow_that_a_person_starts_is_deployed(deployed: dict[str, DeploymentResponse]) -> None:
    names = {"rotate", "fleet", "audit", "migrate", "verify-login", "verify-access", "story"}
    assert set(deployed) == {*names, "provision", "deploy", "tear-down"}
    for deployment in deployed.values():
        assert deployment.work_pool_name == "keyturn"
        assert "keyturn" in deployment.tags
        assert deployment.description
        assert set(deployment.parameters) <= {"credential", "stack"}, "a quick run takes the defaults"
        required = (deployment.parameter_openapi_schema or {}).get("required", ())
        assert set(required) <= set(deployment.parameters), "a quick run asks for nothing"


def test_no_path_of_this_machine_is_kept_with_a_deployment(deployed: dict[str, DeploymentResponse]) -> None:
    for deployment in deployed.values():
        assert str(ROOT) not in deployment.model_dump_json()
        assert not Path(deployment.entrypoint or "/").is_absolute()


def test_a_credential_that_came_into_the_inventory_after_the_deployment_can_be_run(
    deployed: dict[str, DeploymentResponse],
) -> None:
    name, now = "added-later", datetime.now(UTC)
    with get_client(sync_client=True) as client:
        started = [runs.start_rotation.fn(Due(name, Why.AGE, now, now), "rotate/rotate", Sync.WAIT)]
        for taker in ("rotate", "migrate", "verify-login"):
            properties = (deployed[taker].parameter_openapi_schema or {})["properties"]
            assert name not in properties["credential"]["enum"], "the form has a list, without it"
            run = client.create_flow_run_from_deployment(deployed[taker].id, parameters={"credential": name})
            started.append(run.id)
        for run_id in started:
            assert client.read_flow_run(run_id).parameters["credential"] == name
            client.delete_flow_run(run_id)


def test_the_weekly_rotation_is_a_real_one_and_is_inactive(deployed: dict[str, DeploymentResponse]) -> None:
    [weekly] = deployed["rotate"].schedules
    assert weekly.active is False
    assert getattr(weekly.schedule, "timezone", None)
    assert (weekly.parameters["dry_run"], weekly.parameters["data_loss"]) == (False, "I accept data loss")
    assert Guards.model_validate(weekly.parameters["guards"]).minimum_age_hours == 24


def test_the_fleet_is_real_on_its_schedule_and_holds_no_slot(deployed: dict[str, DeploymentResponse]) -> None:
    [schedule] = deployed["fleet"].schedules
    assert schedule.active
    assert schedule.parameters == {"dry_run": False}
    assert deployed["fleet"].global_concurrency_limit is None


def test_a_scheduled_run_appears_by_itself(deployed: dict[str, DeploymentResponse]) -> None:
    wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployed["verify-login"].id]))

    def look() -> list[FlowRun]:
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(flow_run_filter=wanted)
        return [run for run in found if run.auto_scheduled and run.state and run.state.is_scheduled()]

    runs = eventually(look, "a scheduled run", SCHEDULED_SECONDS, LOOK_SECONDS)
    assert {run.expected_start_time.minute % 15 for run in runs} == {0}


@pytest.mark.slow
def test_deploying_again_adds_nothing(deployed: dict[str, DeploymentResponse]) -> None:
    prefect("deploy", "--all")
    with get_client(sync_client=True) as client:
        again = ours(client)
    assert {name: found.id for name, found in again.items()} == {name: made.id for name, made in deployed.items()}
    assert all(len(found.schedules) == len(deployed[name].schedules) for name, found in again.items())


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_a_quick_run_of_any_deployment_changes_nothing(world: World) -> None:
    before = world.snapshot()
    runs = {name: start(name) for name in QUICK_RUNS}
    states = {name: ended(run) for name, run in runs.items()}
    for name, state in states.items():
        assert verdict(state) == QUICK_RUNS[name], f"{name}: {state.name} {state.message}"
        assert state.name == ("Failed" if QUICK_RUNS[name] == "refused" else "Completed")
    assert world.snapshot() == before


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_the_fleet_has_a_worker_rotate_what_is_asked_for(world: World) -> None:
    listed(change(DEXTER, strategy=Strategy.IN_PLACE, every="90d"))
    before = world.values()
    state = ended(start("fleet/fleet", dry_run=False, requested=["dexter"], sync="express"))
    assert verdict(state) == "all well", state.message
    assert world.values()[1] != before[1]
    assert not world.logs_in(before)
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=["fleet", "rotated"])))
    assert run.deployment_id is not None
    assert (run.name, run.parameters["credential"]) == ("dexter: rotated", "dexter")


def suspended_or_ended(run: FlowRun) -> State[Any]:
    """Wait until a run asks a person, or has ended."""

    def look() -> State[Any] | None:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run.id).state
        return state if state and (state.is_paused() or state.is_final()) else None

    return eventually(look, f"the question or the end of {run.name}", RUN_SECONDS, LOOK_SECONDS)


def start_rotation(**guards: Any) -> FlowRun:
    return start("rotate/rotate", **parameters(sync="wait"), guards=guards)


@pytest.mark.usefixtures("worker")
def test_a_second_rotation_of_a_credential_ends_and_says_who_holds_its_lock(world: World, worker_log: Path) -> None:
    with fault(world.lab, "sync-paused"):
        runs = [start_rotation() for _ in range(2)]
        refused = eventually(lambda: find_ended(runs), "a refusal", RUN_SECONDS, LOOK_SECONDS)
    assert verdict(refused) == "refused"
    assert "Locked" in refused.message
    assert "held by" in refused.message
    assert {verdict(ended(run)) for run in runs} == {"refused", "rotated"}
    world.assert_well()
    log = worker_log.read_text()
    assert "| ERROR   | Flow run 'dexter: rotate' - dexter: refused. " in log
    assert "Traceback" not in log


def find_ended(runs: list[FlowRun]) -> State[Any] | None:
    """Return the state of the first of these runs that has ended."""
    with get_client(sync_client=True) as client:
        states = [client.read_flow_run(run.id).state for run in runs]
    return next((state for state in states if state and state.is_final()), None)


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_the_approved_rotation_is_performed_and_a_retried_run_asks_again(world: World) -> None:
    values, before = world.values(), world.snapshot()
    run = start_rotation(approval=True)
    form = find_form(run)
    assert world.snapshot() == before, "nothing is changed before the answer"
    with get_client(sync_client=True) as client:
        assert "publish the new version of username" in client.read_flow_run_input(run.id, form["description"])
        client.resume_flow_run(run.id, run_input={"answer": "approve", "reason": "as agreed"})
        assert verdict(ended(run)) == "rotated", ended(run).message
        performed = world.vault.get_latest(DEXTER.secrets.names[-1]).tags[ROTATION_ID]
        assert form["response"].endswith(f"-{performed}-response"), "the approved rotation is the performed one"
        assert world.values() != values
        world.assert_well()
        after = world.snapshot()
        client.set_flow_run_state(run.id, AwaitingRetry())
        assert find_form(run)["response"] != form["response"], "it is another question"
        client.resume_flow_run(run.id, run_input={"answer": "decline", "reason": "enough"})
    state = ended(run)
    assert (verdict(state), world.snapshot()) == ("declined", after)


def find_form(run: FlowRun) -> dict[str, str]:
    """Return the keys of the form of a run that is suspended."""
    form = suspended_or_ended(run).state_details.run_input_keyset
    assert form, "it ended without a question"
    return form
