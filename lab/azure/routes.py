"""Where a proxied request goes: a service of the lab, an address of the lab's network, or nowhere."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from lab.azure.backends import DIRECT, Origin

IMDS_HOST = "169.254.169.254"
_HOST = re.compile(r"[0-9A-Za-z._-]{1,253}|\[[0-9a-fA-F:.]+\]")
_LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Service:
    """One of the lab's HTTPS services; which one is told by the Host header."""


@dataclass(frozen=True)
class Address:
    """A socket of the lab's own network."""

    host: str
    port: int


@dataclass(frozen=True)
class Refusal:
    """Nowhere; `reason` says why in one line and names the host."""

    status: int
    reason: str


Route = Service | Address | Refusal


class Routes:
    """Decides where requests go.

    Args:
        network: first two bytes of the lab's loopback network, as "127.77".
        finds: looks a name up among the lab's services: True when it answers, False when it is a name of Azure
            that does not exist in this lab (as DNS would not know it), None when it is nobody's.
    """

    def __init__(self, network: str, finds: Callable[[str], bool | None]) -> None:
        self._network = re.compile(re.escape(network) + r"(?:\.\d{1,3}){2}")
        self._finds = finds
        self._names: dict[str, Address] = {}

    def add(self, host: str, address: Address) -> None:
        """Let CONNECT reach a TCP server of the lab under a name of its own."""
        self._names[host.lower()] = address

    def remove(self, host: str) -> None:
        """Forget such a name; an unknown one is ignored."""
        self._names.pop(host.lower(), None)

    def _find_address(self, origin: Origin, host: str, port: int) -> Address | None:
        if origin.address and host in _LOCAL:
            return Address(origin.address, port)
        return Address(host, port) if self._network.fullmatch(host) else self._names.get(host)

    def find(self, origin: Origin, host: str, port: int) -> Route:
        """The route from a speaker to `host`:`port`."""
        host = host.lower()
        if not _HOST.fullmatch(host):
            return Refusal(400, "This is not a host name")
        if origin != DIRECT and (address := self._find_address(origin, host, port)):
            return address
        found = self._finds(host)
        if found is None:
            return Refusal(403, f"Host {host} is not part of this lab")
        if not found:
            return Refusal(502, f"Could not resolve host {host}: this lab has nothing of that name")
        return Service() if port == 443 else Refusal(403, f"Port {port} of {host} is not open: use 443")
