"""What one short session of a login sees of the server: free connections, how passwords are kept, who else is there.

    with database.connected(login) as connection:
        glimpse = look_around(connection, login.username, alternates=True)
    glimpse.sessions[4711].address   # -> "10.244.0.7"

`pg_stat_activity` tells a session's address to its own role, to members of that role and of pg_read_all_stats, and to
superusers: https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address

from infra.postgres.handshake import Connection
from infra.postgres.owner_role import find_owner_role
from infra.postgres.slots import Slots, list_slots
from infra.rotation.sessions import Session

_ENCRYPTION = "SELECT current_setting('password_encryption')"
_OWN = "SELECT COALESCE(host(inet_client_addr()), ''), COALESCE(host(inet_server_addr()), '')"
_SESSIONS = """
SELECT pid, COALESCE(host(client_addr), ''), application_name, EXTRACT(EPOCH FROM backend_start)::bigint
FROM pg_stat_activity
WHERE usename = ANY(%s) AND COALESCE(backend_type, 'client backend') = 'client backend'
  AND COALESCE(application_name, '') <> 'keyturn' AND pid <> pg_backend_pid()
"""
"""Of a session that is not shown, only the columns before its address are not null."""


@dataclass(frozen=True)
class Glimpse:
    """What a session saw.

    Args:
        slots: the connections under each limit that its login has.
        encryption: how the server makes the hash of a password that it is sent in plain text.
        sessions: process id -> session of the credential's logins; None for one that its login may not look at.
        own: the session's own address and the server's, as the server sees them.
    """

    slots: tuple[Slots, ...]
    encryption: str
    sessions: Mapping[int, Session | None]
    own: frozenset[str]


def look_around(connection: Connection, username: str, *, alternates: bool) -> Glimpse:
    """Look at the server by a session that may be another's than the login's.

    Args:
        connection: the session.
        username: the credential's login.
        alternates: whether the login takes turns with others, whose sessions count as well.
    """
    ((encryption,),) = connection.execute(_ENCRYPTION).fetchall()
    (addresses,) = connection.execute(_OWN).fetchall()
    owner = find_owner_role(connection, username) if alternates else None
    logins = list(owner.logins) if owner else [username]
    with connection.transaction():
        connection.execute("SET LOCAL ROLE NONE")  # the owner role may not look at its own logins' sessions
        rows = connection.execute(_SESSIONS, (logins,)).fetchall()
    sessions = {int(str(pid)): _read(address, application, since) for pid, address, application, since in rows}
    own = frozenset(map(_write_address, addresses))
    return Glimpse(tuple(list_slots(connection)), str(encryption), sessions, own)


def _read(address: object, application: object, since: object) -> Session | None:
    if since is None:
        return None
    return Session(_write_address(address), str(application or ""), datetime.fromtimestamp(int(str(since)), UTC))


def _write_address(address: object) -> str:
    """Write an address as Kubernetes does: an IPv4 address is one on a socket for both families, too."""
    if not address:
        return ""
    parsed = ip_address(str(address))
    return str((parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None) or parsed)
