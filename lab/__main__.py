"""The lab's command line: `python -m lab up | down | status | env | run -- COMMAND | logs | faults`."""

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from lab.commands import faults as faults_command
from lab.commands import run
from lab.control import lifecycle
from lab.control.client import ControlClient
from lab.control.environment import exports
from lab.control.state import LabInfo, StateFolder
from lab.errors import Conflict, InvalidInput, LabError, NotFound

DEFAULT_STATE = Path(".keyturn/lab")


def up(arguments: argparse.Namespace) -> int:
    """Start a lab, or say that it is up already."""
    folder = _folder(arguments)
    if folder.is_alive():
        try:
            info = folder.get_info()
        except NotFound:
            raise Conflict("a lab is starting here", name=str(folder.path), remedy="wait for it") from None
        print(f"The lab is up already (since {info.started_at}).\n")
        _print_how_to_go_on(folder, info)
        return 0
    if folder.exists():
        print("Cleared away what a lab that died had left.")
    began = time.monotonic()
    info = lifecycle.start(_start_options(arguments))
    print(f"The lab is up after {time.monotonic() - began:.1f} s: an empty subscription, nothing in it yet.\n")
    _print_how_to_go_on(folder, info)
    return 0


def _start_options(arguments: argparse.Namespace) -> lifecycle.StartOptions:
    return lifecycle.StartOptions(
        state=arguments.state,
        network=arguments.network,
        ports=arguments.port_range,
        driver=arguments.driver,
        poll_interval_seconds=arguments.poll_interval,
        propagation_delay_seconds=arguments.propagation_delay,
        operation_seconds=arguments.operation_seconds,
    )


def _print_how_to_go_on(folder: StateFolder, info: LabInfo) -> None:
    again = "" if folder.path == DEFAULT_STATE.absolute() else f" --state {folder.path}"
    lines = {
        "state folder": str(folder.path),
        "network": f"{info.network}.0.0/16",
        "proxy": info.environment["HTTPS_PROXY"],
        "CSI driver": info.driver,
        "log": str(folder.daemon_log),
    }
    print(textwrap.indent("\n".join(f"{label:<13} {value}" for label, value in lines.items()), "  "))
    command = f"python -m lab{{}}{again}"
    print(
        textwrap.dedent(f"""
        Take it into this shell:   eval "$({command.format(" env")})"
        Run something in it:       {command.format(" run")} -- kubectl get pods -A
        See what it has:           {command.format(" status")}
        Take it down:              {command.format(" down")}""")
    )


def down(arguments: argparse.Namespace) -> int:
    """End a lab; nothing of it is left."""
    folder = _folder(arguments)
    if lifecycle.stop(folder):
        print("The lab is down; nothing of it is left.")
    else:
        print(f"No lab at {folder.path}: nothing to do.")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print what the lab has; 3 when none runs, as init scripts do."""
    folder = _folder(arguments)
    if not folder.is_alive():
        print(_absence(folder))
        return 3
    info = folder.get_info()
    seen = ControlClient(info.control_url, info.control_token).status()
    if arguments.json:
        print(json.dumps({"state": str(folder.path), "network": info.network, "driver": info.driver, **seen}, indent=2))
        return 0
    print(f"up since {info.started_at}, pid {info.pid}, network {info.network}.0.0/16, driver {info.driver}")
    for label in ("clusters", "machines", "servers", "switches"):
        print(f"{label:<9} {', '.join(seen[label]) or '-'}")
    print(f"{'faults':<9} {len(seen['faults']) or '-'}")
    return 0


def _absence(folder: StateFolder) -> str:
    if folder.exists():
        return f"down: the lab at {folder.path} has died; `up` starts afresh, `down` clears it away"
    return f"down: no lab at {folder.path}"


def env(arguments: argparse.Namespace) -> int:
    """Print exports for a shell."""
    print(exports(_folder(arguments).get_info().environment), end="")
    return 0


def run_command(arguments: argparse.Namespace) -> int:
    """Turn into a command that lives in the lab."""
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise InvalidInput("no command was given", name="run", remedy="python -m lab run -- kubectl get pods")
    folder = _folder(arguments)
    run.become(argv, folder.get_info(), folder)
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """Print a log, or list the logs that there are."""
    folder = _folder(arguments)
    if not folder.logs.is_dir():
        raise NotFound("no logs", name=str(folder.logs), remedy="start a lab by: python -m lab up")
    found = sorted(file for file in folder.path.rglob("*.log") if file.is_file())
    names = {file: str(file.relative_to(folder.path).with_suffix("")).removeprefix("logs/") for file in found}
    if arguments.list:
        print("\n".join(names.values()))
        return 0
    for file in found:
        if arguments.name in (names[file], file.stem):
            sys.stdout.write(file.read_text(errors="replace"))
            return 0
    raise NotFound(
        "no such log",
        name=arguments.name,
        seen=", ".join(names.values()) or "none",
        remedy="give one of these",
    )


def _folder(arguments: argparse.Namespace) -> StateFolder:
    return StateFolder(arguments.state.absolute())


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST-LAST within 1024-65535")
    return int(first), int(last)


def _seconds(text: str) -> float:
    """Seconds as a number, or with a unit as Azure writes intervals: 2m, 90s."""
    factor = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, nor one with s, m or h") from None
    if value < 0:
        raise argparse.ArgumentTypeError("a time is not negative")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="A local Azure and a local cluster, for runs and tests without an account.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the state folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_up(commands.add_parser("up", parents=[shared], help="start a lab; returns when it is ready"))
    for name, function, text in (
        ("down", down, "end the lab and remove its state folder"),
        ("env", env, 'print exports: eval "$(python -m lab env)"'),
    ):
        commands.add_parser(name, parents=[shared], help=text).set_defaults(function=function)
    seen = commands.add_parser("status", parents=[shared], help="what the lab has; exit code 3 when none runs")
    seen.add_argument("--json", action="store_true", help="for programs")
    seen.set_defaults(function=status)
    inside = commands.add_parser("run", parents=[shared], help="run a command in the lab's environment")
    inside.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    inside.set_defaults(function=run_command)
    written = commands.add_parser("logs", parents=[shared], help="print a log")
    written.add_argument("name", nargs="?", default="daemon", help="which one (default: %(default)s)")
    written.add_argument("--list", action="store_true", help="list the logs that there are")
    written.set_defaults(function=logs)
    faults_command.add_to(commands.add_parser("faults", help="break something on purpose"), shared)
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", help="first two bytes of its loopback network, as 127.77 (default: a free one)")
    parser.add_argument(
        "--port-range", type=_port_range, default=(0, 0), metavar="FIRST-LAST", help="ports for listeners on 127.0.0.1"
    )
    parser.add_argument(
        "--driver",
        choices=("reconciler", "republish"),
        default="reconciler",
        help="generation of the Secrets Store CSI driver: up to 1.5, or 1.6 (default: %(default)s)",
    )
    parser.add_argument(
        "--poll-interval", type=_seconds, metavar="SECONDS", help="overrides the interval that clusters are made with"
    )
    parser.add_argument(
        "--propagation-delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long a new role assignment or federated credential has no effect (default: 0)",
    )
    parser.add_argument(
        "--operation-seconds",
        type=_seconds,
        default=0.2,
        metavar="SECONDS",
        help="how long a long-running operation takes at least (default: %(default)s)",
    )
    parser.set_defaults(function=up)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors are a paragraph on standard error and exit code 1."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.function(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has had enough, as `head` does
        return 0
    except LabError as error:
        print(f"keyturn lab: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
