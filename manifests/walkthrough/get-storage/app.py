"""get-storage: serves the blobs of a storage account through workload identity.

GET /api/{account}/{container}/{blob}    the blob, with its content type
GET /healthz                             200 while the program serves

Refusals are JSON, {"error": {"code": ..., "message": ...}}: 400 for a name that no account or container can have,
403 and 404 as the storage account says, 502 when the identity or the account cannot be used.
Listens on HOST (0.0.0.0) and PORT (8080). BLOB_DOMAIN is what follows an account's name in its host. Who it is comes
from the environment, as DefaultAzureCredential reads it.
"""

import json
import os
import re
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

BLOB_DOMAIN = os.environ.get("BLOB_DOMAIN", "blob.core.windows.net")
CHUNK_BYTES = 4 * 1024 * 1024
ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9](-?[a-z0-9])+|\$root|\$web")


class Refusal(Exception):
    """An answer that is not the blob.

    Args:
        status: the HTTP status.
        code: what a program reads.
        message: what a person reads.
    """

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


class Server(ThreadingHTTPServer):
    """The server, with the one credential that all requests share: it caches tokens."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        # Nobody else's identity when the pod's own is refused: on AKS, IMDS would offer the node's.
        self.credential = DefaultAzureCredential(
            exclude_managed_identity_credential=True,
            exclude_shared_token_cache_credential=True,
            exclude_visual_studio_code_credential=True,
            exclude_cli_credential=True,
            exclude_powershell_credential=True,
            exclude_developer_cli_credential=True,
            exclude_broker_credential=True,
        )


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server_version = "get-storage"
    timeout = 30
    server: Server

    def do_GET(self) -> None:
        """Answer a GET."""
        path = urlsplit(self.path).path
        try:
            if path == "/healthz":
                self.send_whole(HTTPStatus.OK, "text/plain; charset=utf-8", b"ok\n")
            else:
                self.send_blob(*names(path))
        except Refusal as refusal:
            body = json.dumps({"error": {"code": refusal.code, "message": refusal.message}}) + "\n"
            self.send_whole(refusal.status, "application/json", body.encode())

    def send_blob(self, account: str, container: str, blob: str) -> None:
        """Stream a blob. A failure after its first bytes can only be shown by cutting the connection."""
        with client(account, container, blob, self.server.credential) as source:
            try:
                # Asked for by itself: the storage client would try a refused identity again and again.
                self.server.credential.get_token("https://storage.azure.com/.default")
                download = source.download_blob()
            except AzureError as error:
                raise refusal(error, account) from None
            self.send_response(HTTPStatus.OK)
            content_type = download.properties.content_settings.content_type
            self.send_header("Content-Type", content_type or "application/octet-stream")
            self.send_header("Content-Length", str(download.size))
            self.end_headers()
            try:
                for chunk in download.chunks():
                    self.wfile.write(chunk)
            except (AzureError, OSError) as error:
                self.close_connection = True
                self.log_error("%s/%s/%s was cut off: %s", account, container, blob, type(error).__name__)

    def send_whole(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        """Send a short answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def names(path: str) -> tuple[str, str, str]:
    """Take account, container and blob from a path; the account becomes a host name, so it is checked."""
    parts = path.split("/", 4)
    if len(parts) != 5 or parts[:2] != ["", "api"] or not parts[4]:
        raise Refusal(HTTPStatus.NOT_FOUND, "NoSuchPage", "Ask for /api/{account}/{container}/{blob}.")
    account, container, blob = (unquote(part) for part in parts[2:])
    if not ACCOUNT.fullmatch(account):
        message = "An account has 3-24 lower-case letters and digits."
        raise Refusal(HTTPStatus.BAD_REQUEST, "InvalidAccount", message)
    if not CONTAINER.fullmatch(container):
        message = "A container has 3-63 lower-case letters, digits and single hyphens."
        raise Refusal(HTTPStatus.BAD_REQUEST, "InvalidContainer", message)
    return account, container, blob


def client(account: str, container: str, blob: str, credential: DefaultAzureCredential) -> BlobClient:
    """Make a client for one blob, with bounds on time and memory."""
    return BlobClient(
        f"https://{account}.{BLOB_DOMAIN}",
        container,
        blob,
        credential=credential,
        max_single_get_size=CHUNK_BYTES,
        max_chunk_get_size=CHUNK_BYTES,
        connection_timeout=5,
        read_timeout=30,
        retry_total=2,
        initial_backoff=1,
        increment_base=2,
    )


def refusal(error: AzureError, account: str) -> Refusal:
    """Say which answer an error of the SDK becomes. Its own text stays out: it may tell too much."""
    status = getattr(error, "status_code", None)
    code = str(getattr(error, "error_code", None) or type(error).__name__)
    if isinstance(error, ClientAuthenticationError) and status != HTTPStatus.FORBIDDEN:
        found = re.search(r"AADSTS\d+", str(error))
        message = "The pod's identity is not accepted; see its federated credential and service account."
        return Refusal(HTTPStatus.BAD_GATEWAY, found.group() if found else code, message)
    if isinstance(error, HttpResponseError) and status == HTTPStatus.FORBIDDEN:
        return Refusal(HTTPStatus.FORBIDDEN, code, f"The identity may not read blobs of {account}.")
    if isinstance(error, HttpResponseError) and status == HTTPStatus.NOT_FOUND:
        return Refusal(HTTPStatus.NOT_FOUND, code, "There is no such container or blob.")
    return Refusal(HTTPStatus.BAD_GATEWAY, code, f"The storage account {account} does not answer as it should.")


def main() -> None:
    """Serve until told to stop."""
    address = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    server = Server(address)

    def stop(number: int, frame: object) -> None:
        threading.Thread(target=server.shutdown).start()  # from the serving thread it would wait for itself

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print("get-storage listens on {}:{}".format(*server.server_address), file=sys.stderr, flush=True)
    with server:
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
