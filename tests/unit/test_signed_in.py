"""What calls to Azure share: within a block one credential and its connections, outside of it nothing."""

import threading
from contextvars import copy_context
from typing import Any

from infra.azure.credentials import connection, signed_in
from infra.settings import Settings

SETTINGS = Settings()


def kept_session() -> Any:
    """The session of connections that a new client would get."""
    transport = connection(SETTINGS)["transport"]
    with transport:
        return transport.session


def test_clients_of_a_block_get_the_same_connections_which_outlive_each_of_them() -> None:
    with signed_in(SETTINGS) as owner:
        first = kept_session()
        with signed_in(SETTINGS) as same:
            assert same is owner
            assert kept_session() is first
        assert kept_session() is first, "an inner block must not close what the outer one shares"


def test_another_thread_gets_connections_of_its_own() -> None:
    found = []
    with signed_in(SETTINGS):
        context = copy_context()
        thread = threading.Thread(target=lambda: found.append(context.run(kept_session)))
        thread.start()
        thread.join(10)
        assert found
        assert found[0] is not kept_session()


def test_a_client_outside_of_a_block_keeps_its_connections_to_itself() -> None:
    assert connection(SETTINGS) == {"connection_timeout": 5, "read_timeout": 30}
    with signed_in(SETTINGS):
        inside = kept_session()
    with signed_in(SETTINGS):
        assert kept_session() is not inside
