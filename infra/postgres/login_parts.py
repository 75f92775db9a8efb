"""What a login is besides its name and password, part by part, and how another login gets the same parts.

Membership passes on privileges, but no attribute, setting or comment, and several of them act at a login, before the
session switches to the owner role. So two logins that take turns need the same ones:
https://www.postgresql.org/docs/current/role-membership.html

    wanted = get_parts(connection, "orders_a", besides="orders_owner")
    give_parts(connection, "orders_b", wanted, besides="orders_owner")      # raises Refused, and names what it lacks

Whatever the database does not let be copied is named: afterwards the parts are compared, and no part is taken for
granted because a statement succeeded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg import sql

from infra.errors import Code, NotFound, Refused
from infra.postgres.handshake import Connection

_ATTRIBUTES = """
SELECT to_jsonb(role) - '{oid,rolname,rolpassword,rolconfig,rolcanlogin,rolinherit,rolvaliduntil}'::text[],
       COALESCE(shobj_description(role.oid, 'pg_authid'), '')
FROM pg_roles AS role WHERE role.rolname = %s
"""
"""Every attribute that a login has, or that a later version adds. The logins always inherit, else their owner role's
right to connect would not be theirs; whether the owner role inherits stays as it is."""
_SETTINGS = """
SELECT COALESCE(database.datname::text, ''), entry
FROM pg_db_role_setting AS setting
JOIN pg_roles AS role ON role.oid = setting.setrole AND role.rolname = %s
LEFT JOIN pg_database AS database ON database.oid = setting.setdatabase,
unnest(setting.setconfig) AS entry
"""
_MEMBERSHIPS = """
SELECT role.rolname::text, bool_or(granted.admin_option),
       bool_or(COALESCE((to_jsonb(granted) ->> 'inherit_option')::boolean, true)),
       bool_or(COALESCE((to_jsonb(granted) ->> 'set_option')::boolean, true))
FROM pg_auth_members AS granted
JOIN pg_roles AS member ON member.oid = granted.member AND member.rolname = %s
JOIN pg_roles AS role ON role.oid = granted.roleid AND role.rolname <> %s
GROUP BY 1 ORDER BY 1
"""
"""The options INHERIT and SET of a membership are new in PostgreSQL 16; before it every membership has both."""
_LABELS = """
SELECT label.provider, label.label FROM pg_shseclabel AS label
JOIN pg_roles AS role ON role.oid = label.objoid AND label.classoid = 'pg_authid'::regclass
WHERE role.rolname = %s
"""
_DATABASES = """
SELECT datname::text FROM pg_database
WHERE datallowconn AND has_database_privilege(%s, oid, 'CONNECT') ORDER BY 1
"""
_VALID_UNTIL = """
SELECT CASE WHEN rolvaliduntil < '9999-01-01' THEN greatest(rolvaliduntil, '1970-01-01') END, now()
FROM pg_roles WHERE rolname = %s
"""
_SWITCHES = {
    "rolsuper": "SUPERUSER",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
_LIMIT = "rolconnlimit"
_OPTIONS_SINCE = 160000
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
class Membership:
    """A login's membership in a role.

    Args:
        role: the role.
        admin: whether it may grant the role to others.
        inherit: whether it has the role's privileges without switching to it.
        set: whether it may switch to it.
    """

    role: str
    admin: bool
    inherit: bool
    set: bool


@dataclass(frozen=True)
class LoginParts:
    """What a login is besides its name and password.

    Args:
        attributes: column of pg_roles -> value.
        comment: its comment; empty if it has none.
        settings: what its sessions start with.
        memberships: in which roles.
        labels: the security label of each provider.
        databases: those that it may connect to.
    """

    attributes: Mapping[str, object]
    comment: str
    settings: tuple[Setting, ...]
    memberships: tuple[Membership, ...]
    labels: Mapping[str, str]
    databases: tuple[str, ...]

    def named(self) -> dict[str, object]:
        """Return each part by the name that a person knows it by."""
        return {
            **{
                _SWITCHES.get(name, "CONNECTION LIMIT" if name == _LIMIT else name): value
                for name, value in self.attributes.items()
            },
            "its comment": self.comment,
            **{_name_setting(setting): setting[1] for setting in self.settings},
            **{f"membership in {found.role}": found for found in self.memberships},
            **{f"security label of {provider}": label for provider, label in self.labels.items()},
            **{f"CONNECT on {database}": True for database in self.databases},
        }


def get_parts(connection: Connection, role: str, besides: str = "") -> LoginParts:
    """Return what a login is.

    Args:
        connection: of any login.
        role: the login.
        besides: the owner role, whose members the logins are anyhow.

    Raises:
        NotFound: there is no such role.
    """
    found = connection.execute(_ATTRIBUTES, (role,)).fetchone()
    if found is None:
        raise NotFound(
            "The database has no such login",
            name="the credential's login",
            fix="correct the username in the vault",
        )
    attributes, comment = found
    assert isinstance(attributes, dict)
    return LoginParts(
        attributes=attributes,
        comment=str(comment),
        settings=tuple(list_settings(connection, role)),
        memberships=tuple(
            Membership(str(name), *map(bool, options))
            for name, *options in connection.execute(_MEMBERSHIPS, (role, besides))
        ),
        labels={str(provider): str(label) for provider, label in connection.execute(_LABELS, (role,))},
        databases=tuple(str(name) for (name,) in connection.execute(_DATABASES, (role,))),
    )


def give_parts(connection: Connection, role: str, wanted: LoginParts, besides: str) -> None:
    """Make a login what another one is, in the caller's transaction.

    Args:
        connection: of a role that may alter this one.
        role: the login.
        wanted: what it shall be.
        besides: the owner role, whose members the logins are anyhow.

    Raises:
        Refused: the database does not let some of it be given; each is named.
    """
    for change in _list_changes(connection, role, wanted, get_parts(connection, role, besides)):
        _try(connection, change)
    has, needs = get_parts(connection, role, besides).named(), wanted.named()
    differing = [part for part in sorted(needs.keys() | has.keys()) if needs.get(part) != has.get(part)]
    if differing:
        raise Refused(Code.LOGINS_DIFFER, name=f"database {connection.info.dbname}", seen=", ".join(differing))


def _list_changes(connection: Connection, role: str, wanted: LoginParts, found: LoginParts) -> Iterator[sql.Composed]:
    if wanted.settings != found.settings:
        yield from _replace_settings(role, wanted.settings, found.settings)
    if wanted.comment != found.comment:
        yield sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(wanted.comment))
    yield from _replace_memberships(connection, role, wanted.memberships, found.memberships)
    for name, value in wanted.attributes.items():
        if value == found.attributes[name]:
            continue
        if name in _SWITCHES:
            yield _alter(role, "", sql.SQL(("" if value else "NO") + _SWITCHES[name]))
        elif name == _LIMIT:
            yield _alter(role, "", sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(value)))


def _replace_settings(role: str, wanted: tuple[Setting, ...], found: tuple[Setting, ...]) -> Iterator[sql.Composed]:
    for database in sorted({database for database, _ in found}):
        yield _alter(role, database, sql.SQL("RESET ALL"))
    for database, entry in wanted:
        yield _alter(role, database, _set(*entry.split("=", 1)))


def _replace_memberships(
    connection: Connection, role: str, wanted: tuple[Membership, ...], found: tuple[Membership, ...]
) -> Iterator[sql.Composed]:
    login = sql.Identifier(role)
    for gone in {membership.role for membership in found} - {membership.role for membership in wanted}:
        yield sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(gone), login)
    for membership in wanted:
        if membership in found:
            continue
        grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(membership.role), login)
        if connection.info.server_version >= _OPTIONS_SINCE:
            options = (("ADMIN", membership.admin), ("INHERIT", membership.inherit), ("SET", membership.set))
            yield grant + sql.SQL(" WITH " + ", ".join(f"{option} {value}" for option, value in options))
        else:
            yield grant + sql.SQL(" WITH ADMIN OPTION" if membership.admin else "")


def _try(connection: Connection, change: sql.Composed) -> None:
    """Make one change; what the database refuses is noticed by comparing afterwards."""
    try:
        with connection.transaction():
            connection.execute(change)
    except (psycopg.ProgrammingError, psycopg.DataError):
        return


def get_valid_until(connection: Connection, role: str) -> tuple[datetime | None, datetime]:
    """Return when a login's password ends, None if never; and what time it is at the server."""
    found = connection.execute(_VALID_UNTIL, (role,)).fetchone()
    until, now = found or (None, None)
    assert until is None or isinstance(until, datetime)
    assert isinstance(now, datetime)
    return until, now


