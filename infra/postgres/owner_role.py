"""The owner role of a credential's two logins: how it is made, and how its logins are enabled and disabled.

Both logins are members of one owner role that cannot log in, and their sessions start as that role
(`ALTER ROLE login SET role owner`). So whatever they create belongs to the owner role, and neither login owns anything.
https://www.postgresql.org/docs/current/sql-alterrole.html

    with database.changing(administrator, change) as connection:
        owner = find_owner_role(connection, "orders_a")          # -> OwnerRole("orders_owner", ("orders_a",))
        enable_login(connection, owner, Login("orders_b", "..."), like="orders_a")
        disable_login(connection, "orders_a")

A database that has one login gets its owner role by `make_owner_role`. The login's role keeps its identity and is
renamed to the owner role; a new login takes its name and password. So every object, grant, default privilege and
membership stays as it is in every database, and nothing is reassigned: `REASSIGN OWNED` acts in one database only, and
not at all for the role that initdb made.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from infra.credentials.layouts import Login
from infra.errors import Conflict, NotFound
from infra.postgres.database import make_verifier
from infra.postgres.handshake import Connection
from infra.rotation.migration import LoginFacts

_SUFFIX = "_owner"
_LONGEST_NAME = 63
_STAND_IN = sql.Identifier("keyturn_stand_in")

_OWNER_ROLE = """
WITH member AS (
    SELECT login.oid, login.rolname::text AS login, substr(entry, length('role=') + 1) AS owner
    FROM pg_db_role_setting AS setting
    JOIN pg_roles AS login ON login.oid = setting.setrole,
    unnest(setting.setconfig) AS entry
    WHERE setting.setdatabase = 0 AND entry LIKE 'role=%%'
)
SELECT owner.rolname::text, array_agg(each.login ORDER BY each.login)
FROM member AS this
JOIN pg_roles AS owner ON owner.rolname = this.owner AND NOT owner.rolcanlogin
JOIN member AS each ON each.owner = this.owner AND pg_has_role(each.oid, owner.oid, 'MEMBER')
WHERE this.login = %s AND pg_has_role(this.oid, owner.oid, 'MEMBER')
GROUP BY owner.rolname
"""
_FACTS = """
SELECT login.rolsuper, login.rolconnlimit, login.rolvaliduntil::text,
       (SELECT count(*) FROM pg_class AS relation WHERE relation.relowner = login.oid AND relation.oid >= 16384),
       (SELECT count(*) FROM pg_stat_activity AS session
        WHERE session.usesysid = login.oid AND session.application_name <> 'keyturn'),
       me.rolsuper, me.rolcreaterole
FROM pg_roles AS login, pg_roles AS me
WHERE login.rolname = %s AND me.rolname = session_user
"""
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND application_name <> 'keyturn'"
_SETTINGS = """
SELECT COALESCE(database.datname::text, ''), entry
FROM pg_db_role_setting AS setting
JOIN pg_roles AS role ON role.oid = setting.setrole AND role.rolname = %s
LEFT JOIN pg_database AS database ON database.oid = setting.setdatabase,
unnest(setting.setconfig) AS entry
"""
_LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
"""Settings whose values are lists of quoted names and must be written as lists
(https://github.com/postgres/postgres/blob/master/src/bin/pg_dump/dumputils.c, variable_is_guc_list_quote)."""
_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+))\s*(?:,|$)')

Setting = tuple[str, str]
"""The database that it applies to, empty for all; `name=value`."""


@dataclass(frozen=True)
class OwnerRole:
    """The role that owns what its logins create.

    Args:
        name: its name; it cannot log in itself.
        logins: all logins whose sessions start as it, by name; enabled or disabled.
    """

    name: str
    logins: tuple[str, ...]


def find_owner_role(connection: Connection, username: str) -> OwnerRole | None:
    """Return the owner role that a login's sessions start as, or None if it has none."""
    found = connection.execute(_OWNER_ROLE, (username,)).fetchone()
    if found is None:
        return None
    name, logins = found
    assert isinstance(logins, list)
    return OwnerRole(str(name), tuple(map(str, logins)))


def has_role(connection: Connection, name: str) -> bool:
    """Return whether a role of this name exists."""
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None


def count_sessions(connection: Connection, username: str) -> int:
    """Count a login's open sessions, without Keyturn's own."""
    found = connection.execute(_SESSIONS, (username,)).fetchone()
    return int(str(found[0])) if found else 0


def enable_login(connection: Connection, owner: OwnerRole, login: Login, like: str) -> None:
    """Let a login of the owner role log in with a new password, in the caller's transaction; create it if needed.

    Args:
        connection: of a role that may create roles and grant the owner role.
        owner: the owner role.
        login: the login and its new password, of which only a hash is sent.
        like: the login whose settings and connection limit it gets.

    Raises:
        Conflict: a role of this name exists and is not one of the owner role's logins.
    """
    exists = has_role(connection, login.username)
    if exists and login.username not in owner.logins:
        raise Conflict(
            "The name of the alternate login is taken",
            name="the alternate login",
            seen="a role of this name exists that is not one of the owner role's logins",
            fix="choose another name with new_username, or drop that role if nobody needs it",
            code="42710",
        )
    name = sql.Identifier(login.username)
    if not exists:
        connection.execute(sql.SQL("CREATE ROLE {} IN ROLE {}").format(name, sql.Identifier(owner.name)))
    limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", (like,)).fetchone()
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
            name, make_verifier(connection, login), sql.Literal(limit[0] if limit else -1)
        )
    )
    copy_settings(connection, like, login.username)


