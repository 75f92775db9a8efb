"""What calls to Azure share: within one `Azure` a credential and its connections, between two of them nothing."""

import threading
from typing import Any

import pytest

from infra.azure.client import Azure
from infra.azure.kinds import KINDS
from infra.errors import InvalidInput
from infra.provisioning.comparing import Resource
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
