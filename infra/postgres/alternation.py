"""Two logins that take turns. Both are members of one owner role that cannot log in, and become it at each login
(`ALTER ROLE login SET role owner`), so whatever they make belongs to the owner and neither login owns anything.
https://www.postgresql.org/docs/current/sql-alterrole.html
"""

from dataclasses import dataclass

from psycopg import sql

from infra.errors import Conflict
from infra.postgres.role_settings import copy_settings
from infra.postgres.writing import Connection, make_verifier

_OWNER = """
WITH becoming AS (
    SELECT login.oid, login.rolname::text AS login, substr(entry, length('role=') + 1) AS owner
    FROM pg_db_role_setting AS setting
    JOIN pg_roles AS login ON login.oid = setting.setrole,
    unnest(setting.setconfig) AS entry
    WHERE setting.setdatabase = 0 AND entry LIKE 'role=%%'
)
SELECT owner.rolname::text, array_agg(each.login ORDER BY each.login)
FROM becoming AS mine
JOIN pg_roles AS owner ON owner.rolname = mine.owner AND NOT owner.rolcanlogin
JOIN becoming AS each ON each.owner = mine.owner AND pg_has_role(each.oid, owner.oid, 'MEMBER')
WHERE mine.login = %s AND pg_has_role(mine.oid, owner.oid, 'MEMBER')
GROUP BY owner.rolname
"""


@dataclass(frozen=True)
class Owner:
    """The role that owns what the logins make.

    Args:
        name: it cannot log in itself.
        logins: all that become it when they log in, by name; open or closed.
    """

    name: str
    logins: tuple[str, ...]


def find_owner(connection: Connection, login: str) -> Owner | None:
    """Return the owner role that a login becomes, or None where it is no such login."""
    found = connection.execute(_OWNER, (login,)).fetchone()
    if found is None:
        return None
    name, logins = found
    assert isinstance(logins, list)
    return Owner(str(name), tuple(map(str, logins)))


def open_login(connection: Connection, owner: Owner, username: str, password: str, like: str) -> None:
    """Let a login of the owner log in with a new password; make it where there is none. In the caller's transaction.

    Args:
        connection: of somebody who may make roles and grant the owner's.
        owner: the role that it becomes.
        username: the login's name.
        password: hashed here; only the hash is sent.
        like: the login whose settings and limit of connections it takes over.

    Raises:
        Conflict: there is a role of this name that is none of the owner's logins.
    """
    name, verifier = sql.Identifier(username), make_verifier(connection, username, password)
    exists = has_role(connection, username)
    if exists and username not in owner.logins:
        raise Conflict(
            "The name of the second login is taken",
            name="the login whose turn it is",
            seen="there is a role of this name that is none of the owner's logins",
            fix="give another one as options.new_username, or drop that role if nobody needs it",
            code="42710",
        )
    if not exists:
        connection.execute(sql.SQL("CREATE ROLE {} IN ROLE {}").format(name, sql.Identifier(owner.name)))
    limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", (like,)).fetchone()
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
            name, verifier, sql.Literal(limit[0] if limit else -1)
        )
    )
    copy_settings(connection, like, username)


def has_role(connection: Connection, name: str) -> bool:
    """Whether there is a role of this name."""
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None


def count_sessions(connection: Connection, username: str) -> int:
    """Count the sessions that a login has open."""
    found = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND application_name <> 'keyturn'", (username,)
    ).fetchone()
    return int(str(found[0])) if found else 0


def close_login(connection: Connection, username: str) -> None:
    """Let a login log in no more. Its password stays, so that it can be opened again; open sessions go on."""
    connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(username)))


def reopen_login(connection: Connection, username: str) -> None:
    """Let a closed login log in again, with the password that it had."""
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(username)))
