"""Changing a login's own password inside the database: set by itself, hashed before it leaves this process."""

from dataclasses import replace

from psycopg import sql

from infra.errors import LoginRefused
from infra.postgres.addresses import Endpoint
from infra.postgres.login import prove_login
from infra.postgres.writing import Change, changing, make_verifier
from infra.settings import Settings

__all__ = ["make_verifier", "rehearse", "set_password", "takes_login"]

_OWN_PASSWORD = Change(
    "The database does not let the login change its own password",
    "see the server's log; a standby and a server in recovery change nothing",
)
_OWN_PASSWORD_REHEARSED = replace(_OWN_PASSWORD, is_rehearsal=True)
_ALTER = sql.SQL("ALTER ROLE SESSION_USER PASSWORD {}")


def rehearse(endpoint: Endpoint, username: str, password: str, settings: Settings) -> None:
    """Set the login's own password to what it is, in a transaction that is taken back.

    Raises:
        Refused: the server does not let the login change its own password; the code is its SQLSTATE.
        LoginRefused, DatabaseStarting, DatabaseUnreachable: as `infra.postgres.connection.connected`.
    """
    with changing(endpoint, username, password, settings, _OWN_PASSWORD_REHEARSED) as connection:
        connection.execute("SET LOCAL ROLE NONE")
        connection.execute(_ALTER.format(make_verifier(connection, username, password)))


def set_password(endpoint: Endpoint, username: str, password: str, new_password: str, settings: Settings) -> None:
    """Log in with the present password and give the login another one; open sessions go on.

    Args:
        endpoint: where to.
        username: the login's name.
        password: what it logs in with now.
        new_password: what it logs in with from then on.
        settings: bounds on the attempt.

    Raises:
        Refused: the server does not let the login change its own password; the code is its SQLSTATE.
        DatabaseUnreachable: the connection broke; whether the password changed, a login tells.
        LoginRefused, DatabaseStarting: as `infra.postgres.connection.connected`.
    """
    with changing(endpoint, username, password, settings, _OWN_PASSWORD) as connection:
        connection.execute("SET LOCAL ROLE NONE")
        connection.execute(_ALTER.format(make_verifier(connection, username, new_password)))


def takes_login(endpoint: Endpoint, username: str, password: str, settings: Settings) -> bool:
    """Say whether a fresh login works; only a refusal is a no. Raises else as `connected`."""
    try:
        prove_login(endpoint, username, password, settings)
    except LoginRefused:
        return False
    return True
