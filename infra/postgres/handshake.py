"""One new connection, and why it was refused.

libpq reports a refused login only as text in the server's language. Its protocol trace has the SQLSTATE, so the
handshake is driven here step by step with the trace written to memory. Only SCRAM is accepted: a server that asks for
the password itself, or for nothing at all, gets no password and proves nothing.
https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import os
import re
import selectors
import socket
import time

import certifi
import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from infra.credentials.layouts import Login
from infra.errors import (
    Code,
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NotFound,
    ServiceFailed,
    Unverified,
)
from infra.postgres.addresses import Address, Tls, find_route, tls_failed, unreachable
from infra.settings import Settings

Connection = psycopg.Connection[tuple[object, ...]]

_SQLSTATE = re.compile(r'\bErrorResponse\t.*?\bC "(\w{5})" M "(.*?)"(?= \w "| \\x00)')
_STARTING = ("57P03", "53300")
_DONE = (pq.PollingStatus.OK, pq.PollingStatus.FAILED)


def connect(address: Address, login: Login, settings: Settings) -> Connection:
    """Log in on a new connection, which the caller closes.

    Raises:
        LoginRefused: the server refused the login; the code is its SQLSTATE, 28P01 for a wrong password.
        DatabaseStarting: it does not accept connections yet (57P03), or has no free slot (53300).
        DatabaseUnreachable: nobody answers, or not as PostgreSQL does.
        Unverified: TLS could not be verified, or the server asked for no proof of the password.
        NotFound: the login works, but the database does not exist (3D000).
    """
    connection = psycopg.Connection(_open(address, login, settings))
    connection.autocommit = True
    return connection


def _open(address: Address, login: Login, settings: Settings) -> pq.abc.PGconn:
    conninfo = make_conninfo("", **_parameters(address, login, settings))
    trace = os.memfd_create("keyturn-handshake")
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        pgconn.trace(trace)
        in_time = _complete(pgconn, settings.connect_timeout_seconds)
        pgconn.untrace()
        if pgconn.status == pq.ConnStatus.OK:
            return pgconn
        error = _translate(address, _read(trace), pgconn.get_error_message(), in_time)
    finally:
        os.close(trace)
    pgconn.finish()
    raise error


def _parameters(address: Address, login: Login, settings: Settings) -> dict[str, str]:
    host, port = find_route(address.host, address.port, settings)
    parameters = {
        "host": address.host,
        "port": str(port),
        "dbname": address.database,
        "user": login.username,
        "password": login.password,
        "sslmode": address.tls.value,
        "gssencmode": "disable",
        "require_auth": "scram-sha-256",
        "application_name": "keyturn",
        "client_encoding": "utf-8",
        "passfile": os.devnull,
    }
    if address.tls is Tls.VERIFY_FULL:
        parameters["sslrootcert"] = str(settings.postgres_ca_file or certifi.where())
    if host != address.host:
        parameters["hostaddr"] = _resolve(address, host, port)
    return parameters


def _resolve(address: Address, host: str, port: int) -> str:
    """Return the IP address of a route: beside the name that TLS verifies, libpq takes nothing else."""
    try:
        return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise DatabaseUnreachable(
            "The database's route cannot be resolved",
            name=str(address),
            seen=f"{host}: {error.strerror}",
            fix="correct the setting KEYTURN_RESOLVE",
        ) from None


def _complete(pgconn: pq.abc.PGconn, timeout_seconds: float) -> bool:
    """Drive the handshake until it ends or times out; return whether it ended."""
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


def _translate(address: Address, trace: str, message: str, in_time: bool) -> KeyturnError:
    found = _SQLSTATE.search(trace)
    if not found:
        return _translate_transport(address, message if in_time else "no answer in time")
    code, said = found.groups()
    name = str(address)
    if code in _STARTING:
        return DatabaseStarting("The database accepts no connections at the moment", name=name, seen=said, code=code)
    if code.startswith("28"):
        return LoginRefused(
            "The database refused the login",
            name=name,
            seen="a wrong username or password" if code == "28P01" else "the server does not admit this login",
            fix="find out which versions of the secrets the database was given",
            code=code,
        )
    if code == "3D000":
        return NotFound("The login works, but the database does not exist", name=name, seen=said, code=code)
    return ServiceFailed("The database closed the connection", name=name, seen=said, code=code)


def _translate_transport(address: Address, message: str) -> KeyturnError:
    """Translate a connection that ended before the server gave a reason. These texts are libpq's own, in English."""
    seen = " ".join(message.split()).removeprefix("connection is bad: ")
    if "certificate" in seen or "SSL" in seen:
        return tls_failed(address, seen)
    if "authentication" in seen or "auth method" in seen:
        return Unverified(Code.NO_PASSWORD_PROOF, name=str(address), seen=seen)
    return unreachable(address, seen)
