"""Where a database is reached, and how TLS protects the way there.

    address = Address("orders.postgres.database.azure.com", database="orders")
    get_tls_facts(address, settings).verified_name   # -> "orders.postgres.database.azure.com"

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

import socket
import ssl
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase

import certifi

from infra.errors import Code, DatabaseUnreachable, InvalidInput, Unverified
from infra.settings import Settings

_SSL_REQUEST = struct.pack("!II", 8, 80877103)


class Tls(StrEnum):
    """How a connection is protected. There is no fallback from one to the other."""

    VERIFY_FULL = "verify-full"
    """Encrypted; the certificate is trusted and names the host."""
    DISABLE = "disable"
    """Plain text: for a database without TLS, inside a private network."""


@dataclass(frozen=True)
class Address:
    """Where a database is.

    Args:
        host: its name or IP address; TLS verifies it.
        port: its port.
        database: the database's name.
        tls: how connections are protected.
    """

    host: str
    port: int = 5432
    database: str = "postgres"
    tls: Tls = Tls.VERIFY_FULL

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class TlsFacts:
    """A verified TLS connection as it was negotiated.

    Args:
        protocol: such as "TLSv1.3".
        cipher: such as "TLS_AES_256_GCM_SHA384".
        bits: the cipher's secret bits.
        verified_name: the host that the certificate was verified for.
        subject: whom the certificate was issued to.
        issuer: who signed it.
        expires_at: when it expires, in UTC.
    """

    protocol: str
    cipher: str
    bits: int
    verified_name: str
    subject: str
    issuer: str
    expires_at: datetime


def find_route(host: str, port: int, settings: Settings) -> tuple[str, int]:
    """Return the address and port to connect to for a host: its own, or those in the setting `resolve`.

    An empty address or port in an entry keeps that part, as with curl's --connect-to; `*.example.com` stands for every
    name below it.

    Raises:
        InvalidInput: an entry of the setting is not HOST:PORT:ADDRESS:PORT.
    """
    for entry in filter(None, (part.strip() for part in settings.resolve.split(","))):
        parts = entry.split(":")
        if len(parts) != 4:
            raise InvalidInput(
                "An entry of the setting cannot be used",
                name="KEYTURN_RESOLVE",
                seen=f"'{entry}'",
                fix="write HOST:PORT:ADDRESS:PORT, with commas between entries",
            )
        if fnmatchcase(host.lower(), parts[0].lower()) and parts[1] in ("", str(port)):
            return parts[2] or host, int(parts[3] or port)
    return host, port


def get_tls_facts(address: Address, settings: Settings) -> TlsFacts:
    """Do a TLS handshake and report what was negotiated, without logging in.

    Raises:
        DatabaseUnreachable: nobody answers, or not as PostgreSQL does.
        Unverified: the server has no TLS, or its certificate is not trusted or names another host (code TlsFailed).
    """
    try:
        with socket.create_connection(
            find_route(address.host, address.port, settings), settings.connect_timeout_seconds
        ) as plain:
            plain.sendall(_SSL_REQUEST)
            _check_answer(address, plain.recv(1))
            with _context(settings).wrap_socket(plain, server_hostname=address.host) as secured:
                return _facts(address, secured)
    except ssl.SSLCertVerificationError as error:
        raise tls_failed(address, error.verify_message) from None
    except OSError as error:
        raise unreachable(address, error.strerror or type(error).__name__) from None


def offers_tls(address: Address, settings: Settings) -> bool:
    """Return whether a server that has answered a plain connection has TLS as well."""
    route = find_route(address.host, address.port, settings)
    try:
        with socket.create_connection(route, settings.connect_timeout_seconds) as plain:
            plain.sendall(_SSL_REQUEST)
            return plain.recv(1) == b"S"
    except OSError:
        return False


def tls_failed(address: Address, seen: str, fix: str = "") -> Unverified:
    """Make the error of a TLS connection that is not as secure as it must be."""
    return Unverified(Code.TLS_FAILED, name=str(address), seen=seen, fix=fix)


def unreachable(address: Address, seen: str) -> DatabaseUnreachable:
    """Make the error of a database that does not answer."""
    fix = "check that it runs and can be reached from here"
    return DatabaseUnreachable("The database does not answer", name=str(address), seen=seen, fix=fix)


def _check_answer(address: Address, answer: bytes) -> None:
    if answer == b"N":
        raise tls_failed(address, "the server has no TLS", "switch on ssl on the server")
    if answer != b"S":
        seen = repr(answer) if answer else "EOF"
        raise DatabaseUnreachable("The server does not answer as PostgreSQL does", name=str(address), seen=seen)


def _context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(settings.postgres_ca_file or certifi.where()))
    context.set_alpn_protocols(["postgresql"])
    return context


def _facts(address: Address, secured: ssl.SSLSocket) -> TlsFacts:
    cipher, _, bits = secured.cipher() or ("", "", 0)
    certificate = secured.getpeercert() or {}
    return TlsFacts(
        protocol=secured.version() or "",
        cipher=cipher,
        bits=bits or 0,
        verified_name=address.host,
        subject=_distinguished_name(certificate.get("subject")),
        issuer=_distinguished_name(certificate.get("issuer")),
        expires_at=datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC),
    )


def _distinguished_name(parts: object) -> str:
    """Write a distinguished name as `commonName=..., organizationName=...`."""
    relative = parts if isinstance(parts, tuple) else ()
    return ", ".join(f"{key}={value}" for part in relative for key, value in part)
