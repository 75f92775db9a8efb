"""Authorities are loaded once, however many connections trust them; and another server than they signed is refused."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.azure.transport import make_transport
from infra.errors import ServiceFailed
from infra.kubernetes.client import connect
from infra.settings import Settings
from lab.control.certificates import Authority


class Closing(BaseHTTPRequestHandler):
    """A server that keeps no connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority.create(tmp_path / "trusted")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.pem_path))
    return made


def serve(authority: Authority, name: str = "127.0.0.1") -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Closing) as server:
        server.socket = authority.server_context(name).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    yield from serve(authority)


@pytest.fixture(params=["authority", "name"])
def other_url(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Iterator[str]:
    """A server of an authority that nobody trusts, or that is trusted by another name."""
    if request.param == "name":
        yield from serve(authority, "azure.test")
    else:
        yield from serve(Authority.create(tmp_path / "other"))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was loaded, one for each time."""
    found: list[Any] = []
    load = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *args: Any, **named: Any) -> None:
        found.append((args, named))
        load(self, *args, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    return found


def open_cluster(url: str, authority: Authority) -> Any:
    cluster = {"server": url, "certificate-authority": str(authority.pem_path)}
    kubeconfig = {
        "clusters": [{"name": "blue", "cluster": cluster}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "contexts": [{"name": "blue", "context": {"cluster": "blue", "user": "me"}}],
        "current-context": "blue",
    }
    return connect(kubeconfig, Settings())


def test_the_connections_to_azure_share_the_authorities(url: str, loads: list[Any]) -> None:
    with make_transport() as transport:
        for _ in range(3):
            assert transport.session.get(url).text == "{}"
    assert len(loads) == 1


def test_the_connections_to_a_cluster_share_the_authorities(url: str, authority: Authority, loads: list[Any]) -> None:
    cluster = open_cluster(url, authority)
    assert [cluster.get("/api") for _ in range(3)] == [{}] * 3
    cluster.close()
    assert len(loads) == 1


@pytest.mark.usefixtures("authority")
def test_authorities_that_are_missing_are_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    with make_transport() as transport, pytest.raises(FileNotFoundError, match=r"/nonexistent/ca\.pem"):
        transport.session.get(url)


@pytest.mark.usefixtures("authority")
def test_another_server_is_not_taken_for_azure(other_url: str) -> None:
    with make_transport() as transport, pytest.raises(requests.exceptions.SSLError):
        transport.session.get(other_url)


def test_another_server_is_not_taken_for_a_cluster(other_url: str, authority: Authority) -> None:
    cluster = open_cluster(other_url, authority)
    with pytest.raises(ServiceFailed, match=r"(?i)certificate.verify.failed"):
        cluster.get("/api")
    cluster.close()
