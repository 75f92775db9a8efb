"""Earlier names of `infra.postgres.database`: a login's own password."""

from infra.credentials.layouts import Login
from infra.postgres.addresses import Address
from infra.postgres.database import Database
from infra.settings import Settings


def rehearse(endpoint: Address, username: str, password: str, settings: Settings) -> None:
    """Rehearse a change of a login of two values."""
    Database(endpoint, settings).rehearse_own_password(Login(username, password))


def set_password(endpoint: Address, username: str, password: str, new_password: str, settings: Settings) -> None:
    """Change the password of a login of two values."""
    Database(endpoint, settings).set_own_password(Login(username, password), new_password)


def takes_login(endpoint: Address, username: str, password: str, settings: Settings) -> bool:
    """Try a login of two values."""
    return Database(endpoint, settings).takes(Login(username, password))
