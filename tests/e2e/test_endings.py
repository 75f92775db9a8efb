"""How runs end: a standard state, the verdict wherever people look, and our own errors without a traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from ending_flow import REFUSAL, VALUE, ending, parent
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.events import Event

from tasks.reports import endings, events
from testing.labs import ROOT
from testing.waiting import eventually

pytestmark = pytest.mark.usefixtures("prefect_api")
EVENT_SECONDS, FOLDER = 30, ROOT / "tests" / "e2e"


def run(flow: Callable[..., Any], *arguments: str) -> tuple[State[Any], FlowRun]:
    state = flow(*arguments, return_state=True)
    with get_client(sync_client=True) as client:
        return state, client.read_flow_run(state.state_details.flow_run_id)


def test_a_good_ending_is_completed_and_its_verdict_is_tag_name_and_message() -> None:
    state, seen = run(ending, "orders-db")
    assert (state.type.value, state.name) == ("COMPLETED", "Completed")
    assert state.message == "orders-db: nothing to do. All is done."
    assert (seen.name, seen.tags) == ("orders-db: nothing to do", ["nothing-to-do"])
    assert state.result() == 42


@pytest.mark.parametrize(
    ("how", "words", "text"),
    [
        ("refused", "needs operator", str(REFUSAL)),
        ("raised", "refused", str(REFUSAL)),
        ("login-refused", "failed", "The database refuses the login: orders-db. Fix: write other values."),
    ],
)
def test_a_bad_ending_is_failed_says_what_to_do_and_gives_its_caller_the_error(how: str, words: str, text: str) -> None:
    state, seen = run(ending, "orders-db", how)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message == f"orders-db: {words}. {text}"
    assert (seen.name, seen.tags) == (f"orders-db: {words}", [words.replace(" ", "-")])
    assert str(state.result(raise_on_failure=False)) == text


def test_a_parent_ends_with_the_error_of_the_flow_that_it_called() -> None:
    state, seen = run(parent, "walkthrough")
    assert state.message == f"walkthrough: refused. {REFUSAL}"
    assert seen.name == "walkthrough: refused"


def test_the_verdict_of_an_earlier_attempt_does_not_stay() -> None:
    _, seen = run(ending, "orders-db", "refused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endings.flow_run, "id", str(seen.id), raising=False)
        endings.end("rotated", "orders-db")
    with get_client(sync_client=True) as client:
        again = client.read_flow_run(seen.id)
    assert (again.name, again.tags) == ("orders-db: rotated", ["rotated"])


def events_of(run_id: Any) -> list[Event]:
    """Wait for Keyturn's events of a run."""
    wanted = {"event": {"prefix": ["keyturn."]}, "related": {"id": [f"prefect.flow-run.{run_id}"]}}

    def look() -> list[Event]:
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/events/filter", json={"filter": wanted}).json()["events"]
        return [Event.model_validate(event) for event in answer]

    return eventually(look, "the events of the run", EVENT_SECONDS, every=0.5)


def test_each_ending_is_an_event_of_its_credential() -> None:
    _, seen = run(ending, "orders-db", "refused")
    [event] = events_of(seen.id)
    assert event.event == "keyturn.credential.needs_operator"
    assert event.resource.id == "keyturn.credential.orders-db"
    assert event.payload["code"] == "Locked"
    _, seen = run(ending, "orders-db")
    assert events_of(seen.id)[0].payload["rotation_id"] == "r1"


def test_a_dry_run_that_would_be_refused_is_an_event_that_pages_nobody() -> None:
    state, seen = run(ending, "orders-db", "dry")
    [event] = events_of(seen.id)
    assert (state.name, seen.tags) == ("Failed", ["refused"])
    assert (event.event, event.payload["verdict"]) == ("keyturn.credential.planned", "refused")


def test_an_error_of_prefects_api_changes_no_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the API does not answer")

    monkeypatch.setattr(endings, "get_client", fail)
    monkeypatch.setattr(events, "emit_event", fail)
    state, _ = run(ending, "orders-db")
    assert (state.name, state.result()) == ("Completed", 42)
    state, _ = run(ending, "orders-db", "refused")
    assert state.message == f"orders-db: needs operator. {REFUSAL}"


def worked(*parameters: dict[str, Any]) -> str:
    """Have a worker run the deployed flow, and return what it printed."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="endings", type="process"), overwrite=True)
        client.create_deployment(
            client.create_flow(ending),
            "ending",
            work_pool_name="endings",
            entrypoint="ending_flow.py:ending",
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(FOLDER)}}],
        )
    for each in parameters:
        run_deployment("ending/ending", parameters={"credential": "orders-db", **each}, timeout=0)
    argv = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "endings", "--run-once"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=150, check=False)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_worker_prints_the_verdict_and_no_traceback_of_our_own_errors() -> None:
    window = {"guards": {"window_start": "02:00"}}
    printed = worked({"how": "refused"}, {"how": "raised"}, {"how": "not-yet"}, {"how": "login-refused"}, window)
    for words in ("needs operator", "refused", "failed"):
        assert f"| ERROR   | Flow run 'orders-db: end' - orders-db: {words}. " in printed
    assert "window_start and window_end belong together" in printed
    assert "Traceback" not in printed
    assert "Engine execution" not in printed


@pytest.mark.parametrize(
    ("how", "name", "where"), [("bug", "orders-db: try", "attempt"), ("flow-bug", "orders-db", "ending")]
)
def test_an_unexpected_exception_is_told_by_its_type_and_its_frames_for_its_text_may_have_values(
    how: str, name: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    state, seen = run(ending, "orders-db", how)
    assert (state.type.value, seen.name) == ("FAILED", "orders-db: failed")
    assert f"An exception that Keyturn does not know: {name}. Seen: builtins.ValueError" in (state.message or "")
    assert f"in {where}\n" in caplog.text.partition("Traceback")[2]
    assert VALUE not in caplog.text
    with get_client(sync_client=True) as client:
        task_runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[seen.id])))
    assert VALUE not in f"{state.message} {[task_run.state for task_run in task_runs]}"


@pytest.mark.slow
def test_a_worker_prints_the_frames_of_an_unexpected_exception() -> None:
    printed = worked({"how": "bug"})
    assert "in attempt" in printed.partition("Traceback")[2]
    assert VALUE not in printed
