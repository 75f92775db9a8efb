"""The proxies through which the local Azure is reached, one listener for each speaker; and a direct way in, if wanted.

CONNECT to a service of the lab is answered on the same connection: it becomes TLS with the lab's certificate and is
handed to the HTTP server. Plain HTTP (IMDS) is handed over as it is. CONNECT to the lab's network becomes a tunnel.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web

from lab.azure.backends import DIRECT, Origin
from lab.azure.routes import Address, Refusal, Routes, Service
from lab.azure.tunnel import End
from lab.errors import Conflict

_LONGEST_HEAD_BYTES = 65_536
_CONNECT = b"CONNECT "
_ADDRESS = "127.0.0.1"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Gateway:
    """Opens proxies; implements `lab.azure.backends.Proxies`.

    Args:
        routes: where requests may go.
        ports: first and last port for listeners on 127.0.0.1; (0, 0) takes any free port.
    """

    def __init__(self, routes: Routes, ports: tuple[int, int] = (0, 0)) -> None:
        self.routes = routes
        self._ports = ports
        self._listeners: dict[int, _Listener] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._new_handler: Callable[[], asyncio.Protocol] | None = None
        self._direct: asyncio.Server | None = None

    def serve(self, new_handler: Callable[[], asyncio.Protocol], tls: ssl.SSLContext) -> None:
        """Say which HTTP server answers, and with which certificate. Comes before the first `open`."""
        self._new_handler, self._tls = new_handler, tls

    async def open(self, origin: Origin) -> str:
        """Open a proxy for `origin` and return its URL."""
        listener = _Listener(self, origin)
        port = await listener.start(range(self._ports[0], self._ports[1] + 1))
        self._listeners[port] = listener
        return f"http://{_ADDRESS}:{port}"

    async def listen(self, address: str, port: int) -> int:
        """Answer TLS at an address, without a proxy, and return the port: for nodes that have a network of their own.

        Raises:
            Conflict: the address cannot be listened at.
        """
        assert self._new_handler is not None, "serve() comes first"
        try:
            self._direct = await asyncio.get_running_loop().create_server(
                self._new_handler, address, port, ssl=self._tls
            )
        except OSError as error:
            raise Conflict(
                "the lab cannot listen there",
                name=f"{address}:{port}",
                seen=os.strerror(error.errno or errno.EINVAL),
                fix="give --listen an address of this machine, and a port that is free and that you may use",
            ) from None
        return cast(int, self._direct.sockets[0].getsockname()[1])

    async def close(self, url: str) -> None:
        """Close a proxy and the connections through it; an unknown one is ignored."""
        listener = self._listeners.pop(urlsplit(url).port or 0, None)
        if listener:
            await listener.stop()

    async def stop(self) -> None:
        """Close all proxies, and the direct way in."""
        if self._direct is not None:
            self._direct.close()
        for listener in list(self._listeners.values()):
            await listener.stop()
        self._listeners.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def origin_of(self, request: web.BaseRequest) -> Origin:
        """Who sent a request: told by the listener that it came in through."""
        transport = request.transport
        address = transport.get_extra_info("sockname") if transport else None
        host, port = address[:2] if address else ("", 0)
        listener = self._listeners.get(port) if host == _ADDRESS else None
        if listener is None and self._direct is not None and port == self._direct.sockets[0].getsockname()[1]:
            return DIRECT
        if listener is None:
            raise web.HTTPForbidden(text="The proxy that this came through is closed.")
        return listener.origin

    def hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        """Let the HTTP server go on with a connection on which `data` was read already."""
        assert self._new_handler is not None, "serve() comes first"
        handler = self._new_handler()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        if data:
            handler.data_received(data)

    async def encrypt(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> asyncio.Transport | None:
        """Turn a connection into TLS; None when the handshake fails."""
        assert self._tls is not None, "serve() comes first"
        loop = asyncio.get_running_loop()
        try:
            return await loop.start_tls(transport, protocol, self._tls, server_side=True, ssl_handshake_timeout=30)
        except OSError:
            transport.close()
            return None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends with the gateway at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Listener:
    """One listening socket and the connections that came in through it."""

    def __init__(self, gateway: Gateway, origin: Origin) -> None:
        self.origin = origin
        self._gateway = gateway
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()

    async def start(self, ports: Iterable[int]) -> int:
        """Listen on the first port that is free and return it."""
        for port in ports:
            try:
                self._server = await asyncio.get_running_loop().create_server(
                    lambda: _Speaker(self._gateway, self), _ADDRESS, port
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return cast(int, self._server.sockets[0].getsockname()[1])
        raise OSError(errno.EADDRINUSE, "no port of the lab's range is free on 127.0.0.1")

    async def stop(self) -> None:
        """Stop listening and end the connections."""
        assert self._server is not None
        self._server.close()
        for transport in list(self._transports):
            transport.abort()
        await self._server.wait_closed()

    def keep(self, transport: asyncio.Transport) -> None:
        """Remember a connection; those that have ended are forgotten."""
        self._transports = {known for known in self._transports if not known.is_closing()}
        self._transports.add(transport)


class _Speaker(asyncio.Protocol):
    """A connection until it is known what it wants to be."""

    def __init__(self, gateway: Gateway, listener: _Listener) -> None:
        self._gateway, self._listener = gateway, listener
        self._read = b""
        self._connecting = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._listener.keep(self._transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        assert self._transport is not None
        if self._connecting or _CONNECT.startswith(self._read):
            return
        if not self._read.startswith(_CONNECT):
            self._gateway.hand_over(self._transport, self._read)
        elif b"\r\n\r\n" in self._read:
            head, _, self._read = self._read.partition(b"\r\n\r\n")
            self._connecting = True
            self._gateway.spawn(self._connect(self._transport, head))
        elif len(self._read) > _LONGEST_HEAD_BYTES:
            self._transport.abort()

    async def _connect(self, transport: asyncio.Transport, head: bytes) -> None:
        host, _, port = head.split(b" ", 2)[1].decode("latin-1").rpartition(":")
        number = int(port) if port.isdigit() and len(port) <= 5 else 0
        route = self._gateway.routes.find(self._listener.origin, host, number)
        match route:
            case Service():
                await self._speak_tls(transport)
            case Address():
                await self._tunnel(transport, route)
            case Refusal():
                _refuse(transport, route)

    async def _speak_tls(self, transport: asyncio.Transport) -> None:
        transport.pause_reading()
        transport.write(_ESTABLISHED)
        # What arrives between the handshake and the hand-over is kept in _read by data_received.
        encrypted = await self._gateway.encrypt(transport, self)
        if encrypted:
            self._gateway.hand_over(encrypted, self._read)

    async def _tunnel(self, transport: asyncio.Transport, address: Address) -> None:
        transport.pause_reading()
        loop = asyncio.get_running_loop()
        try:
            far, _ = await loop.create_connection(lambda: End(transport), address.host, address.port)
        except OSError as error:
            reason = f"No connection to {address.host}:{address.port}: {error.strerror or 'failed'}"
            _refuse(transport, Refusal(502, reason))
            return
        transport.write(_ESTABLISHED)
        far.write(self._read)
        transport.set_protocol(End(far))
        transport.resume_reading()


def _refuse(transport: asyncio.Transport, refusal: Refusal) -> None:
    body = f"{refusal.reason}.\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status} {refusal.reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    transport.write(head.encode("latin-1") + body)
    transport.close()
