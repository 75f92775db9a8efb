"""`python -m lab faults add | on | off | list | clear`: the fault switches from a shell."""

import argparse
from collections.abc import Callable
from typing import Any

from lab.control.client import ControlClient
from lab.control.state import StateFolder
from lab.control.switches import SWITCHES


def _client(arguments: argparse.Namespace) -> ControlClient:
    info = StateFolder(arguments.state.absolute()).get_info()
    return ControlClient(info.control_url, info.control_token)


def add(arguments: argparse.Namespace) -> int:
    """Add an HTTP fault and print its number."""
    headers = dict(header.split(":", 1) for header in arguments.header)
    number = _client(arguments).add_fault(
        host=arguments.host,
        path=arguments.path,
        method=arguments.method,
        status=arguments.status,
        headers={name.strip(): value.strip() for name, value in headers.items()},
        body=arguments.body,
        delay_seconds=arguments.delay,
        times=arguments.times,
        late=arguments.late,
    )
    print(f"Fault {number} is on: {_describe(vars(arguments) | {'delay_seconds': arguments.delay})}")
    return 0


def _describe(rule: dict[str, Any]) -> str:
    late = " after serving the request" if rule["late"] else ""
    effects = [f"responds {rule['status']}{late}"] if rule["status"] else []
    if rule["delay_seconds"]:
        effects.insert(0, f"waits {rule['delay_seconds']:g} s")
    times = f", {rule['times']} times" if rule["times"] is not None else ""
    return f"{rule['method']} {rule['host']}{rule['path']} {', '.join(effects) or 'passes'}{times}"


def turn_on(arguments: argparse.Namespace) -> int:
    """Turn a switch on."""
    _client(arguments).switch(arguments.name, True)
    print(f"{arguments.name} is on.")
    return 0


def turn_off(arguments: argparse.Namespace) -> int:
    """Turn a switch off."""
    _client(arguments).switch(arguments.name, False)
    print(f"{arguments.name} is off.")
    return 0


def show(arguments: argparse.Namespace) -> int:
    """List rules and switches."""
    seen = _client(arguments).faults()
    for number, rule in seen["faults"].items():
        print(f"{number:>3}  {_describe(rule)}")
    for name in seen["switches"]:
        print(f" on  {name}")
    if not seen["faults"] and not seen["switches"]:
        print("No faults.")
    return 0


def clear(arguments: argparse.Namespace) -> int:
    """Remove one rule, or all rules and switches."""
    _client(arguments).clear_faults(arguments.number)
    print("No faults." if arguments.number is None else f"Fault {arguments.number} is off.")
    return 0


def _header(text: str) -> str:
    if ":" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME: VALUE")
    return text


def add_to(parser: argparse.ArgumentParser, shared: argparse.ArgumentParser) -> None:
    """Add the subcommands to the lab's parser."""
    commands = parser.add_subparsers(dest="fault_command", required=True)
    rule = commands.add_parser("add", parents=[shared], help="make matching HTTP requests fail or wait")
    rule.add_argument("--host", default="*", help="glob of the host (default: any)")
    rule.add_argument("--path", default="*", help="glob of the path (default: any)")
    rule.add_argument("--method", default="*", type=str.upper, help="HTTP method (default: any)")
    rule.add_argument(
        "--status", type=int, default=0, help="status of the response; 0 lets the request through after the delay"
    )
    rule.add_argument("--header", type=_header, action="append", default=[], help="NAME: VALUE, may be repeated")
    rule.add_argument("--body", default="", help="body of the response")
    rule.add_argument("--delay", type=float, default=0.0, help="seconds to wait before that")
    rule.add_argument("--times", type=int, help="how many requests it affects (default: all)")
    rule.add_argument("--late", action="store_true", help="serve the request first, then lose its own response")
    rule.set_defaults(function=add)
    switch_commands: tuple[tuple[str, Callable[[argparse.Namespace], int]], ...] = (("on", turn_on), ("off", turn_off))
    for name, function in switch_commands:
        switch = commands.add_parser(name, parents=[shared], help=f"turn a switch {name}")
        switch.add_argument("name", choices=sorted(SWITCHES))
        switch.set_defaults(function=function)
    commands.add_parser("list", parents=[shared], help="list rules and switches").set_defaults(function=show)
    cleared = commands.add_parser("clear", parents=[shared], help="remove one rule, or all rules and switches")
    cleared.add_argument("number", type=int, nargs="?", help="the rule's number (default: all rules and switches)")
    cleared.set_defaults(function=clear)
