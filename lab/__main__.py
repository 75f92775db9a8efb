"""The lab's command line: `python -m lab up | down | run | env | status | logs | faults`."""

import argparse
import importlib.util
import ipaddress
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
    info = lifecycle.start(_start_options(arguments))
    print(f"The lab is up after {time.monotonic() - began:.1f} s: an empty subscription.\n")
    _print_next_steps(folder, info)
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
        is_fresh=arguments.fresh_subscription,
        trusted_issuers=tuple(arguments.trust_issuer),
        listen=arguments.listen,
        prefect_home=_prefect_home(arguments),
    )


def _prefect_home(arguments: argparse.Namespace) -> Path | None:
    """Where the Prefect server keeps its runs: in PREFECT_HOME, which outlives the lab, else with the lab's files."""
    if arguments.no_prefect or importlib.util.find_spec("prefect") is None:
        return None
    return Path(os.environ.get("PREFECT_HOME") or arguments.state / "prefect").expanduser().absolute()


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
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration: give seconds, or a number with s, m or h"
        ) from None
    if value < 0:
        raise argparse.ArgumentTypeError("a duration must not be negative")
    return value


def _address(text: str) -> tuple[str, int]:
    """An address of this machine, and a port."""
    address, _, port = text.partition(":")
    try:
        return str(ipaddress.IPv4Address(address)), int(port or 443)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 address, with or without a port") from None


def _issuer(text: str) -> str:
    """The URL of an OIDC issuer: Entra ID takes no plain HTTP."""
    if not text.startswith("https://"):
        raise argparse.ArgumentTypeError(f"{text!r} is no issuer: give its URL, which begins with https://")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="A local Azure and a local Kubernetes cluster, to run and test against without an account.",
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the state folder (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", parents=[shared], help="start a lab and wait until it is ready"))
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


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", help="first two bytes of the loopback network, as 127.77 (default: a free one)")
    parser.add_argument(
        "--port-range",
        type=_port_range,
        default=(0, 0),
        metavar="FIRST-LAST",
        help="ports to listen at on 127.0.0.1 (default: any)",
    )
    parser.add_argument(
        "--driver",
        choices=("reconciler", "republish"),
        default="reconciler",
        help="Secrets Store CSI driver up to 1.5 (reconciler) or from 1.6 on (republish) (default: %(default)s)",
    )
    parser.add_argument(
        "--poll-interval",
        type=_seconds,
        metavar="SECONDS",
        help="poll interval of the CSI driver, whatever a cluster is created with",
    )
    parser.add_argument(
        "--propagation-delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long it takes until new role assignments and federated credentials have effect (default: 0)",
    )
    parser.add_argument(
        "--operation-seconds",
        type=_seconds,
        default=0.2,
        metavar="SECONDS",
        help="shortest duration of a long-running operation (default: %(default)s)",
    )
    parser.add_argument(
        "--fresh-subscription",
        action="store_true",
        help="no resource provider is registered yet, as in a new subscription (default: all are)",
    )
    parser.add_argument(
        "--listen",
        type=_address,
        metavar="ADDRESS[:PORT]",
        help="answer as Azure at an address of this machine, too, over TLS and without a proxy, for nodes that have a "
        "network of their own; whoever reaches it may sign in there (default: no; port 443)",
    )
    parser.add_argument(
        "--trust-issuer",
        type=_issuer,
        action="append",
        default=[],
        metavar="URL",
        help="an OIDC issuer outside the lab, exactly as its tokens name it, whose keys the lab's Entra ID fetches; "
        "may be given several times",
    )
    parser.add_argument(
        "--no-prefect", action="store_true", help="start no Prefect server (default: one, if Prefect is installed)"
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
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
