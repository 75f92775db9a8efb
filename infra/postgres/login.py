"""Earlier names of `infra.postgres.database`: logins as proofs."""

from collections.abc import Callable

from infra.credentials.layouts import Login as Pair
from infra.errors import KeyturnError
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database, ServerReport
from infra.settings import Settings

Endpoint = Address
Login = ServerReport

__all__ = ["Endpoint", "Login", "Tls", "login", "prove_login", "wait_for_login"]


def login(endpoint: Address, username: str, password: str, settings: Settings) -> ServerReport:
    """Inspect a server with two values."""
    return Database(endpoint, settings).inspect(Pair(username, password))


def prove_login(endpoint: Address, username: str, password: str, settings: Settings) -> None:
    """Prove a login of two values."""
    Database(endpoint, settings).prove(Pair(username, password))


def wait_for_login(
    endpoint: Address,
    username: str,
    password: str,
    settings: Settings,
    timeout_seconds: float,
    on_progress: Callable[[KeyturnError, float], None] = lambda error, left: None,
) -> None:
    """Wait for a login of two values."""
    Database(endpoint, settings).wait_for(Pair(username, password), timeout_seconds, on_progress)
