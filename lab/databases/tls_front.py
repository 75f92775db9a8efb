"""The gateway in front of the Flexible Servers: it ends TLS and tells the servers apart by name.

As Azure's does: one address for all servers; the client's SSLRequest is answered `S`, its TLS handshake names the
server (SNI), and whoever goes on without encryption is refused with pg_hba's words. Behind it is a plain
PostgreSQL on a loopback address of its own.
"""

import asyncio
import errno
import logging
import os
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.control.environment import SERVER_DOMAIN
from lab.errors import Conflict

logger = logging.getLogger(__name__)

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
STARTUP_TIMEOUT_SECONDS = 60
MAX_STARTUP_BYTES = 10_000
CHUNK_BYTES = 65536

ContextFactory = Callable[[str], ssl.SSLContext]
"""Makes the context of a server's certificate from its host name."""


@dataclass(frozen=True)
class Backend:
    """Where the PostgreSQL of one server listens."""

    address: str
    port: int


class Refusal(Exception):
    """A connection that ends with PostgreSQL's own error message."""

    def __init__(self, code: str, message: str, routine: str) -> None:
        super().__init__(message)
        self.packet = error_response(code, message, routine)


def error_response(code: str, message: str, routine: str) -> bytes:
    """An ErrorResponse of the PostgreSQL protocol, severity FATAL, with the server's routine that reports it."""
    fields = b"".join(
        kind + value.encode() + b"\0"
        for kind, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", code), (b"M", message), (b"R", routine))
    )
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


class TlsFront:
    """Listens at one address for all Flexible Servers of a lab, or at several.

    Args:
        addresses: the loopback address, and that of a machine whose nodes have a network of their own.
        port: the port; PostgreSQL's.
        context_for: makes a TLS context with the certificate of a host name.
        is_down: whether the servers are to look down just now.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        port: int,
        context_for: ContextFactory,
        is_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self.addresses, self.port = addresses, port
        self._context_for, self._is_down = context_for, is_down
        self._entry = context_for(f"gateway.{SERVER_DOMAIN}")
        self._entry.sni_callback = self._choose
        self._backends: dict[str, Backend] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            Conflict: one of the addresses cannot be listened at.
        """
        try:
            self._server = await asyncio.start_server(self._accept, self.addresses, self.port)
        except OSError as error:
            raise Conflict(
                "the lab cannot listen there for its database servers",
                name=" and ".join(f"{address}:{self.port}" for address in self.addresses),
                seen=os.strerror(error.errno or errno.EINVAL),
                fix=f"give --listen an address of this machine whose port {self.port} is free",
            ) from None

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def add(self, name: str, backend: Backend) -> None:
        """Answer for the server `name`."""
        host = f"{name}.{SERVER_DOMAIN}"
        self._contexts[host] = self._context_for(host)
        self._backends[host] = backend

    def remove(self, name: str) -> None:
        """Answer no longer for the server `name`."""
        self._backends.pop(f"{name}.{SERVER_DOMAIN}", None)
        self._contexts.pop(f"{name}.{SERVER_DOMAIN}", None)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._connections.add(task)
        try:
            if not self._is_down():
                await self._serve(reader, writer)
        except Refusal as refusal:
            writer.write(refusal.packet)
            await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError) as error:
            logger.debug("connection to a database server ended: %s", type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(STARTUP_TIMEOUT_SECONDS):
            host = await self._negotiate(reader, writer)
            backend = self._backends.get(host)
            if backend is None:
                said = "no server of this name behind the gateway (the client names it by SNI)"
                raise Refusal("28000", said, "ClientAuthentication")
            behind_reader, behind_writer = await self._connect(backend)
        await _join(reader, writer, behind_reader, behind_writer)

    async def _connect(self, backend: Backend) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(backend.address, backend.port)
        except OSError:
            raise Refusal("57P03", "the database system is starting up", "ProcessStartupPacket") from None

    async def _negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Bring the connection to TLS; returns the server's name as the client gave it."""
        while True:
            length, code = struct.unpack("!ii", await reader.readexactly(8))
            if code == GSS_REQUEST:
                writer.write(b"N")
            elif code == SSL_REQUEST:
                writer.write(b"S")
                return await self._start_tls(writer)
            elif code == CANCEL_REQUEST:
                raise EOFError("a cancel request without encryption")
            else:
                raise await self._no_encryption(reader, writer, length)

    async def _start_tls(self, writer: asyncio.StreamWriter) -> str:
        """The handshake; the context that the name led to says which server was meant."""
        await writer.start_tls(self._entry)
        used = writer.get_extra_info("ssl_object").context
        return next((host for host, context in self._contexts.items() if context is used), "")

    def _choose(self, connection: ssl.SSLObject, name: str | None, _entry: ssl.SSLContext) -> None:
        """Show the certificate of the server that the client names; of the only one when it names none."""
        host = name or (next(iter(self._contexts)) if len(self._contexts) == 1 else "")
        connection.context = self._contexts.get(host.lower(), self._entry)

    async def _no_encryption(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> Refusal:
        """Azure's refusal of a plain connection, in the words of pg_hba."""
        rest = await reader.readexactly(min(max(length - 8, 0), MAX_STARTUP_BYTES))
        words = rest.split(b"\0")
        parameters = dict(zip(words[::2], words[1::2], strict=False))
        user = parameters.get(b"user", b"").decode(errors="replace")
        database = parameters.get(b"database", b"").decode(errors="replace") or user
        peer = writer.get_extra_info("peername")[0]
        return Refusal(
            "28000",
            f'no pg_hba.conf entry for host "{peer}", user "{user}", database "{database}", no encryption',
            "ClientAuthentication",
        )


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    behind_reader: asyncio.StreamReader,
    behind_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes both ways until one side ends; then both are ended."""
    ways = [
        asyncio.create_task(_pass(reader, behind_writer)),
        asyncio.create_task(_pass(behind_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        behind_writer.close()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        sink.write(chunk)
        await sink.drain()
