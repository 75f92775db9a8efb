"""Where a database is: its endpoint, and the settings that say how a name is reached without DNS."""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from infra.errors import InvalidInput
from infra.settings import Settings


class Tls(StrEnum):
    """How a connection is protected. There is no fallback from one to the other."""

    VERIFY_FULL = "verify-full"
    """Encrypted; the certificate is trusted and names the host."""
    REQUIRE = "require"
    """Encrypted; nobody checks with whom."""
    DISABLE = "disable"
    """Plain: for a database that has no TLS of its own, inside a private network."""


@dataclass(frozen=True)
class Endpoint:
    """A database to log in to.

    Args:
        host: the name or address; TLS verifies it.
        port: the port.
        database: the database's name.
        tls: how the connection is protected.
    """

    host: str
    port: int = 5432
    database: str = "postgres"
    tls: Tls = Tls.VERIFY_FULL

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def find_route(host: str, port: int, settings: Settings) -> tuple[str, int]:
    """Return address and port to connect to for a host: itself, or what the setting `resolve` says.

    An empty address or port in an entry keeps that part, as with curl's --connect-to; `*.example.com` means every
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
                fix="write HOST:PORT:ADDRESS:PORT, entries separated by commas",
            )
        if fnmatchcase(host.lower(), parts[0].lower()) and parts[1] in ("", str(port)):
            return parts[2] or host, int(parts[3] or port)
    return host, port
