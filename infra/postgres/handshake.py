"""One new connection, and why it was refused.

libpq reports a refused login only as text in the server's language. Its protocol trace has the SQLSTATE, so the
handshake is driven here step by step with the trace written to memory. A server that asks for the password itself, or
for nothing at all, gets no password and proves nothing. SCRAM is demanded, unless the caller accepts md5 as well.
https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
"""

import os
import selectors
import socket
import time

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from infra.credentials import Login
from infra.errors import Code, DatabaseUnreachable, KeyturnError, Unverified
from infra.postgres.addresses import Address, Tls, find_authorities, find_place, offers_tls
from infra.postgres.refusals import explain_handshake
from infra.settings import Settings

Connection = psycopg.Connection[tuple[object, ...]]

_SCRAM, _MD5 = "scram-sha-256", "md5"
_NO_AUTHORITIES = f"{os.devnull}/none"
"""No such file: libpq would verify by the user's own authorities where it was not asked to verify."""
_DONE = (pq.PollingStatus.OK, pq.PollingStatus.FAILED)


def connect(address: Address, login: Login, settings: Settings, *, accepts_md5: bool = False) -> Connection:
    """Log in on a new connection, which the caller closes.

    Args:
        address: where.
        login: who.
        settings: the bound on the attempt, routes, and certificate authorities.
        accepts_md5: whether a proof by md5 is one, too. Of a new login it is not.

    Raises:
        LoginRefused: the server refused the login: 28P01 for a wrong password, 28000 for a role that may not log in.
        DatabaseStarting: it does not accept connections yet (57P03), or has no free slot (53300).
        DatabaseUnreachable: nobody answers, or not as PostgreSQL does; or the server admits nobody from here.
        Unverified: TLS could not be verified, or is demanded; or the server asked for no proof of the password.
        NotFound: the login works, but the database does not exist (3D000).
    """
    proofs = f"{_SCRAM},{_MD5}" if accepts_md5 else _SCRAM
    connection = psycopg.Connection(_open(address, login, settings, proofs))
    connection.autocommit = True
    return connection


def _open(address: Address, login: Login, settings: Settings, proofs: str) -> pq.abc.PGconn:
    conninfo = make_conninfo("", **_parameters(address, login, settings), require_auth=proofs)
    trace = os.memfd_create("keyturn-handshake")
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        pgconn.trace(trace)
        in_time = _complete(pgconn, settings.connect_timeout_seconds)
        pgconn.untrace()
        if pgconn.status == pq.ConnStatus.OK:
            return pgconn
        error = explain_handshake(address, _read(trace), pgconn.get_error_message(), in_time)
    finally:
        os.close(trace)
    pgconn.finish()
    raise _look_for_tls(address, settings, error)


def _look_for_tls(address: Address, settings: Settings, error: KeyturnError) -> KeyturnError:
    """Return the error; for a plain connection that is not admitted, say whether the server has TLS."""
    if error.code == Code.CLIENT_NOT_ADMITTED and address.tls is Tls.DISABLE and offers_tls(address, settings):
        return Unverified(Code.TLS_DEMANDED, name=error.name, seen=f"{error.seen}; the server has TLS")
    return error


def _parameters(address: Address, login: Login, settings: Settings) -> dict[str, str]:
    host, port = find_place(address, settings)
    parameters = {
        "host": address.host,
        "port": str(port),
        "dbname": address.database,
        "user": login.username,
        "password": login.password,
        "sslmode": address.tls.value,
        "gssencmode": "disable",
        "application_name": "keyturn",
        "client_encoding": "utf-8",
        "passfile": os.devnull,
        "keepalives_idle": str(settings.connect_timeout_seconds),
        "keepalives_interval": "5",
        "keepalives_count": "3",
    }
    if address.tls is not Tls.DISABLE:
        parameters["sslrootcert"] = find_authorities(address, settings) if address.tls.is_verified else _NO_AUTHORITIES
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
