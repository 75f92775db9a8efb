"""What a run from a shell is run with."""

from contextlib import nullcontext
from typing import Any

import pytest
from prefect.context import SyncClientContext, get_settings_context
from prefect.settings import Settings, get_current_settings
from prefect.states import Completed
from pydantic_core import to_jsonable_python

from flows import console
from flows.cli import parse_parameters
from flows.history import history
from flows.rotate import rotate
from infra.rotation.options import Sync
from tasks.reports.settings import settings_changed


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Prefect's settings while the flow ran; without an API."""
    found: list[Settings] = []

    def run(*_: Any) -> tuple[Any, bool]:
        found.append(get_current_settings())
        return Completed(message="done"), True

    monkeypatch.setattr(SyncClientContext, "get_or_create", nullcontext)
    monkeypatch.setattr(console, "_run", run)
    return found


@pytest.mark.parametrize(("dry_run", "seconds"), [(True, None), (False, 180)])
def test_only_a_run_that_may_change_something_sends_heartbeats(
    settings: list[Settings], dry_run: bool, seconds: int | None
) -> None:
    with settings_changed(flows={"heartbeat_frequency": 180}), pytest.raises(SystemExit) as ended:
        console.run(history, {"dry_run": dry_run})
    assert ended.value.code == 0
    assert settings[0].flows.heartbeat_frequency == seconds


def test_the_parameters_of_a_run_are_kept_as_prefect_keeps_them() -> None:
    parameters = parse_parameters(rotate, ["dexter", "--sync", "express", "--guards.approval", "--rotation-id", "x-1"])
    assert to_jsonable_python(parameters) == rotate.serialize_parameters(parameters)
    assert parameters["sync"] is Sync.EXPRESS


def test_settings_are_changed_for_a_block_and_known_to_a_server_that_is_started_in_it() -> None:
    before = get_settings_context().settings
    with settings_changed(server=console.SERVER_SETTINGS, flows={}):
        changed = get_current_settings()
        assert changed.server.ephemeral.startup_timeout_seconds == console.STARTUP_SECONDS
        assert changed.server.database == before.server.database
        assert changed.flows == before.flows
        told = changed.to_environment_variables(exclude_unset=True)
    assert told["PREFECT_SERVER_LOGGING_LEVEL"] == "CRITICAL"
    assert told["PREFECT_SERVER_ANALYTICS_ENABLED"] == "False"
    assert get_settings_context().settings is before
