"""An API server that answers as it is told, one answer a request: for what a healthy one rarely does."""

import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        status: the HTTP status; 0 closes the connection without a word.
        body: an object, sent as JSON, or text.
        events: for a watch: sent line by line after the head.
        cut: end the events in the middle of a line, without the closing chunk.
    """

    status: int = 200
    body: Any = None
    events: Sequence[Any] = ()
    cut: bool = False


@dataclass
class ScriptedApi:
    """What was asked of it, and what it still has to say; the last answer is repeated."""

    answers: list[Answer]
    url: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)
    """The Authorization header of each request."""

    @property
    def kubeconfig(self) -> dict[str, Any]:
        """A kubeconfig for it, with a token."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {"token": "a-token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }

    def take(self) -> Answer:
        """Return the next answer."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        api = self.server.api
        parts = urlsplit(self.path)
        api.asked.append((parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()}))
        api.callers.append(self.headers.get("Authorization", ""))
        answer = api.take()
        if answer.status == 0:
            self.close_connection = True
        elif answer.events:
            self.send_events(answer)
        else:
            self.send_whole(answer)

    def send_whole(self, answer: Answer) -> None:
        body = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_events(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in answer.events:
            self.send_chunk(json.dumps(event).encode() + b"\n")
        if answer.cut:
            self.send_chunk(b'{"type": "MODIFIED", "obj')
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: ScriptedApi, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        api.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"


@contextmanager
def scripted_api(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedApi]:
    """Serve the answers on a free port until the block ends, by HTTPS if a context for it is given."""
    with _Server(ScriptedApi(list(answers)), tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.api
        finally:
            server.shutdown()
            thread.join()
