"""A TCP proxy in front of PostgreSQL that cuts a connection at a statement: before it is executed, or after."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 65536


class CuttingProxy:
    """Carries connections to a database until a statement comes by.

    Args:
        upstream: address and port of the database.
        statement: the words that it starts with.
        late: whether the database executes it, and only its answer is lost.
    """

    def __init__(self, upstream: tuple[str, int], statement: str, late: bool) -> None:
        self._upstream, self._statement, self._late = upstream, statement.encode(), late
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0

    @contextmanager
    def running(self) -> Iterator["CuttingProxy"]:
        """Listen for a block."""
        thread = threading.Thread(target=self._accept)
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            thread.join()

    def _accept(self) -> None:
        threads = []
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threads.append(threading.Thread(target=self._carry, args=(client,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _carry(self, client: socket.socket) -> None:
        """Carry both directions until one ends; each request is small enough to come in one piece."""
        with client, socket.create_connection(self._upstream) as server:
            answers = threading.Thread(target=_copy, args=(server, client))
            answers.start()
            with contextlib.suppress(OSError):
                while request := client.recv(CHUNK_BYTES):
                    if self._statement in request and not self.cuts:
                        self.cuts += 1
                        self._cut(request, client, server)
                        break
                    server.sendall(request)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _cut(self, request: bytes, client: socket.socket, server: socket.socket) -> None:
        """Hang up on the client; a late cut lets the database execute the statement first."""
        client.shutdown(socket.SHUT_RDWR)
        if self._late:
            server.sendall(request)
            server.shutdown(socket.SHUT_WR)  # it answers, and ends the session when it has done so


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy one direction to its end, even if nobody reads it."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            with contextlib.suppress(OSError):
                sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
