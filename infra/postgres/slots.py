"""Connection slots: how many more sessions a login may open, by its own limit, its database's and the server's."""

from dataclasses import dataclass

from infra.postgres.handshake import Connection

_LIMITS = """
WITH session AS (
    SELECT usesysid, datid FROM pg_stat_activity
    WHERE datid IS NOT NULL AND COALESCE(backend_type, 'client backend') = 'client backend'
      AND pid <> pg_backend_pid() AND COALESCE(application_name, '') <> 'keyturn'
)
SELECT rolsuper,
       rolconnlimit, (SELECT count(*) FROM session WHERE usesysid = pg_roles.oid),
       datconnlimit, (SELECT count(*) FROM session WHERE datid = pg_database.oid),
       current_setting('max_connections')::int, (SELECT count(*) FROM session),
       current_setting('superuser_reserved_connections')::int
           + COALESCE(current_setting('reserved_connections', true), '0')::int
FROM pg_roles, pg_database WHERE rolname = session_user AND datname = current_database()
"""


@dataclass(frozen=True)
class Slots:
    """The slots under one limit.

    Args:
        whose: "role", "database" or "server".
        limit: how many sessions it lets in.
        used: how many there are, without Keyturn's own, which are short.
    """

    whose: str
    limit: int
    used: int

    @property
    def free(self) -> int:
        """How many more sessions it lets in."""
        return max(self.limit - self.used, 0)


def list_slots(connection: Connection) -> list[Slots]:
    """Return the slots under every limit that the session's login has. A superuser has the server's alone."""
    (row,) = connection.execute(_LIMITS).fetchall()
    is_superuser, (role, of_role, database, of_database, server, of_server, reserved) = row[0], map(_number, row[1:])
    if is_superuser:
        return [Slots("server", server, of_server)]
    limits = (("role", role, of_role), ("database", database, of_database), ("server", server - reserved, of_server))
    return [Slots(*limit) for limit in limits if limit[1] >= 0]


def _number(value: object) -> int:
    return int(str(value))
