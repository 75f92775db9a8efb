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
from fnmatch import fnmatchcase
from pathlib import Path

import certifi

from infra.credentials.endpoints import Tls as Tls
from infra.errors import Code, DatabaseUnreachable, InvalidInput, Unverified
from infra.settings import Settings

_SSL_REQUEST = struct.pack("!II", 8, 80877103)


@dataclass(frozen=True)
class Address:
    """Where a database is.

    Args:
        host: its name or IP address; TLS verifies it.
        port: its port.
        database: the database's name.
        tls: how connections are protected.
        ca_file: the authorities that the certificate must come from; the settings' by default.
        ip: the IP address to connect to, where `host` is not found by DNS; the setting `resolve` goes before it.
    """

    host: str
    port: int = 5432
    database: str = "postgres"
    tls: Tls = Tls.VERIFY_FULL
    ca_file: Path | None = None
    ip: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


@dataclass(frozen=True)
class TlsFacts:
    """A TLS connection as it was negotiated.

    Args:
        protocol: such as "TLSv1.3".
        cipher: such as "TLS_AES_256_GCM_SHA384".
        bits: the cipher's secret bits.
        verified_name: the host that the certificate was verified for; empty if the mode does not verify it.
        subject: whom the certificate was issued to; empty if it was not verified.
        issuer: who signed it; empty if it was not verified.
        expires_at: when it expires, in UTC; None if it was not verified.
    """

    protocol: str
    cipher: str
    bits: int
    verified_name: str
    subject: str
    issuer: str
    expires_at: datetime | None


def find_place(address: Address, settings: Settings) -> tuple[str, int]:
    """Return the address and port to connect to: the route of the setting `resolve`, else the address' own."""
    host, port = find_route(address.host, address.port, settings)
    return (address.ip if address.ip and host == address.host else host), port


def has_route(host: str, port: int, settings: Settings) -> bool:
    """Return whether the setting `resolve` leads somewhere else than to the host itself."""
    return find_route(host, port, settings)[0] != host


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
        with socket.create_connection(find_place(address, settings), settings.connect_timeout_seconds) as plain:
            plain.sendall(_SSL_REQUEST)
            _check_answer(address, plain.recv(1))
            with _context(address, settings).wrap_socket(plain, server_hostname=address.host) as secured:
                return _facts(address, secured)
    except ssl.SSLCertVerificationError as error:
        raise tls_failed(address, error.verify_message) from None
    except OSError as error:
        raise unreachable(address, error.strerror or type(error).__name__) from None


def offers_tls(address: Address, settings: Settings) -> bool:
    """Return whether a server that has answered a plain connection has TLS as well."""
    try:
        with socket.create_connection(find_place(address, settings), settings.connect_timeout_seconds) as plain:
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


def find_authorities(address: Address, settings: Settings) -> str:
    """Return the file of the authorities that the server's certificate must come from."""
    return str(address.ca_file or settings.postgres_ca_file or certifi.where())


def _context(address: Address, settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=find_authorities(address, settings))
    context.check_hostname = address.tls is Tls.VERIFY_FULL
    if not address.tls.is_verified:
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    return context


def _facts(address: Address, secured: ssl.SSLSocket) -> TlsFacts:
    cipher, _, bits = secured.cipher() or ("", "", 0)
    certificate = secured.getpeercert() or {}
    return TlsFacts(
        protocol=secured.version() or "",
        cipher=cipher,
        bits=bits or 0,
        verified_name=address.host if address.tls is Tls.VERIFY_FULL else "",
        subject=_distinguished_name(certificate.get("subject")),
        issuer=_distinguished_name(certificate.get("issuer")),
        expires_at=_read_time(certificate.get("notAfter")),
    )


def _read_time(text: object) -> datetime | None:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC) if text else None


def _distinguished_name(parts: object) -> str:
    """Write a distinguished name as `commonName=..., organizationName=...`."""
    relative = parts if isinstance(parts, tuple) else ()
    return ", ".join(f"{key}={value}" for part in relative for key, value in part)
