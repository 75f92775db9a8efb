"""Flows from the shell: the same parameters as in the UI, the tables printed, the exit code right.

`python -m flows.rotate --help` shows each parameter with its help. Codes: 0 the flow did what it was asked for,
1 it did not, 2 the command line cannot be used, 130 interrupted.
"""

import inspect
import json
import logging
import re
import sys
from collections.abc import Sequence
from enum import Enum
from typing import Any, NoReturn

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import ArtifactSort
from prefect.flows import Flow
from prefect.logging.configuration import setup_logging
from prefect.settings import (
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    PREFECT_SERVER_LOGGING_LEVEL,
    temporary_settings,
)
from pydantic import ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from infra.errors import KeyturnError

STARTUP_SECONDS = 120
"""Prefect's own server, started where none is named, needs up to 20 s on two cores."""

SERVER_SETTINGS: dict[Any, Any] = {
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: STARTUP_SECONDS,
    PREFECT_SERVER_ANALYTICS_ENABLED: False,
    PREFECT_SERVER_LOGGING_LEVEL: "CRITICAL",
}
"""That server calls nobody, and its own troubles with its database are not the reader's."""


def run_from_shell(flow: Flow[Any, Any], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a flow with parameters from the command line, print what it made, and exit.

    Args:
        flow: the flow; each parameter is a pydantic model, or a field of one.
        arguments: the command line without the program; the process' own by default.
    """
    parameters = parse_parameters(flow, sys.argv[1:] if arguments is None else list(arguments))
    console = Console()
    try:
        with temporary_settings(updates=SERVER_SETTINGS):
            _spare_tracebacks()
            state = _run(flow, parameters)
            _print_artifacts(console, state)
    except KeyboardInterrupt:
        console.print("interrupted: run it again, it goes on from where it was")
        sys.exit(130)
    console.print(f"\n[bold]{state.name}[/bold]: {escape(_describe(state))}", highlight=False, soft_wrap=True)
    sys.exit(0 if state.is_completed() else 1)


def _run(flow: Flow[Any, Any], parameters: dict[str, Any]) -> State[Any]:
    state: State[Any] = flow(**parameters, return_state=True)  # type: ignore[assignment]
    return state


def _describe(state: State[Any]) -> str:
    """Return what the state says; of a flow that raised, the error's own words."""
    if state.is_failed():
        error = state.result(raise_on_failure=False)
        if isinstance(error, KeyturnError):
            return str(error)
    return state.message or ""


class _NotRaised(logging.Filter):
    """Leaves out an error's traceback, and its text as well: that is the last thing printed."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], KeyturnError))


def _spare_tracebacks() -> None:
    """Keep the tracebacks of errors that are meant to be read off the console; the server's logs have them."""
    setup_logging()
    # An event that comes when Prefect's temporary server has ended is lost; nobody listens there.
    logging.getLogger("prefect.events.utilities").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_NotRaised())


def parse_parameters(flow: Flow[Any, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the flow's parameters as the command line gives them; exits with code 2 where it cannot be used."""
    command_line = _make_command_line(flow)
    try:
        source = _Source(command_line)
        parsed = CliApp.run(command_line, cli_args=list(arguments), cli_settings_source=source)
    except ValidationError as error:
        for one in error.errors(include_input=False, include_url=False):
            where = ".".join(str(part) for part in one["loc"])
            print(f"--{where.replace('_', '-')}: {one['msg']}", file=sys.stderr)
        print(f"see: python -m {_module_of(flow)} --help", file=sys.stderr)
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


class _Source(CliSettingsSource[Any]):
    """Shows an Enum's values in the help, as the UI does: they are what is typed."""

    def _metavar_format_recurse(self, obj: Any) -> str:
        if inspect.isclass(obj) and issubclass(obj, Enum):
            return self._metavar_format_choices([str(one.value) for one in obj])
        return super()._metavar_format_recurse(obj)


def _module_of(flow: Flow[Any, Any]) -> str:
    """Return the name by which `python -m` finds the flow's module, also while it is the main one."""
    module = inspect.getmodule(flow.fn)
    spec = getattr(module, "__spec__", None)
    return spec.name if spec else flow.fn.__module__


def _make_command_line(flow: Flow[Any, Any]) -> type[_Base]:
    fields: dict[str, Any] = {
        parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for parameter in inspect.signature(flow.fn, eval_str=True).parameters.values()
    }
    made = create_model("CommandLine", __base__=_Base, __doc__=flow.description or "", **fields)
    made.model_config["cli_prog_name"] = f"python -m {_module_of(flow)}"
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
        if one.type not in ("table", "markdown"):
            continue
        console.print()
        if one.description:
            console.print(Markdown(one.description))
        if one.type == "table":
            console.print(_table(one.data))
        else:
            console.print(Markdown(re.sub(r"!\[[^]]*]\(data:[^)]*\)", "", str(one.data))))


def _table(data: Any) -> Table:
    rows = json.loads(data) if isinstance(data, str) else data
    table = Table(*(str(column) for column in rows[0]))
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
