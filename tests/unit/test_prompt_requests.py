"""A request's body does not wait until a proxy has acknowledged its head."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.azure.transport import make_transport
from infra.kubernetes.client import connect
from infra.settings import Settings


class Answering(BaseHTTPRequestHandler):
    """A proxy that answers everything itself, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every request go through a proxy."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)


def is_prompt(answer: Any) -> bool:
    """Whether small segments leave the connection of an answer at once."""
    return bool(answer.connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def test_requests_to_azure_leave_at_once_through_a_proxy() -> None:
    with make_transport() as transport, transport.session.get("http://azure.test/", stream=True) as answer:
        assert is_prompt(answer.raw)


def test_requests_to_a_cluster_leave_at_once_through_a_proxy() -> None:
    context = {"name": "blue", "context": {"cluster": "blue", "user": "me"}}
    kubeconfig = {
        "clusters": [{"name": "blue", "cluster": {"server": "http://cluster.test"}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [context],
        "current-context": "blue",
    }
    cluster = connect(kubeconfig, Settings())
    answer = cluster._send("GET", "/api", None, None, "application/json", 5)
    assert is_prompt(answer)
    answer.close()
    cluster.close()
