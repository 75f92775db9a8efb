"""What TLS with a PostgreSQL server really is, seen in a handshake of its own.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

import socket
import ssl
import struct
from dataclasses import dataclass
from datetime import UTC, datetime

import certifi

from infra.errors import DatabaseUnreachable, Unverified
from infra.postgres.addresses import Endpoint, Tls, find_route
from infra.settings import Settings

_SSL_REQUEST = struct.pack("!II", 8, 80877103)


@dataclass(frozen=True)
class TlsFacts:
    """A TLS connection as it was negotiated.

    Args:
        protocol: as "TLSv1.3".
        cipher: as "TLS_AES_256_GCM_SHA384".
        bits: the cipher's secret bits.
        verified_name: the host that the certificate was verified for; empty when nobody verified it.
        subject: whose the certificate is.
        issuer: who signed it.
        expires_at: when it ends, in UTC; None when nobody verified it.
    """

    protocol: str
    cipher: str
    bits: int
    verified_name: str
    subject: str
    issuer: str
    expires_at: datetime | None


def get_tls_facts(endpoint: Endpoint, settings: Settings) -> TlsFacts:
    """Shake hands and tell what was negotiated; no login is tried.

    Raises:
        DatabaseUnreachable: nobody answers, or not as PostgreSQL does.
        Unverified: the server has no TLS, or its certificate is not trusted or not the host's.
    """
    address = find_route(endpoint.host, endpoint.port, settings)
    try:
        with socket.create_connection(address, settings.connect_timeout_seconds) as plain:
            plain.sendall(_SSL_REQUEST)
            answer = plain.recv(1)
            if answer != b"S":
                raise _without_tls(endpoint, answer)
            context = _context(endpoint, settings)
            with context.wrap_socket(plain, server_hostname=endpoint.host) as secured:
                return _facts(endpoint, secured)
    except ssl.SSLCertVerificationError as error:
        raise Unverified(
            "The server's certificate could not be verified",
            name=str(endpoint),
            seen=error.verify_message,
            fix="see whether the host's name is the certificate's and KEYTURN_POSTGRES_CA_FILE has its authority",
            code="tls",
        ) from None
    except OSError as error:
        raise DatabaseUnreachable(
            "The database does not answer",
            name=str(endpoint),
            seen=error.strerror or type(error).__name__,
            fix="see whether it runs and can be reached from here",
        ) from None


def _without_tls(endpoint: Endpoint, answer: bytes) -> Unverified | DatabaseUnreachable:
    if answer == b"N":
        return Unverified(
            "The server has no TLS", name=str(endpoint), seen="it answered N", fix="switch on ssl there", code="tls"
        )
    return DatabaseUnreachable(
        "The database does not answer as PostgreSQL does", name=str(endpoint), seen=repr(answer) if answer else "EOF"
    )


def _context(endpoint: Endpoint, settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(settings.postgres_ca_file or certifi.where()))
    context.set_alpn_protocols(["postgresql"])
    if endpoint.tls is not Tls.VERIFY_FULL:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _facts(endpoint: Endpoint, secured: ssl.SSLSocket) -> TlsFacts:
    cipher, _, bits = secured.cipher() or ("", "", 0)
    certificate = secured.getpeercert() or {}
    expiry = str(certificate.get("notAfter", ""))
    return TlsFacts(
        protocol=secured.version() or "",
        cipher=cipher,
        bits=bits or 0,
        verified_name=endpoint.host if endpoint.tls is Tls.VERIFY_FULL else "",
        subject=_name(certificate.get("subject")),
        issuer=_name(certificate.get("issuer")),
        expires_at=datetime.fromtimestamp(ssl.cert_time_to_seconds(expiry), UTC) if expiry else None,
    )


def _name(parts: object) -> str:
    """Write a distinguished name as `commonName=..., organizationName=...`."""
    relative = parts if isinstance(parts, tuple) else ()
    return ", ".join(f"{key}={value}" for part in relative for key, value in part)
