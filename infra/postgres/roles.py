"""Changing a login inside the database: its own password, set by itself, hashed before it leaves this process.

The server is sent a SCRAM verifier and keeps it as it is, so no password is in SQL or in any log, whatever
`log_statement` says: https://www.postgresql.org/docs/current/sql-createrole.html
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from infra.errors import DatabaseUnreachable, KeyturnError, LoginRefused, Refused
from infra.postgres.addresses import Endpoint
from infra.postgres.connection import connected
from infra.postgres.login import prove_login
from infra.settings import Settings

_ALTER = sql.SQL("ALTER ROLE SESSION_USER PASSWORD {}")
_Connection = psycopg.Connection[tuple[object, ...]]


def make_verifier(connection: _Connection, username: str, password: str) -> str:
    """Return what the server keeps of a password: a salted SCRAM-SHA-256 hash, another one at each call."""
    made = connection.pgconn.encrypt_password(password.encode(), username.encode(), b"scram-sha-256")
    return made.decode()


def rehearse(endpoint: Endpoint, username: str, password: str, settings: Settings) -> None:
    """Set the login's own password to what it is, in a transaction that is taken back.

    Raises:
        Refused: the server does not let the login change its own password; the code is its SQLSTATE.
        LoginRefused, DatabaseStarting, DatabaseUnreachable: as `infra.postgres.connection.connected`.
    """
    with _altering(endpoint, username, password, settings) as connection, connection.transaction(force_rollback=True):
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
    with _altering(endpoint, username, password, settings) as connection, connection.transaction():
        connection.execute(_ALTER.format(make_verifier(connection, username, new_password)))


def takes_login(endpoint: Endpoint, username: str, password: str, settings: Settings) -> bool:
    """Say whether a fresh login works; only a refusal is a no. Raises else as `connected`."""
    try:
        prove_login(endpoint, username, password, settings)
    except LoginRefused:
        return False
    return True


@contextmanager
def _altering(endpoint: Endpoint, username: str, password: str, settings: Settings) -> Iterator[_Connection]:
    """Open a connection that is the login itself, in a session that may write, each statement bounded."""
    with connected(endpoint, username, password, settings) as connection:
        try:
            milliseconds = int(settings.connect_timeout_seconds * 1000)
            connection.execute(sql.SQL("SET statement_timeout = {}").format(milliseconds))
            connection.execute("SET ROLE NONE")
            connection.execute("SET default_transaction_read_only = off")
            yield connection
        except psycopg.Error as error:
            translated = _translate(endpoint, error)
        else:
            return
    raise translated from None


def _translate(endpoint: Endpoint, error: psycopg.Error) -> KeyturnError:
    """Tell a broken connection from a refusal. The server's words are not repeated: they may quote the statement."""
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return DatabaseUnreachable(
            "The connection broke while the login's password was being changed",
            name=str(endpoint),
            seen=type(error).__name__,
            remedy="run again: a login tells first whether it was changed",
            code=error.sqlstate or "",
        )
    return Refused(
        "The database does not let the login change its own password",
        name=str(endpoint),
        seen=type(error).__name__,
        remedy="see the server's log; a standby and a server in recovery change nothing",
        code=error.sqlstate,
    )
