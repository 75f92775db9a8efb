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

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import LiteralString

from psycopg import sql

from infra.credentials import Login
from infra.errors import Conflict
from infra.postgres.database import make_verifier
from infra.postgres.handshake import Connection
from infra.postgres.login_parts import (
    get_parts,
    get_valid_until,
    give_parts,
    put_search_path,
    put_setting,
    set_valid_until,
)
from infra.rotation.migration import DatabaseFacts, LoginFacts

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
SELECT (SELECT count(*) FROM pg_class AS relation WHERE relation.relowner = login.oid AND relation.oid >= 16384),
       (SELECT count(*) FROM pg_stat_activity AS session
        WHERE session.usesysid = login.oid AND session.application_name <> 'keyturn'),
       me.rolsuper OR (me.rolcreaterole AND NOT login.rolsuper AND me.oid <> login.oid
                       AND (%(version)s < 160000 OR pg_has_role(me.oid, login.oid, 'MEMBER WITH ADMIN OPTION')))
FROM pg_roles AS login, pg_roles AS me
WHERE login.rolname = %(login)s AND me.rolname = session_user
"""
_MEMBERS = """
SELECT DISTINCT member.rolname::text FROM pg_auth_members AS granted
JOIN pg_roles AS login ON login.oid = granted.roleid AND login.rolname = %s
JOIN pg_roles AS member ON member.oid = granted.member
WHERE COALESCE((to_jsonb(granted) ->> 'set_option')::boolean, true) ORDER BY 1
"""
_FOLLOWERS = """
SELECT DISTINCT COALESCE('role ' || follower.rolname, 'database ' || database.datname, 'all sessions')
FROM pg_db_role_setting AS setting
LEFT JOIN pg_roles AS follower ON follower.oid = setting.setrole
LEFT JOIN pg_database AS database ON database.oid = setting.setdatabase
WHERE 'role=' || %s::text = ANY(setting.setconfig) ORDER BY 1
"""
_SUBSCRIPTIONS = """
SELECT subname::text FROM pg_subscription JOIN pg_roles AS login ON login.oid = subowner
WHERE login.rolname = %s ORDER BY 1
"""
_OWN_RIGHTS = """
SELECT count(*) || CASE deptype WHEN 'o' THEN ' owned in ' WHEN 'r' THEN ' policies in ' ELSE ' granted in ' END
       || COALESCE('database ' || database.datname, 'all databases')
FROM pg_shdepend
JOIN pg_roles AS login ON login.oid = refobjid AND refclassid = 'pg_authid'::regclass AND login.rolname = %s
LEFT JOIN pg_database AS database ON database.oid = dbid
WHERE classid <> 'pg_auth_members'::regclass
GROUP BY deptype, database.datname ORDER BY 1
"""
"""What belongs to a login and not to its owner role."""
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND application_name <> 'keyturn'"


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


def list_enabled(connection: Connection, logins: Sequence[str]) -> tuple[str, ...]:
    """Return which of these logins can log in."""
    found = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND rolcanlogin ORDER BY 1", (list(logins),)
    )
    return tuple(str(name) for (name,) in found.fetchall())


def has_role(connection: Connection, name: str) -> bool:
    """Return whether a role of this name exists."""
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None


def count_sessions(connection: Connection, username: str) -> int:
    """Count a login's open sessions, without Keyturn's own."""
    found = connection.execute(_SESSIONS, (username,)).fetchone()
    return int(str(found[0])) if found else 0


def list_own_rights(connection: Connection, username: str) -> tuple[str, ...]:
    """Return what belongs to a login by name, and not to its owner role: "2 granted in database shop"."""
    return _list(connection, _OWN_RIGHTS, username)


def enable_login(
    connection: Connection, owner: OwnerRole, login: Login, like: str, valid_for: timedelta | None = None
) -> datetime | None:
    """Let a login of the owner role log in with a new password, in the caller's transaction; create it if needed.

    Returns when that password ends; None if never.

    Args:
        connection: of a role that may create roles and grant the owner role.
        owner: the owner role.
        login: the login and its new password, of which only a hash is sent.
        like: the login that it is made like.
        valid_for: how long from now the password is valid; None: as long as that login's.

    Raises:
        Conflict: a role of this name exists and is not one of the owner role's logins.
        Refused: the database does not let it be made like the other login.
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
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN INHERIT PASSWORD {}").format(name, make_verifier(connection, login))
    )
    give_parts(connection, login.username, get_parts(connection, like, owner.name), owner.name)
    until, now = get_valid_until(connection, like)
    if until and valid_for is not None:
        until = now + valid_for
    set_valid_until(connection, login.username, until)
    return until


