"""The options of `lab up`."""

import argparse
import importlib.util
import ipaddress
import os
from pathlib import Path

from lab.control import lifecycle


def add_to(parser: argparse.ArgumentParser) -> None:
    """Let `up` take its options."""
    _add_places(parser)
    _add_behaviour(parser)
    _add_pace(parser)
    parser.add_argument(
        "--no-prefect", action="store_true", help="start no Prefect server (default: one, if Prefect is installed)"
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Where it listens."""
    parser.add_argument("--network", help="first two bytes of the loopback network, as 127.77 (default: a free one)")
    parser.add_argument(
        "--port-range",
        type=_port_range,
        default=(0, 0),
        metavar="FIRST-LAST",
        help="ports to listen at on 127.0.0.1 (default: any)",
    )
    parser.add_argument(
        "--listen",
        type=_address,
        metavar="ADDRESS[:PORT]",
        help="answer as Azure at an address of this machine, too, over TLS and without a proxy, for nodes that have a "
        "network of their own; whoever reaches it may sign in there (default: no; port 443)",
    )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    """What there is, and whom it trusts."""
    parser.add_argument(
        "--driver",
        choices=("reconciler", "republish"),
        default="reconciler",
        help="Secrets Store CSI driver up to 1.5 (reconciler) or from 1.6 on (republish) (default: %(default)s)",
    )
    parser.add_argument(
        "--fresh-subscription",
        action="store_true",
        help="no resource provider is registered yet, as in a new subscription (default: all are)",
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


def _add_pace(parser: argparse.ArgumentParser) -> None:
    """How long things take."""
    for name, default, meaning in (
        ("poll-interval", None, "poll interval of the CSI driver, whatever a cluster is created with"),
        (
            "propagation-delay",
            0.0,
            "how long it takes until new role assignments and federated credentials have effect (default: 0)",
        ),
        ("operation-seconds", 0.2, "shortest duration of a long-running operation (default: %(default)s)"),
    ):
        parser.add_argument(f"--{name}", type=_seconds, default=default, metavar="SECONDS", help=meaning)


def read(arguments: argparse.Namespace) -> lifecycle.StartOptions:
    """What a command line asks for."""
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
