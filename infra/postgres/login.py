"""Logins as proofs: fresh, and telling what the server is and has."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from infra.errors import DatabaseStarting, DatabaseUnreachable, KeyturnError
from infra.postgres.addresses import Endpoint, Tls
from infra.postgres.connection import connected
from infra.postgres.tls import TlsFacts, get_tls_facts
from infra.settings import Settings

__all__ = ["Database", "Endpoint", "Login", "Tls", "TlsFacts", "login", "prove_login", "wait_for_login"]

_POLL_SECONDS = 0.1

_DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       COALESCE(array_to_string(d.datacl, ', '), '')
FROM pg_database AS d ORDER BY 1
"""
_SERVER = "SELECT current_setting('server_version'), current_user::text"


@dataclass(frozen=True)
class Database:
    """One line of psql's \\l."""

    name: str
    owner: str
    encoding: str
    collate: str
    ctype: str
    access: str


@dataclass(frozen=True)
class Login:
    """A login that worked.

    Args:
        user: who the server says we are.
        server_version: as "14.15".
        databases: what it has, by name.
        tls: what TLS was negotiated; None on a plain connection.
        took_seconds: from the first packet to the end of the list.
    """

    user: str
    server_version: str
    databases: tuple[Database, ...]
    tls: TlsFacts | None
    took_seconds: float


def login(
    endpoint: Endpoint,
    username: str,
    password: str,
    settings: Settings,
    clock: Callable[[], float] = time.monotonic,
) -> Login:
    """Log in afresh and look around. Raises as `infra.postgres.connection.connected`."""
    started = clock()
    tls = None if endpoint.tls is Tls.DISABLE else get_tls_facts(endpoint, settings)
    with connected(endpoint, username, password, settings) as connection:
        version, user = connection.execute(_SERVER).fetchall()[0]
        databases = tuple(Database(*map(str, row)) for row in connection.execute(_DATABASES))
    return Login(str(user), str(version).split()[0], databases, tls, clock() - started)


def prove_login(endpoint: Endpoint, username: str, password: str, settings: Settings) -> None:
    """Log in afresh and leave again. Raises as `infra.postgres.connection.connected`."""
    with connected(endpoint, username, password, settings) as connection:
        connection.execute("SELECT 1")


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def wait_for_login(
    endpoint: Endpoint,
    username: str,
    password: str,
    settings: Settings,
    timeout_seconds: float,
    on_progress: Callable[[KeyturnError, float], None] = lambda error, left: None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = _pause,
) -> None:
    """Log in as soon as the database answers; a refusal is final.

    Args:
        endpoint: where to.
        username: the login's name.
        password: its password.
        settings: bounds on each attempt, and the certificate authorities.
        timeout_seconds: bound on the whole.
        on_progress: told what an attempt came to and the seconds left, when that changes.
        clock: what the bound is measured with.
        pause: what lies between two attempts.

    Raises:
        LoginRefused: the database refused the login.
        DatabaseStarting: it was still starting when the time was over.
        DatabaseUnreachable: nobody answered until then.
    """
    deadline, seen = clock() + timeout_seconds, ""
    while True:
        try:
            return prove_login(endpoint, username, password, settings)
        except (DatabaseStarting, DatabaseUnreachable) as error:
            left = deadline - clock()
            if left <= 0:
                raise
            if (error.code or error.seen) != seen:
                seen = error.code or error.seen
                on_progress(error, left)
            pause(min(_POLL_SECONDS, left))
