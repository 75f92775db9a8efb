"""The proxies: what is reached through them, what is refused, and what is logged."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi
import pytest
import requests
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure_world import ACCOUNT_ID, VAULT, VAULT_ID, AzureWorld

from lab.azure.backends import Origin
from lab.azure.routes import Address
from lab.control.faults import Fault
from lab.errors import Conflict

POD = "127.77.1.1"


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = f"{self.path} {self.headers['X-One']} ".encode() + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def pod_server() -> Iterator[int]:
    """The port of an HTTP server at the address of a pod."""
    server = ThreadingHTTPServer((POD, 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def connect(proxy: str, target: str) -> tuple[socket.socket, bytes]:
    """Send a CONNECT and return the socket with the first line of the answer."""
    host, _, port = proxy.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return sock, sock.recv(4096).partition(b"\r\n")[0]


def test_a_host_outside_the_lab_is_refused_by_name(azure: AzureWorld) -> None:
    with pytest.raises(requests.exceptions.ProxyError, match=r"403 Host example\.com is not part of this lab"):
        azure.request("GET", "https://example.com/")
    answer = azure.request("GET", "http://example.com/")
    assert (answer.status_code, answer.text) == (403, "Host example.com is not part of this lab.\n")


@pytest.mark.parametrize("target", ["127.0.0.1:22", "localhost:22", "10.0.0.1:443", "[::1]:22", "127.78.0.1:22"])
def test_addresses_outside_the_labs_network_are_refused(azure: AzureWorld, target: str) -> None:
    sock, line = connect(azure.proxy, target)
    with sock:
        assert line.startswith(b"HTTP/1.1 403 Host ")


@pytest.mark.parametrize("target", ["a b:443", "", "host", "vault.azure.net:99999999999", "x\x01y:443"])
def test_what_is_no_target_is_refused(azure: AzureWorld, target: str) -> None:
    sock, line = connect(azure.proxy, target)
    with sock:
        assert line.split()[1] in (b"400", b"403")


def test_a_vault_that_does_not_exist_is_a_name_that_does_not_resolve(azure: AzureWorld) -> None:
    with pytest.raises(ServiceRequestError, match=r"Could not resolve host nosuch\.vault\.azure\.net"):
        azure.secrets(vault="nosuch", retry_total=0).get_secret("username")


def test_a_deleted_vault_answers_no_more(azure: AzureWorld) -> None:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    azure.secrets().set_secret("username", "dexter")
    azure.cloud.vaults.delete(VAULT)
    with pytest.raises(ServiceRequestError, match="Could not resolve host"):
        azure.secrets(retry_total=0).get_secret("username")
    azure.cloud.vaults.recover(VAULT)
    assert azure.secrets().get_secret("username").value == "dexter"


def test_services_are_not_reached_by_plain_http(azure: AzureWorld) -> None:
    answer = azure.request("GET", f"http://{VAULT}.vault.azure.net/secrets/username")
    assert (answer.status_code, answer.text) == (403, f"Host {VAULT}.vault.azure.net answers to https only.\n")


def test_a_client_that_does_not_trust_the_lab_gets_nowhere(azure: AzureWorld) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        azure.request("GET", f"https://{VAULT}.vault.azure.net/", verify=certifi.where())


def test_localhost_in_a_pod_is_the_pods_own_address(azure: AzureWorld, pod_server: int) -> None:
    azure.use_proxy(azure.open(Origin("pod", address=POD)))
    url = f"http://localhost:{pod_server}/api/x?y=%20z"
    answer = azure.request("POST", url, data=b"hello" * 50_000, headers={"X-One": "1"})
    assert answer.content == b"/api/x?y=%20z 1 " + b"hello" * 50_000


def test_a_port_on_which_nothing_listens_is_a_bad_gateway(azure: AzureWorld) -> None:
    azure.use_proxy(azure.open(Origin("pod", address=POD)))
    assert azure.request("GET", "http://localhost:1/").status_code == 502
    sock, line = connect(azure.proxy, f"{POD}:1")
    with sock:
        assert line.startswith(b"HTTP/1.1 502 No connection to 127.77.1.1:1")


def test_connect_tunnels_into_the_labs_network(azure: AzureWorld, pod_server: int) -> None:
    sock, line = connect(azure.proxy, f"{POD}:{pod_server}")
    with sock:
        assert b" 200 " in line
        sock.sendall(b"POST /x HTTP/1.0\r\nX-One: 1\r\nContent-Length: 2\r\n\r\nhi")
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\n/x 1 hi")


def test_a_name_can_be_given_to_a_server_of_the_lab(azure: AzureWorld, pod_server: int) -> None:
    name = "integrateakskv.hcp.eastus2.azmk8s.io"
    azure.cloud.gateway.routes.add(name, Address(POD, pod_server))
    sock, line = connect(azure.proxy, f"{name}:443")
    sock.close()
    assert b" 200 " in line
    azure.cloud.gateway.routes.remove(name)
    sock, line = connect(azure.proxy, f"{name}:443")
    sock.close()
    assert line.startswith(b"HTTP/1.1 502 Could not resolve host " + name.encode()), "as of a cluster that is gone"


def test_a_closed_proxy_answers_no_more(azure: AzureWorld) -> None:
    url = azure.open(Origin("pod", address=POD))
    azure.run(azure.cloud.gateway.close(url))
    azure.run(azure.cloud.gateway.close(url))
    with pytest.raises(ConnectionRefusedError):
        connect(url, f"{VAULT}.vault.azure.net:443")


def test_the_log_holds_names_and_no_values(azure: AzureWorld, caplog: pytest.LogCaptureFixture) -> None:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    azure.let_operator("Storage Blob Data Contributor", ACCOUNT_ID)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("azure").setLevel(logging.WARNING)
        azure.secrets().set_secret("username", "canary-value", tags={"tag": "canary-tag"})
        azure.request("GET", f"https://{VAULT}.vault.azure.net/secrets/username?sig=canary-query")
    lines = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("lab"))
    assert f"PUT {VAULT}.vault.azure.net/secrets/username -> 200" in lines
    assert "canary" not in lines
    assert azure.cloud.operator_secret not in lines


def test_a_fault_acts_as_often_as_it_was_asked_for(azure: AzureWorld) -> None:
    azure.let_operator("Key Vault Secrets Officer", VAULT_ID)
    body = '{"error":{"code":"InternalServerError","message":"Try again."}}'
    azure.faults.add(Fault(host=f"{VAULT}.*", path="/secrets/*", method="PUT", status=500, body=body, times=1))
    with pytest.raises(HttpResponseError, match="Try again"):
        azure.secrets(retry_total=0).set_secret("username", "dexter")
    assert azure.secrets(retry_total=0).set_secret("username", "dexter").value == "dexter"


def ask_directly(azure: AzureWorld, port: int, host: str) -> bytes:
    """Ask for a secret at the direct way in, as a node does whose hosts file leads there; return the answer."""
    trust = ssl.create_default_context(cadata=azure.cloud.ca_bundle.with_name("ca.pem").read_text())
    trust.check_hostname = host.endswith(".net")
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        request = f"GET /secrets/password?api-version=7.4 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        encrypted.sendall(request.encode())
        return b"".join(iter(lambda: encrypted.recv(65536), b""))


def test_azures_services_answer_without_a_proxy_where_the_lab_was_told_to_listen(azure: AzureWorld) -> None:
    port = azure.run(azure.cloud.gateway.listen("127.0.0.1", 0))
    answer = ask_directly(azure, port, f"{VAULT}.vault.azure.net")
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b'WWW-Authenticate: Bearer authorization="https://login.microsoftonline.com/' in answer
    assert azure.cloud.requests.counts()["direct"] == {f"{VAULT}.vault.azure.net": 1}


@pytest.mark.parametrize("host", ["169.254.169.254", POD, "example.com"])
def test_nothing_but_azures_services_is_reached_without_a_proxy(azure: AzureWorld, pod_server: int, host: str) -> None:
    port = azure.run(azure.cloud.gateway.listen("127.0.0.1", 0))
    target = f"{host}:{pod_server}" if host == POD else host
    assert ask_directly(azure, port, target).startswith(b"HTTP/1.1 403 Forbidden\r\n")


def test_an_address_that_is_taken_is_named(azure: AzureWorld) -> None:
    port = azure.run(azure.cloud.gateway.listen("127.0.0.1", 0))
    with pytest.raises(Conflict) as caught:
        azure.run(azure.cloud.gateway.listen("127.0.0.1", port))
    assert (caught.value.name, caught.value.seen) == (f"127.0.0.1:{port}", "Address already in use")