def set_valid_until(connection: Connection, role: str, until: datetime | None) -> None:
    """Let a login's password end at a time, or never. Nothing is written if it does already."""
    if get_valid_until(connection, role)[0] != until:
        date = sql.Literal(until.isoformat() if until else "infinity")
        connection.execute(_alter(role, "", sql.SQL("VALID UNTIL {}").format(date)))


def extend_validity(connection: Connection, role: str, valid_for: timedelta) -> bool:
    """Let a login's password, if it ends at all, end after a time from now. Returns whether the database lets it."""
    until, now = get_valid_until(connection, role)
    if until is None:
        return True
    try:
        with connection.transaction():
            set_valid_until(connection, role, now + valid_for)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def list_settings(connection: Connection, role: str) -> list[Setting]:
    """Return the settings that a role's sessions start with (`ALTER ROLE ... SET`)."""
    return sorted((str(database), str(entry)) for database, entry in connection.execute(_SETTINGS, (role,)))


def put_setting(connection: Connection, role: str, database: str, name: str, value: str) -> None:
    """Let a role's sessions start with a setting.

    Args:
        connection: of a role that may alter this one.
        role: the role.
        database: the database that it applies to; empty for all.
        name: the setting's name.
        value: the value as the catalog has it.
    """
    connection.execute(_alter(role, database, _set(name, value)))


def put_search_path(connection: Connection, role: str, database: str, schemas: Sequence[str]) -> None:
    """Let a role's sessions in a database find these schemas."""
    path = sql.SQL("SET search_path TO {}").format(sql.SQL(", ").join(map(sql.Literal, schemas)))
    connection.execute(_alter(role, database, path))


def split_list(value: str) -> list[str]:
    """Split a list of quoted names: `"$user", public` is `$user` and `public`."""
    found = [quoted.replace('""', '"') or bare.strip() for quoted, bare in _ELEMENT.findall(value)]
    return found or [""]


def _set(name: str, value: str) -> sql.Composed:
    values = split_list(value) if name in _LISTS else [value]
    return sql.SQL("SET {} TO {}").format(
        sql.SQL(".").join(map(sql.Identifier, name.split("."))), sql.SQL(", ").join(map(sql.Literal, values))
    )


def _alter(role: str, database: str, change: sql.Composable) -> sql.Composed:
    where = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
    return sql.SQL("ALTER ROLE {}{} {}").format(sql.Identifier(role), where, change)


def _name_setting(setting: Setting) -> str:
    database, entry = setting
    name = entry.split("=", 1)[0]
    return f"setting {name} in {database}" if database else f"setting {name}"