def disable_login(connection: Connection, username: str) -> None:
    """Keep a login from logging in. It keeps its password for `reenable_login`, and its open sessions continue."""
    connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(username)))


def reenable_login(connection: Connection, username: str) -> None:
    """Let a disabled login log in again with the password that it had."""
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(username)))


def name_owner_role(username: str) -> str:
    """Return the name of a login's owner role: `dexter_owner`."""
    return f"{username[: _LONGEST_NAME - len(_SUFFIX)]}{_SUFFIX}"


def get_login_facts(connection: Connection, username: str, databases: tuple[DatabaseFacts, ...] = ()) -> LoginFacts:
    """Look at a login before its owner role is made.

    Args:
        connection: of who would make it.
        username: the login.
        databases: what its own sessions saw in the databases.

    Raises:
        NotFound: there is no such role.
    """
    parts, version = get_parts(connection, username), connection.info.server_version
    found = connection.execute(_FACTS, {"login": username, "version": version}).fetchone()
    assert found is not None
    relations, sessions, may_rename = found
    owner = find_owner_role(connection, username)
    return LoginFacts(
        alternate_logins=None if owner is None else len(owner.logins) - 1,
        is_owner_name_taken=has_role(connection, name_owner_role(username)),
        relations=int(str(relations)),
        sessions=int(str(sessions)),
        settings=len(parts.settings),
        may_rename=bool(may_rename),
        server_version=version,
        starts_as_another=any(entry.startswith("role=") for _, entry in parts.settings),
        members=_list(connection, _MEMBERS, username),
        followers=_list(connection, _FOLLOWERS, username),
        subscriptions=_list(connection, _SUBSCRIPTIONS, username),
        databases=databases,
    )


def _list(connection: Connection, query: LiteralString, username: str) -> tuple[str, ...]:
    return tuple(str(name) for (name,) in connection.execute(query, (username,)))


def make_owner_role(
    connection: Connection, login: Login, search_paths: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> None:
    """Make a login's role the owner role and create the login anew, in the caller's transaction.

    Args:
        connection: of a superuser, or of another role that may rename the login.
        login: the credential's login; its name and password stay, and only a hash of the password is sent.
        search_paths: database -> schemas, where its sessions need a search_path of their own.

    Raises:
        Refused: the database does not let the new login be made like the current one.
    """
    owner = name_owner_role(login.username)
    parts = replace(get_parts(connection, login.username), memberships=())
    until, _ = get_valid_until(connection, login.username)
    names = {"login": sql.Identifier(login.username), "owner": sql.Identifier(owner)}
    verifier = make_verifier(connection, login)
    with _able_to_rename(connection, login.username):
        for statement in (
            sql.SQL("ALTER ROLE {login} RENAME TO {owner}"),
            sql.SQL("ALTER ROLE {owner} NOLOGIN PASSWORD NULL CONNECTION LIMIT -1"),
            sql.SQL("CREATE ROLE {login} LOGIN IN ROLE {owner} PASSWORD {verifier}"),
        ):
            connection.execute(statement.format(**names, verifier=verifier))
        give_parts(connection, login.username, parts, owner)
        set_valid_until(connection, login.username, until)
        for database, schemas in search_paths.items():
            put_search_path(connection, login.username, database, schemas)
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
