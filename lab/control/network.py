"""The loopback network of one lab: a /16 of 127.0.0.0/8 that no other lab on the machine uses.

Linux answers on every address of 127.0.0.0/8 without set-up, so pods, load balancers, machines and servers get
addresses of their own. A network is reserved by an abstract unix socket: the kernel gives it back when the
daemon dies, however it dies.
"""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lab.errors import Conflict, InvalidInput

FIRST, LAST = 77, 250
POSTGRES_PORT = 5432

FRONT = "0.5"
"""Last two bytes of the address that all Flexible Servers answer at; TLS tells them apart by name."""
MACHINES = 210
"""Third byte of the addresses that virtual machines call localhost."""
SERVERS = 220
"""Third byte of the addresses of the PostgreSQL servers behind the front."""


@dataclass
class Reservation:
    """A reserved network; it is held as long as this object is open.

    Args:
        prefix: its first two bytes, as "127.77".
    """

    prefix: str
    _socket: socket.socket

    def address(self, rest: str) -> str:
        """The address in this network with the last two bytes `rest`, as "0.5"."""
        return f"{self.prefix}.{rest}"

    def close(self) -> None:
        """Give the network back."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _try_reserve(prefix: str) -> Reservation | None:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0keyturn-lab-{prefix}")
    except OSError:
        holder.close()
        return None
    return Reservation(prefix, holder)


def reserve(wanted: str | None = None) -> Reservation:
    """Reserve a network: the one that is wanted, or the first that is free and whose port for databases is free.

    Args:
        wanted: first two bytes, as "127.77"; None chooses.

    Raises:
        InvalidInput: `wanted` is not such a network.
        Conflict: another lab has it, or something else its port for databases; or all of them are taken.
    """
    if wanted is not None:
        _check(wanted)
        reservation = _try_reserve(wanted)
        if reservation is None:
            raise Conflict(
                "the network of the lab is taken",
                name=wanted,
                seen="another lab on this machine uses it",
                fix="give another --network, or leave the option out to get a free one",
            )
        return _with_free_port(reservation)
    refused: Conflict | None = None
    for second in range(FIRST, LAST + 1):
        reservation = _try_reserve(f"127.{second}")
        if reservation is None:
            continue
        try:
            return _with_free_port(reservation)
        except Conflict as error:  # a killed lab's listeners may outlast its reservation by a moment
            refused = refused or error
    raise refused or Conflict("no network is free for the lab", name=f"127.{FIRST}-127.{LAST}", fix="end another lab")


def _with_free_port(reservation: Reservation) -> Reservation:
    """Return the reservation, or give it back when the port of its databases is taken."""
    try:
        check_port_is_free(reservation.address(FRONT))
    except Conflict:
        reservation.close()
        raise
    return reservation


def _check(wanted: str) -> None:
    first, _, second = wanted.partition(".")
    if first != "127" or not second.isdecimal() or not 1 <= int(second) <= LAST or second != str(int(second)):
        raise InvalidInput(
            "not a network that a lab can use",
            name=wanted,
            fix=f"give the first two bytes of a loopback network, 127.1 to 127.{LAST}",
        )


def check_port_is_free(address: str, port: int = POSTGRES_PORT) -> None:
    """Make sure that `port` can be bound at `address`.

    Raises:
        Conflict: something listens there; on Linux a server on 0.0.0.0 takes the port of every address.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise Conflict(
                "the port that the lab's databases answer on is taken",
                name=f"{address}:{port}",
                seen=error.strerror or str(error),
                fix=f"a server that listens on 0.0.0.0:{port} blocks every loopback address: bind it to 127.0.0.1",
            ) from None
