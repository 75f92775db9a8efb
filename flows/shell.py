"""Flows from the shell: the same parameters as in the UI, the tables printed, the exit code right.

`python -m flows.rotate --help` shows each parameter with its help. Codes: 0 the flow did what it was asked for,
1 it did not, 2 the command line cannot be used, 130 interrupted.
"""

import inspect
import json
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.flows import Flow
from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings
from pydantic import ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    CliApp,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

STARTUP_SECONDS = 120
"""Prefect's own server, started where none is named, needs up to 20 s on two cores."""


def run_from_shell(flow: Flow[Any, Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a flow with parameters from the command line, print what it made, and exit.

    Args:
        flow: the flow; each parameter is a pydantic model.
        arguments: the command line without the program; the process' own by default.
    """
    parameters = _parse(flow, sys.argv[1:] if arguments is None else list(arguments))
    console = Console()
    try:
        with temporary_settings(updates={PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: STARTUP_SECONDS}):
            state = _run(flow, parameters)
            _print_artifacts(console, state)
    except KeyboardInterrupt:
        console.print("interrupted: run it again, it goes on from where it was")
        sys.exit(130)
    console.print(f"\n[bold]{state.name}[/bold]: ", end="")
    console.print(state.message or "", markup=False, highlight=False)
    sys.exit(0 if state.is_completed() else 1)


def _run(flow: Flow[Any, Any], parameters: dict[str, Any]) -> State[Any]:
    state: State[Any] = flow(**parameters, return_state=True)  # type: ignore[assignment]
    return state


def _parse(flow: Flow[Any, Any], arguments: Sequence[str]) -> dict[str, Any]:
    command_line = _make_command_line(flow)
    try:
        parsed = CliApp.run(command_line, cli_args=list(arguments))
    except ValidationError as error:
        for one in error.errors(include_input=False, include_url=False):
            where = ".".join(str(part) for part in one["loc"])
            print(f"--{where.replace('_', '-')}: {one['msg']}", file=sys.stderr)
        print(f"see: python -m {flow.fn.__module__} --help", file=sys.stderr)
        sys.exit(2)
    return {name: getattr(parsed, name) for name in command_line.model_fields}


class _Base(BaseSettings):
    """The command line alone: no variable of the environment is a parameter by accident."""

    model_config = SettingsConfigDict(
        cli_kebab_case=True, cli_implicit_flags=True, cli_hide_none_type=True, cli_avoid_json=True, extra="forbid"
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given, nothing else."""
        return (init_settings,)


def _make_command_line(flow: Flow[Any, Any]) -> type[_Base]:
    module = flow.fn.__module__
    name = inspect.getmodule(flow.fn).__spec__.name if module == "__main__" else module  # type: ignore[union-attr]
    fields: dict[str, Any] = {
        parameter.name: (parameter.annotation, parameter.default)
        for parameter in inspect.signature(flow.fn, eval_str=True).parameters.values()
    }
    made = create_model("CommandLine", __base__=_Base, __doc__=flow.description or "", **fields)
    made.model_config["cli_prog_name"] = f"python -m {name}"
    return made


def _print_artifacts(console: Console, state: State[Any]) -> None:
    """Print the tables and pages that the run itself made, oldest first; a later version of a key replaces it."""
    run = state.state_details.flow_run_id
    if run is None:
        return
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.ID_DESC)
    newest = {one.key: one for one in sorted(found, key=lambda one: str(one.created))}
    for one in newest.values():
        console.print()
        if one.description:
            console.print(Markdown(one.description))
        if one.type == "table":
            console.print(_table(one.data))
        elif one.type == "markdown":
            console.print(Markdown(re.sub(r"!\[[^]]*]\(data:[^)]*\)", "", str(one.data))))


def _table(data: Any) -> Table:
    rows = json.loads(data) if isinstance(data, str) else data
    table = Table(*(str(column) for column in rows[0]))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
