"""Running a flow in front of a person: its tables and pages printed, its verdict on the last line."""

import json
import logging
import os
import re
import sys
from contextlib import suppress
from copy import copy
from functools import wraps
from typing import Any, NoReturn

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.context import SyncClientContext
from prefect.flows import Flow
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from tasks.reports.settings import settings_changed

STARTUP_SECONDS = 120
"""Prefect's own server, started if none is configured, needs up to 20 s on two cores."""

SERVER_SETTINGS = {
    "ephemeral": {"startup_timeout_seconds": STARTUP_SECONDS},
    "analytics_enabled": False,
    "logging_level": "CRITICAL",
}
"""That server calls nobody, and trouble with its own database is none of the reader's business."""

NO_HEARTBEATS = {"heartbeat_frequency": None}
"""A run that changes nothing needs no alarm when it dies. With heartbeats it would end up to a second later: Prefect
waits for the thread that sends them, which looks once a second whether the run is over."""


def run(flow: Flow[Any, Any], parameters: dict[str, Any]) -> NoReturn:
    """Run a flow, print what it made and how it ended, and exit.

    Args:
        flow: the flow.
        parameters: its parameters.
    """
    console = Console()
    # Events that Prefect's temporary server no longer takes when it ends are lost; nobody listens there.
    logging.getLogger("prefect.events.utilities").setLevel(logging.CRITICAL)
    try:
        flow_settings = NO_HEARTBEATS if parameters.get("dry_run") else {}
        with settings_changed(server=SERVER_SETTINGS, flows=flow_settings), SyncClientContext.get_or_create():
            state, is_kept = _run(flow, parameters)
            with suppress(httpx.HTTPError):  # its tables are in Prefect, and its verdict is on the last line
                _print_artifacts(console, state)
    except KeyboardInterrupt:
        console.print("Interrupted. Run it again to resume.")
        sys.exit(130)
    except (httpx.HTTPError, RuntimeError) as error:
        cause = _find_http_error(error)
        if cause is None:
            raise
        console.print(f"Prefect's API does not answer ({type(cause).__name__}); nothing was begun.", markup=False)
        sys.exit(1)
    console.print(f"\n{state.message}", markup=False, highlight=False, soft_wrap=True)
    code = 0 if state.is_completed() else 1
    if not is_kept:
        _leave_at_once(code)
    sys.exit(code)


def _leave_at_once(code: int) -> NoReturn:
    """Exit without waiting for Prefect's client: it would offer its events for minutes to an API that is away."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(flow: Flow[Any, Any], parameters: dict[str, Any]) -> tuple[State[Any], bool]:
    """Run a flow, and return how it ended and whether Prefect has that.

    If Prefect's API is away when it ends, the state that its function returned counts.

    Raises:
        httpx.HTTPError, RuntimeError: Prefect's API is away, and the flow did not begin.
    """
    ends: list[State[Any]] = []

    @wraps(flow.fn)
    def remember(*args: Any, **kwargs: Any) -> State[Any]:
        ends.append(flow.fn(*args, **kwargs))
        return ends[-1]

    watched = copy(flow)  # `with_options` would make the parameters' schema anew
    watched.fn = remember
    # Prefect's own imports FastAPI for this, which takes as long as all requests to its API.
    watched.serialize_parameters = to_jsonable_python  # type: ignore[method-assign, assignment]
    try:
        state: State[Any] = watched(**parameters, return_state=True)  # type: ignore[assignment]
    except (httpx.HTTPError, RuntimeError) as error:
        if not ends or _find_http_error(error) is None:
            raise
        return ends[-1], False
    return state, True


def _find_http_error(error: BaseException | None) -> httpx.HTTPError | None:
    """Return the error of HTTP that an error is, or is raised for: Prefect's client also raises bare RuntimeErrors."""
    while error is not None and not isinstance(error, httpx.HTTPError):
        error = error.__cause__ or error.__context__
    return error


def _print_artifacts(console: Console, state: State[Any]) -> None:
    """Print the tables and pages that the run itself made, oldest first; a later version of a key replaces it."""
    run_id = state.state_details.flow_run_id
    if run_id is None:
        return
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.ID_DESC)
    newest = {artifact.key: artifact for artifact in sorted(found, key=lambda artifact: str(artifact.created))}
    for artifact in newest.values():
        if artifact.type not in ("table", "markdown"):
            continue
        console.print()
        if artifact.description:
            console.print(Markdown(artifact.description))
        if artifact.type == "table":
            console.print(_table(artifact.data))
        else:
            console.print(Markdown(re.sub(r"!\[[^]]*]\(data:[^)]*\)", "", str(artifact.data))))


def _table(data: Any) -> Table:
    rows = json.loads(data) if isinstance(data, str) else data
    table = Table(*(str(column) for column in rows[0]))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
