"""What calls to Azure share: within one `Azure` a credential and its connections, between two of them nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import Any

import pytest
import requests

from infra.azure.client import Azure
from infra.azure.kinds import KINDS
from infra.azure.names import get_host
from infra.azure.storage import Containers
from infra.errors import InvalidInput, KeyturnError
from infra.provisioning.comparing import Resource
from infra.provisioning.resources import Container
from infra.settings import Settings
from tasks.context import connections_shared, opened_azure

SETTINGS = Settings()


def session_of_client(azure: Azure) -> Any:
    """The session of connections that a new client would get."""
    transport = azure.client_options()["transport"]
    with transport:
        return transport.session


def test_clients_get_the_same_connections_which_outlive_each_of_them() -> None:
    with Azure(SETTINGS) as azure:
        first = session_of_client(azure)
        assert session_of_client(azure) is first
        assert azure.credential is azure.credential


def test_another_thread_gets_connections_of_its_own() -> None:
    found = []
    with Azure(SETTINGS) as azure:
        thread = threading.Thread(target=lambda: found.append(session_of_client(azure)))
        thread.start()
        thread.join(10)
        assert found
        assert found[0] is not session_of_client(azure)


def test_every_client_is_bound_in_time_and_another_sign_in_has_connections_of_its_own() -> None:
    with Azure(SETTINGS) as azure:
        options = azure.client_options()
        assert (options["connection_timeout"], options["read_timeout"]) == (5, 30)
        first = session_of_client(azure)
    with Azure(SETTINGS) as azure:
        assert session_of_client(azure) is not first


ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"HTTPS_PROXY": "http://proxy:3128"},
    {"https_proxy": "http://lower:3128", "HTTPS_PROXY": "http://upper:3128"},
    {"ALL_PROXY": "http://all:3128", "HTTP_PROXY": "http://plain:3128"},
    {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "dexter.vault.azure.net,.azure.com"},
    {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.0/8"},
    {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "*"},
    {"REQUESTS_CA_BUNDLE": "/authorities.pem", "CURL_CA_BUNDLE": "/others.pem"},
    {"CURL_CA_BUNDLE": "/others.pem"},
]
URLS = (
    "https://dexter.vault.azure.net/secrets/password?api-version=7.6",
    "https://management.azure.com/subscriptions",
    "https://10.1.2.3/secrets/password",
    "http://169.254.169.254/metadata/identity",
)


def set_environment(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these be the only proxies, exceptions to them and authorities, whatever the tests run in."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_proxies_exceptions_and_authorities_are_those_of_the_environment(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_environment(environment, monkeypatch)
    plain = requests.Session()
    with Azure(SETTINGS) as azure:
        session = session_of_client(azure)
        for url, stream, verify in product(URLS * 2, (True, False), (True, False)):
            given = (url, {}, stream, verify, None)
            assert session.merge_environment_settings(*given) == plain.merge_environment_settings(*given)
        given_proxy = {"https": "http://mine:3128"}
        settings = session.merge_environment_settings(URLS[0], dict(given_proxy), True, True, None)
        assert settings == plain.merge_environment_settings(URLS[0], dict(given_proxy), True, True, None)


def test_the_environment_is_read_once_for_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment({"HTTPS_PROXY": "http://proxy:3128"}, monkeypatch)
    read: list[str] = []
    look = requests.sessions.get_environ_proxies

    def counted(url: str, **options: Any) -> dict[str, str]:
        read.append(url)
        return look(url, **options)

    monkeypatch.setattr(requests.sessions, "get_environ_proxies", counted)
    with Azure(SETTINGS) as azure:
        for number in range(3):
            settings = session_of_client(azure).merge_environment_settings(f"{URLS[0]}&{number}", {}, True, True, None)
            settings["proxies"].clear()
        settings = session_of_client(azure).merge_environment_settings(URLS[1], {}, True, True, None)
    assert len(read) == 2
    assert settings["proxies"]["https"] == "http://proxy:3128"


def test_tasks_of_a_block_share_its_sign_in_and_leave_it_open() -> None:
    with connections_shared(), opened_azure() as azure:
        first = session_of_client(azure)
        with opened_azure() as same:
            assert same is azure
        assert session_of_client(azure) is first, "a task must not close what the block shares"
    with opened_azure() as another:
        assert another is not azure


def test_without_a_subscription_nothing_is_asked_and_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    with Azure(Settings()) as azure, pytest.raises(InvalidInput) as caught, azure.management(pytest.fail):
        pass
    assert caught.value.name == "AZURE_SUBSCRIPTION_ID"


def test_every_resource_has_one_kind() -> None:
    resources = [kind.resource for kind in KINDS]
    assert len(set(resources)) == len(resources)
    assert set(resources) == set(Resource.__subclasses__())


CLOUDS = [
    (
        "public",
        "login.microsoftonline.com",
        ("https://management.azure.com", "https://management.azure.com/.default"),
        ("vault.azure.net", "blob.core.windows.net", "postgres.database.azure.com"),
    ),
    (
        "government",
        "login.microsoftonline.us",
        ("https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/.default"),
        ("vault.usgovcloudapi.net", "blob.core.usgovcloudapi.net", "postgres.database.usgovcloudapi.net"),
    ),
    (
        "china",
        "login.chinacloudapi.cn",
        ("https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default"),
        ("vault.azure.cn", "blob.core.chinacloudapi.cn", "postgres.database.chinacloudapi.cn"),
    ),
]


class Client:
    """A management client that shows what it was made with."""

    def __init__(self, *_: Any, **options: Any) -> None:
        self.options = options

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def asked_hosts(patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Be the proxy for a block: yields the hosts that were asked for, and lets nobody through."""
    hosts: list[str] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            hosts.append(self.path.removesuffix(":443"))
            self.send_error(403)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name in ("HTTPS_PROXY", "https_proxy"):
            patch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        try:
            yield hosts
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(("cloud", "authority", "management", "domains"), CLOUDS, ids=[name for name, *_ in CLOUDS])
def test_each_cloud_has_its_own_sign_in_and_names(
    monkeypatch: pytest.MonkeyPatch, cloud: str, authority: str, management: tuple[str, str], domains: tuple[str, ...]
) -> None:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID"):
        monkeypatch.setenv(name, "11111111-0000-4000-8000-000000000001")
    monkeypatch.delenv("AZURE_AUTHORITY_HOST", raising=False)
    monkeypatch.setenv("KEYTURN_AZURE_CLOUD", cloud)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the SDK's tries
    settings = Settings()
    with Azure(settings) as azure:
        with azure.management(Client) as made:
            assert (made.options["base_url"], made.options["credential_scopes"]) == (management[0], [management[1]])
        with azure.vault("orders")._opened("read", "password", "Reader") as secrets:
            assert secrets.vault_url == f"https://orders.{domains[0]}"
        with Containers(azure, "g").opened("look at", Container(name="c", parent="account"), "Reader") as blobs:
            assert blobs.url.rstrip("/") == f"https://account.{domains[1]}"
        assert get_host("orders", settings.azure_cloud) == f"orders.{domains[2]}"
        with asked_hosts(monkeypatch) as hosts, pytest.raises(KeyturnError):
            azure.get_caller()
    assert set(hosts) == {authority}
