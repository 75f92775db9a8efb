"""One fresh connection, and what its refusal means.

libpq tells a refused login only as text, in the server's language. Its protocol trace has the SQLSTATE, so the
handshake is driven here step by step with the trace going to memory. Only SCRAM is answered: a server that asks
for the password itself, or for nothing at all, proves nothing and gets nothing.
https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import os
import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import certifi
import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from infra.errors import (
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NotFound,
    ServiceFailed,
    Unverified,
)
from infra.postgres.addresses import Endpoint, Tls, find_route
from infra.settings import Settings

_SQLSTATE = re.compile(r'\bErrorResponse\t.*?\bC "(\w{5})" M "(.*?)"(?= \w "| \\x00)')
_STARTING = ("57P03", "53300")
_DONE = (pq.PollingStatus.OK, pq.PollingStatus.FAILED)


@contextmanager
def connected(
    endpoint: Endpoint, username: str, password: str, settings: Settings
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Open a connection of its own and close it afterwards.

    Raises:
        LoginRefused: the server refused the login; the code is its SQLSTATE, 28P01 for a wrong password.
        DatabaseStarting: it accepts no connections yet (57P03), or none any more for now (53300).
        DatabaseUnreachable: nobody answers, or not as PostgreSQL does.
        Unverified: TLS could not be verified, or the server let the caller in without proof.
        NotFound: the login is right and the database does not exist (3D000).
    """
    connection = psycopg.Connection(_open(endpoint, username, password, settings))
    connection.autocommit = True
    with connection:
        yield connection


def _open(endpoint: Endpoint, username: str, password: str, settings: Settings) -> pq.abc.PGconn:
    conninfo = make_conninfo("", **_parameters(endpoint, username, password, settings))
    trace = os.memfd_create("keyturn-handshake")
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        pgconn.trace(trace)
        in_time = _complete(pgconn, settings.connect_timeout_seconds)
        pgconn.untrace()
        if pgconn.status == pq.ConnStatus.OK:
            return pgconn
        error = _translate(endpoint, _read(trace), pgconn.get_error_message(), in_time)
    finally:
        os.close(trace)
    pgconn.finish()
    raise error


def _parameters(endpoint: Endpoint, username: str, password: str, settings: Settings) -> dict[str, str]:
    address, port = find_route(endpoint.host, endpoint.port, settings)
    parameters = {
        "host": endpoint.host,
        "port": str(port),
        "dbname": endpoint.database,
        "user": username,
        "password": password,
        "sslmode": endpoint.tls.value,
        "gssencmode": "disable",
        "require_auth": "scram-sha-256",
        "application_name": "keyturn",
        "client_encoding": "utf-8",
        "passfile": os.devnull,
    }
    if endpoint.tls is Tls.VERIFY_FULL:
        parameters["sslrootcert"] = str(settings.postgres_ca_file or certifi.where())
    if address != endpoint.host:
        parameters["hostaddr"] = _numeric(endpoint, address, port)
    return parameters


def _numeric(endpoint: Endpoint, address: str, port: int) -> str:
    """Look an address up: libpq takes numbers alone beside the name that TLS verifies."""
    try:
        return str(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        seen, fix = f"{address}: {error.strerror}", "see the setting KEYTURN_RESOLVE"
        raise DatabaseUnreachable("The database's address is unknown", name=str(endpoint), seen=seen, fix=fix) from None


def _complete(pgconn: pq.abc.PGconn, timeout_seconds: float) -> bool:
    """Drive the handshake to its end, or to the bound; say whether it ended."""
    deadline = time.monotonic() + timeout_seconds
    while (left := deadline - time.monotonic()) > 0:
        if pgconn.status == pq.ConnStatus.BAD or (status := pgconn.connect_poll()) in _DONE:
            return True
        event = selectors.EVENT_READ if status == pq.PollingStatus.READING else selectors.EVENT_WRITE
        with selectors.DefaultSelector() as selector:
            selector.register(pgconn.socket, event)
            selector.select(left)
    return False


def _read(trace: int) -> str:
    os.lseek(trace, 0, os.SEEK_SET)
    with open(trace, "rb", closefd=False) as file:
        return file.read().decode("utf-8", "replace")


def _translate(endpoint: Endpoint, trace: str, message: str, in_time: bool) -> KeyturnError:
    found = _SQLSTATE.search(trace)
    if not found:
        return _translate_transport(endpoint, message if in_time else "no answer in time")
    code, said = found.groups()
    name = str(endpoint)
    if code in _STARTING:
        return DatabaseStarting("The database accepts no connections yet", name=name, seen=said, code=code)
    if code.startswith("28"):
        return LoginRefused(
            "The database refused the login",
            name=name,
            seen="a wrong username or password" if code == "28P01" else "the server does not admit this login",
            fix="see which versions of the secrets the database was given",
            code=code,
        )
    if code == "3D000":
        return NotFound("The login works and the database does not exist", name=name, seen=said, code=code)
    return ServiceFailed("The database ended the connection", name=name, seen=said, code=code)


def _translate_transport(endpoint: Endpoint, message: str) -> KeyturnError:
    """Explain a connection that ended before the server said why. These texts are libpq's own, in English."""
    said = " ".join(message.split()).removeprefix("connection is bad: ")
    name = str(endpoint)
    if "certificate" in said or "SSL" in said:
        return Unverified(
            "The TLS connection could not be made as asked for",
            name=name,
            seen=said,
            fix="see whether the host's name is the certificate's and KEYTURN_POSTGRES_CA_FILE has its authority",
            code="tls",
        )
    if "authentication" in said or "auth method" in said:
        return Unverified(
            "The server does not ask for a proof of the password, so a login proves nothing",
            name=name,
            seen=said,
            fix="see the server's pg_hba.conf: this host must be asked for scram-sha-256",
            code="auth",
        )
    return DatabaseUnreachable(
        "The database does not answer", name=name, seen=said, fix="see whether it runs and can be reached from here"
    )
