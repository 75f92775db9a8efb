"""TCP forwards: what a load balancer and kube-proxy do, as listeners on loopback addresses."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lab.cluster.informer import cancel

CHUNK = 65536
Target = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True)
class Listen:
    """Where a forward listens, and its source address towards the pods."""

    address: str
    port: int


class Forward:
    """One listener that hands connections to its targets in turn; without targets it refuses, as iptables does.

    Args:
        listen: where.
        is_down: whether connections are cut as soon as they are made.
    """

    def __init__(self, listen: Listen, is_down: Callable[[], bool] = lambda: False) -> None:
        self.listen, self._is_down = listen, is_down
        self._targets: list[Target] = []
        self._turn = 0
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def direct(self, targets: list[Target]) -> None:
        """Send new connections to `targets`; those that are open stay.

        Raises:
            OSError: the port cannot be bound.
        """
        self._targets = targets
        if targets and self._accepting is None:
            listener = socket.create_server((self.listen.address, self.listen.port), backlog=128)
            listener.setblocking(False)
            self._accepting = asyncio.create_task(self._accept(listener), name=f"forward {self.listen}")
            self._accepting.add_done_callback(lambda _: listener.close())
        elif not targets:
            await self._close()

    async def _close(self) -> None:
        await cancel(self._accepting)
        self._accepting = None

    async def stop(self) -> None:
        """Close the listener and all connections."""
        await self._close()
        for task in list(self._connections):
            await cancel(task)

    async def _accept(self, listener: socket.socket) -> None:
        """Take connections; asyncio's own server loses those that come while it is being closed."""
        loop = asyncio.get_running_loop()
        while True:
            accepted, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._carry(accepted))
            self._connections.add(task)
            task.add_done_callback(partial(self._hang_up, accepted))

    def _hang_up(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        """However the task ended: one that is cancelled before it began has cleaned up nothing."""
        self._connections.discard(task)
        accepted.close()

    async def _carry(self, accepted: socket.socket) -> None:
        inner = None if self._is_down() else await self._connect()
        if inner is None:
            return
        with contextlib.ExitStack() as ending:  # it may be cancelled before both connections are made
            ending.callback(inner[1].transport.abort)
            reader, writer = await asyncio.open_connection(sock=accepted)
            ending.callback(writer.transport.abort)
            await asyncio.gather(_copy(reader, inner[1]), _copy(inner[0], writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._targets)):
            self._turn += 1
            target = self._targets[self._turn % len(self._targets)]
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*target, local_addr=(self.listen.address, 0))
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one direction to its end; a reset ends both."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()
