"""The lab's command line: `python -m lab up | down | run | env | status | logs | faults`."""

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

from lab.commands import faults as faults_command
from lab.commands import run, up_options
from lab.control import lifecycle
from lab.control.client import ControlClient
from lab.control.environment import add_no_proxy, exports
from lab.control.state import LabInfo, StateFolder
from lab.errors import Conflict, InvalidInput, LabError, NotFound

DEFAULT_STATE = Path(".keyturn/lab")


def up(arguments: argparse.Namespace) -> int:
    """Start a lab, or say that one is already up."""
    folder = _folder(arguments)
    if folder.is_alive():
        try:
            info = folder.get_info()
        except NotFound:
            raise Conflict("a lab is starting here", name=str(folder.path), fix="wait until it is up") from None
        print(f"The lab is already up, since {info.started_at}.\n")
        _print_next_steps(folder, info)
        return 0
    if folder.exists():
        print("Removed the files of a lab that had died.")
    began = time.monotonic()
    info = lifecycle.start(up_options.read(arguments))
    print(f"The lab is up after {time.monotonic() - began:.1f} s: an empty subscription.\n")
    _print_next_steps(folder, info)
    return 0


def _prefect_url(info: LabInfo) -> str:
    return info.environment.get("PREFECT_API_URL", "").removesuffix("/api")


def _print_next_steps(folder: StateFolder, info: LabInfo) -> None:
    option = "" if folder.path == DEFAULT_STATE.absolute() else f" --state {folder.path}"
    lines = {
        "state folder": str(folder.path),
        "network": f"{info.network}.0.0/16",
        "proxy": info.environment["HTTPS_PROXY"],
        "CSI driver": info.driver,
        "Prefect": _prefect_url(info) or "-",
        "log": str(folder.daemon_log),
    }
    print(textwrap.indent("\n".join(f"{label:<13} {value}" for label, value in lines.items()), "  "))
    command = f"python -m lab{{}}{option}"
    print(
        textwrap.dedent(f"""
        Run a command in it:     {command.format(" run")} -- kubectl get pods -A
        Use it in this shell:    eval "$({command.format(" env")})"
        See what is in it:       {command.format(" status")}
        End it:                  {command.format(" down")}""")
    )


def down(arguments: argparse.Namespace) -> int:
    """End a lab and remove its files."""
    folder = _folder(arguments)
    if lifecycle.stop(folder):
        print("The lab is down, and its files are removed.")
    else:
        print(f"No lab at {folder.path}; nothing to do.")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print what is in the lab; exit code 3 when none runs, as init scripts have it."""
    folder = _folder(arguments)
    if not folder.is_alive():
        print(_absence(folder))
        return 3
    info = folder.get_info()
    seen = ControlClient(info.control_url, info.control_token).status()
    if arguments.json:
        known = {
            "state": str(folder.path),
            "network": info.network,
            "driver": info.driver,
            "prefect": _prefect_url(info),
        }
        print(json.dumps({**known, **seen}, indent=2))
        return 0
    print(f"up since {info.started_at}, pid {info.pid}, network {info.network}.0.0/16, driver {info.driver}")
    print(f"{'prefect':<9} {_prefect_url(info) or '-'}")
    for label in ("clusters", "machines", "servers", "switches"):
        print(f"{label:<9} {', '.join(seen[label]) or '-'}")
    print(f"{'faults':<9} {len(seen['faults']) or '-'}")
    return 0


def _absence(folder: StateFolder) -> str:
    if folder.exists():
        return f"down: the lab at {folder.path} has died; `up` starts a new one, `down` removes its files"
    return f"down: no lab at {folder.path}"


def env(arguments: argparse.Namespace) -> int:
    """Print exports for a shell."""
    print(exports(add_no_proxy(_folder(arguments).get_info().environment, os.environ)), end="")
    return 0


def run_command(arguments: argparse.Namespace) -> int:
    """Become a command in the lab's environment."""
    argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not argv:
        raise InvalidInput("no command given", name="run", fix="python -m lab run -- kubectl get pods -A")
    folder = _folder(arguments)
    run.become(argv, folder.get_info(), folder)
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """Print a log, or list all logs."""
    folder = _folder(arguments)
    if not folder.logs.is_dir():
        raise NotFound("no logs", name=str(folder.logs), fix="start a lab: python -m lab up")
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
        fix="choose one of these",
    )


def _folder(arguments: argparse.Namespace) -> StateFolder:
    return StateFolder(arguments.state.absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="A local Azure and a local Kubernetes cluster, to run and test against without an account.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the state folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    starting = commands.add_parser("up", parents=[shared], help="start a lab and wait until it is ready")
    up_options.add_to(starting)
    starting.set_defaults(function=up)
    ending = commands.add_parser("down", parents=[shared], help="end the lab and remove its state folder")
    ending.set_defaults(function=down)
    running = commands.add_parser("run", parents=[shared], help="run a command in the lab: run -- kubectl get pods -A")
    running.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    running.set_defaults(function=run_command)
    exporting = commands.add_parser("env", parents=[shared], help='print exports for eval "$(python -m lab env)"')
    exporting.set_defaults(function=env)
    showing = commands.add_parser(
        "status", parents=[shared], help="show what is in the lab; exit code 3 when none runs"
    )
    showing.add_argument("--json", action="store_true", help="as JSON")
    showing.set_defaults(function=status)
    reading = commands.add_parser("logs", parents=[shared], help="print a log")
    reading.add_argument("name", nargs="?", default="daemon", help="which log (default: %(default)s)")
    reading.add_argument("--list", action="store_true", help="list the names of all logs")
    reading.set_defaults(function=logs)
    faults_command.add_to(commands.add_parser("faults", help="make Azure, the cluster or a database fail"), shared)
    return parser


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
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
