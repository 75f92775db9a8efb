"""A way to Prefect's API that can be closed and opened again: for who goes by it, the server is away meanwhile."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

CHUNK_BYTES = 65536


class Way:
    """A TCP proxy in front of Prefect's server, always at the same port.

    Args:
        api: the API's URL.
    """

    def __init__(self, api: str) -> None:
        parts = urlsplit(api)
        self._upstream, self._path = (parts.hostname or "", parts.port or 80), parts.path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._sockets, self._threads = list[socket.socket](), list[threading.Thread]()
        self._accept_in_thread()

    @property
    def url(self) -> str:
        """The API's URL by this way."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    def close(self) -> None:
        """Cut every connection, and refuse new ones."""
        if not self._threads:
            return
        accepting, *copying = self._threads
        _cut(self._listener)
        accepting.join()  # nothing is accepted behind the sockets that are cut now
        for opened in self._sockets:
            _cut(opened)
        for thread in copying:
            thread.join()
        self._sockets.clear()
        self._threads.clear()

    def open(self) -> None:
        """Accept connections again."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._accept_in_thread()

    def _accept_in_thread(self) -> None:
        self._start(self._accept, self._listener)

    def _start(self, target: object, *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._upstream)
                self._sockets += client, server
                self._start(_copy, client, server)
                self._start(_copy, server, client)


def _cut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)
    opened.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def way_to(api: str) -> Iterator[Way]:
    """Open a way to an API for a block."""
    way = Way(api)
    try:
        yield way
    finally:
        way.close()
