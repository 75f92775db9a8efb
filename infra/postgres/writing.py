"""Earlier names of `infra.postgres.database`: sessions that change roles."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from infra.credentials.layouts import Login
from infra.postgres import database
from infra.postgres.addresses import Address
from infra.postgres.database import Database, RoleChange
from infra.postgres.handshake import Connection
from infra.settings import Settings

__all__ = ["Change", "Connection", "changing", "make_verifier"]


@dataclass(frozen=True)
class Change:
    """A change that knows whether it is a rehearsal."""

    what: str
    fix: str
    is_rehearsal: bool = False


def changing(
    endpoint: Address, username: str, password: str, settings: Settings, change: Change
) -> AbstractContextManager[Connection]:
    """Change roles, logged in with two values."""
    role_change = RoleChange(change.what, change.fix)
    login = Login(username, password)
    return Database(endpoint, settings).changing(login, role_change, is_rehearsal=change.is_rehearsal)


def make_verifier(connection: Connection, username: str, password: str) -> str:
    """Make the verifier of two values."""
    return database.make_verifier(connection, Login(username, password))
