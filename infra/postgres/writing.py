"""A session that changes roles: bounded, allowed to write, its refusals told without the server's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from infra.errors import DatabaseUnreachable, KeyturnError, Refused
from infra.postgres.addresses import Endpoint
from infra.postgres.connection import connected
from infra.settings import Settings

Connection = psycopg.Connection[tuple[object, ...]]


def make_verifier(connection: Connection, username: str, password: str) -> str:
    """Return what the server keeps of a password: a salted SCRAM-SHA-256 hash, another one at each call.

    The server keeps it as it is, so no password is in SQL or in any log, whatever `log_statement` says:
    https://www.postgresql.org/docs/current/sql-createrole.html
    """
    made = connection.pgconn.encrypt_password(password.encode(), username.encode(), b"scram-sha-256")
    return made.decode()


@dataclass(frozen=True)
class Change:
    """What a session is opened for, in the words that its refusal is told with.

    Args:
        what: what the database refuses, if it does, as a sentence.
        fix: what to do then.
        is_rehearsal: whether all of it is taken back at the end.
    """

    what: str
    fix: str
    is_rehearsal: bool = False


@contextmanager
def changing(
    endpoint: Endpoint, username: str, password: str, settings: Settings, change: Change
) -> Iterator[Connection]:
    """Open a session for one transaction, each statement bounded, which may write whatever the login's settings say.

    Args:
        endpoint: where to.
        username: who logs in.
        password: its password.
        settings: bounds on the attempt and on each statement.
        change: what it is for.

    Raises:
        Refused: the server does not let the login do it; the code is its SQLSTATE.
        DatabaseUnreachable: the connection broke; whether a change was made, a login tells.
        LoginRefused, DatabaseStarting: as `infra.postgres.connection.connected`.
    """
    with connected(endpoint, username, password, settings) as connection:
        try:
            milliseconds = int(settings.connect_timeout_seconds * 1000)
            connection.execute(sql.SQL("SET statement_timeout = {}").format(milliseconds))
            connection.execute("SET default_transaction_read_only = off")
            with connection.transaction(force_rollback=change.is_rehearsal):
                yield connection
        except psycopg.Error as error:
            translated = _translate(endpoint, error, change)
        else:
            return
    raise translated from None


def _translate(endpoint: Endpoint, error: psycopg.Error, change: Change) -> KeyturnError:
    """Tell a broken connection from a refusal. The server's words are not repeated: they may quote the statement."""
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return DatabaseUnreachable(
            "The connection broke while a login was being changed",
            name=str(endpoint),
            seen=type(error).__name__,
            fix="run again: a login tells first whether it was changed",
            code=error.sqlstate or "",
        )
    return Refused(change.what, name=str(endpoint), seen=type(error).__name__, fix=change.fix, code=error.sqlstate)