def disable_login(connection: Connection, username: str) -> None:
    """Keep a login from logging in. It keeps its password for `reenable_login`, and its open sessions continue."""
    connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(username)))


def reenable_login(connection: Connection, username: str) -> None:
    """Let a disabled login log in again with the password that it had."""
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(username)))


def name_owner_role(username: str) -> str:
    """Return the name of a login's owner role: `dexter_owner`."""
    return f"{username[: _LONGEST_NAME - len(_SUFFIX)]}{_SUFFIX}"


def get_login_facts(connection: Connection, username: str) -> LoginFacts:
    """Look at a login before its owner role is made.

    Raises:
        NotFound: there is no such role.
    """
    found = connection.execute(_FACTS, (username,)).fetchone()
    if found is None:
        raise NotFound(
            "The database has no such login",
            name="the credential's login",
            fix="correct the username in the vault",
        )
    is_superuser, _, _, relations, sessions, session_is_superuser, session_may_create_roles = found
    is_itself = _session_user(connection) == username
    owner = find_owner_role(connection, username)
    return LoginFacts(
        alternate_logins=None if owner is None else len(owner.logins) - 1,
        is_owner_name_taken=has_role(connection, name_owner_role(username)),
        relations=int(str(relations)),
        sessions=int(str(sessions)),
        settings=len(list_settings(connection, username)),
        may_rename=bool(session_is_superuser)
        or (bool(session_may_create_roles) and not is_itself and not is_superuser),
    )


def make_owner_role(connection: Connection, login: Login) -> None:
    """Make a login's role the owner role and create the login anew, in the caller's transaction.

    Args:
        connection: of a superuser, or of another role that may rename the login.
        login: the credential's login; its name and password stay, and only a hash of the password is sent.
    """
    owner = name_owner_role(login.username)
    facts = connection.execute(_FACTS, (login.username,)).fetchone()
    assert facts is not None
    _, connection_limit, valid_until, *_ = facts
    names = {"login": sql.Identifier(login.username), "owner": sql.Identifier(owner)}
    values = {"verifier": make_verifier(connection, login), "limit": sql.Literal(connection_limit)}
    with _able_to_rename(connection, login.username):
        for statement in (
            sql.SQL("ALTER ROLE {login} RENAME TO {owner}"),
            sql.SQL("ALTER ROLE {owner} NOLOGIN PASSWORD NULL CONNECTION LIMIT -1"),
            sql.SQL("CREATE ROLE {login} LOGIN IN ROLE {owner} PASSWORD {verifier} CONNECTION LIMIT {limit}"),
        ):
            connection.execute(statement.format(**names, **values))
        if valid_until:
            connection.execute(
                sql.SQL("ALTER ROLE {login} VALID UNTIL {until}").format(**names, until=sql.Literal(valid_until))
            )
        copy_settings(connection, owner, login.username)
        put_setting(connection, login.username, "", "role", owner)


@contextmanager
def _able_to_rename(connection: Connection, username: str) -> Iterator[None]:
    """Let a session rename its own role, which PostgreSQL refuses.

    A superuser's session can act as another superuser for that, which exists only inside the transaction:
    https://www.postgresql.org/docs/current/sql-set-session-authorization.html
    """
    if _session_user(connection) != username:
        yield
        return
    connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER").format(_STAND_IN))
    connection.execute(sql.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(_STAND_IN))
    yield
    connection.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
    connection.execute(sql.SQL("DROP ROLE {}").format(_STAND_IN))


def _session_user(connection: Connection) -> str:
    found = connection.execute("SELECT session_user::text").fetchone()
    return str(found[0]) if found else ""


def list_settings(connection: Connection, role: str) -> list[Setting]:
    """Return the settings that a role's sessions start with (`ALTER ROLE ... SET`)."""
    return sorted((str(database), str(entry)) for database, entry in connection.execute(_SETTINGS, (role,)))


def copy_settings(connection: Connection, source: str, destination: str) -> None:
    """Give a role exactly the settings of another. Nothing is written if they are equal."""
    wanted, found = list_settings(connection, source), list_settings(connection, destination)
    if wanted == found:
        return
    for database in {database for database, _ in found}:
        connection.execute(_alter(destination, database, sql.SQL("RESET ALL")))
    for database, entry in wanted:
        put_setting(connection, destination, database, *entry.split("=", 1))


def put_setting(connection: Connection, role: str, database: str, name: str, value: str) -> None:
    """Let a role's sessions start with a setting.

    Args:
        connection: of a role that may alter this one.
        role: the role.
        database: the database that it applies to; empty for all.
        name: the setting's name.
        value: the value as the catalog has it.
    """
    values = split_list(value) if name in _LISTS else [value]
    setting = sql.SQL("SET {} TO {}").format(
        sql.SQL(".").join(map(sql.Identifier, name.split("."))), sql.SQL(", ").join(map(sql.Literal, values))
    )
    connection.execute(_alter(role, database, setting))


def split_list(value: str) -> list[str]:
    """Split a list of quoted names: `"$user", public` is `$user` and `public`."""
    found = [quoted.replace('""', '"') or bare.strip() for quoted, bare in _ELEMENT.findall(value)]
    return found or [""]


def _alter(role: str, database: str, change: sql.Composable) -> sql.Composed:
    where = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
    return sql.SQL("ALTER ROLE {}{} {}").format(sql.Identifier(role), where, change)
