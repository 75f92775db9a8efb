"""Earlier names of `infra.postgres.database`: connections."""

from contextlib import AbstractContextManager

from infra.credentials.layouts import Login
from infra.postgres.addresses import Address
from infra.postgres.database import Database
from infra.postgres.handshake import Connection
from infra.settings import Settings


def connected(
    endpoint: Address, username: str, password: str, settings: Settings
) -> AbstractContextManager[Connection]:
    """Log in with two values."""
    return Database(endpoint, settings).connected(Login(username, password))
