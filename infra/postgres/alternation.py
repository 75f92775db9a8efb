"""Earlier names of `infra.postgres.owner_role`."""

from infra.credentials.layouts import Login
from infra.postgres.handshake import Connection
from infra.postgres.owner_role import OwnerRole, count_sessions, enable_login, has_role
from infra.postgres.owner_role import disable_login as close_login
from infra.postgres.owner_role import find_owner_role as find_owner
from infra.postgres.owner_role import reenable_login as reopen_login

Owner = OwnerRole

__all__ = ["Owner", "close_login", "count_sessions", "find_owner", "has_role", "open_login", "reopen_login"]


def open_login(connection: Connection, owner: Owner, username: str, password: str, like: str) -> None:
    """Enable a login of two values."""
    enable_login(connection, owner, Login(username, password), like)
