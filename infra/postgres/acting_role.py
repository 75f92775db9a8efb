"""What the role decides that a login's sessions act as: which schema "$user" is, and what SQL gets for current_user.

`ALTER ROLE login SET role owner` changes `current_user`, and with it `"$user"` in search_path, and column defaults,
policies, views and functions that ask for it. All of it is looked at by sessions of the login itself, for they alone
show what its clients see.

    databases = look_at_databases(database, login)        # -> (DatabaseFacts("shop", finds_own_schema=True), ...)
    paths = find_search_paths(database, login)            # -> {"shop": ("orders", "public")}
    prove_acts_as(database, login, "orders_owner")        # in a new session, for the catalogue may say what is ignored

https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from infra.credentials import Login
from infra.errors import Code, LoginRefused, Refused, Unverified
from infra.postgres.database import Database
from infra.postgres.handshake import Connection
from infra.postgres.login_parts import list_settings, split_list
from infra.rotation.migration import DatabaseFacts

_OWN_SCHEMA, _SEARCH_PATH = "$user", "search_path="
_CONNECTABLE = """
SELECT datname::text FROM pg_database
WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY 1
"""
_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE usename = session_user AND datname = current_database() AND application_name <> 'keyturn'
"""
_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = ANY(%s)"
_ASKING = r"""
SELECT name FROM (
    SELECT 'pg_policy'::regclass AS catalog, policy.oid AS id, format('policy %s of %s', polname, relname) AS name,
           concat_ws(' ', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) AS source
    FROM pg_policy AS policy JOIN pg_class AS relation ON relation.oid = polrelid
    UNION ALL
    SELECT 'pg_class'::regclass, relation.oid, format('default of %s.%s', relname, attname),
           pg_get_expr(adbin, adrelid)
    FROM pg_attrdef JOIN pg_class AS relation ON relation.oid = adrelid
    JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
    UNION ALL
    SELECT 'pg_class'::regclass, oid, format('view %s', relname), pg_get_viewdef(oid)
    FROM pg_class WHERE relkind IN ('v', 'm') AND oid >= 16384
    UNION ALL
    SELECT 'pg_constraint'::regclass, oid, format('constraint %s', conname), pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype = 'c'
    UNION ALL
    SELECT 'pg_trigger'::regclass, fired.oid, format('trigger %s of %s', tgname, relname), pg_get_triggerdef(fired.oid)
    FROM pg_trigger AS fired JOIN pg_class AS relation ON relation.oid = tgrelid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'pg_rewrite'::regclass, rule.oid, format('rule %s of %s', rulename, relname), pg_get_ruledef(rule.oid)
    FROM pg_rewrite AS rule JOIN pg_class AS relation ON relation.oid = ev_class
    WHERE rulename <> '_RETURN' AND rule.oid >= 16384
    UNION ALL
    SELECT 'pg_proc'::regclass, oid, format('function %s', proname),
           regexp_replace(upper(pg_get_functiondef(oid)), '(?<!\$)\mUSER\M', '', 'g')
    FROM pg_proc WHERE prokind IN ('f', 'p') AND oid >= 16384
) AS said
WHERE id >= 16384 AND source ~ '\m(CURRENT_USER|CURRENT_ROLE|SESSION_USER|USER)\M'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = catalog AND objid = said.id AND deptype = 'e')
GROUP BY name ORDER BY name
"""
"""Expressions are printed by the server, keywords in capitals. In a function's source a bare `user` is mostly a name:
it is left out, but for `"$user"` in a search_path of its own."""
_VISIBLE = r"""
SELECT oid, relname::text FROM pg_class
WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND oid >= 16384 AND pg_table_is_visible(oid)
  AND relnamespace::regnamespace::text !~ '^pg_'
"""
_MOST_NAMES = 5


@dataclass(frozen=True)
class Sight:
    """What a login's new session finds by unqualified name in a database.

    Args:
        search_path: its search_path.
        relations: oid -> name.
    """

    search_path: str
    relations: Mapping[int, str]


def look_at_databases(database: Database, login: Login, owner: str) -> tuple[DatabaseFacts, ...]:
    """Look at every database that a login may connect to.

    Args:
        database: any of them.
        login: the login.
        owner: the name that its owner role has or would get.
    """
    return tuple(
        DatabaseFacts(
            name=name,
            sessions=int(str(_get(connection, _SESSIONS))),
            finds_own_schema=_find_search_path(connection, login, owner) is not None,
            asking=tuple(str(asking) for (asking,) in connection.execute(_ASKING)),
        )
        for name, connection in _connect_to_each(database, login)
    )


def find_search_paths(database: Database, login: Login, owner: str) -> dict[str, tuple[str, ...]]:
    """Return what to write into search_path where "$user" finds a schema: database -> schemas.

    Args:
        database: any that the login may connect to.
        login: the login.
        owner: the name of the role that its sessions will act as.
    """
    found = {name: _find_search_path(session, login, owner) for name, session in _connect_to_each(database, login)}
    return {name: path for name, path in found.items() if path is not None}


def _find_search_path(connection: Connection, login: Login, owner: str) -> tuple[str, ...] | None:
    path = split_list(str(_get(connection, "SELECT current_setting('search_path')")))
    if _OWN_SCHEMA not in path or not connection.execute(_SCHEMA, ([login.username, owner],)).fetchone():
        return None
    return tuple(login.username if schema == _OWN_SCHEMA else schema for schema in path)


def _connect_to_each(database: Database, login: Login) -> Iterator[tuple[str, Connection]]:
    """Log in to each database that admits the login."""
    with database.connected(login) as connection:
        names = [str(name) for (name,) in connection.execute(_CONNECTABLE)]
    for name in names:
        try:
            with database.beside(name).connected(login) as connection:
                milliseconds = database.settings.connect_timeout_seconds * 1000
                connection.execute(sql.SQL("SET statement_timeout = {}").format(milliseconds))
                yield name, connection
        except LoginRefused:
            continue


def see(database: Database, login: Login) -> Sight:
    """Return what a login's new session finds by unqualified name."""
    with database.connected(login) as connection:
        return Sight(str(_get(connection, "SELECT current_setting('search_path')")), _list_visible(connection))


def verify_sees(connection: Connection, login: Login, owner: str, before: Sight) -> None:
    """Look in an uncommitted change whether a session as the owner role would find what the login found before.

    Args:
        connection: of the session that makes the change, in its transaction, which is rolled back afterwards.
        login: the login as it would be.
        owner: the role that its sessions would act as.
        before: what it found before the change.

    Raises:
        Refused: it would not; the relations are named.
    """
    settings = {
        where: entry.removeprefix(_SEARCH_PATH)
        for where, entry in list_settings(connection, login.username)
        if entry.startswith(_SEARCH_PATH)
    }
    path = settings.get(connection.info.dbname, settings.get("", before.search_path))
    _act_as(connection, owner)
    connection.execute("SELECT set_config('search_path', %s, true)", (path,))
    lost = sorted(before.relations[oid] for oid in before.relations.keys() - _list_visible(connection).keys())
    if lost:
        more = f" and {len(lost) - _MOST_NAMES} more" if len(lost) > _MOST_NAMES else ""
        seen = ", ".join(lost[:_MOST_NAMES]) + more
        raise Refused(Code.RELATIONS_LOST, name=f"database {connection.info.dbname}", seen=seen)


def _act_as(connection: Connection, owner: str) -> None:
    """Act as a role until the transaction ends; who may not yet, but may grant it, grants it to itself."""
    act = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner))
    try:
        with connection.transaction():
            connection.execute(act)
    except psycopg.errors.InsufficientPrivilege:
        connection.execute(sql.SQL("GRANT {} TO SESSION_USER").format(sql.Identifier(owner)))
        connection.execute(act)


def prove_acts_as(database: Database, login: Login, owner: str) -> None:
    """Log in, and see that the session acts as the owner role, also after `DISCARD ALL`, which poolers send.

    Raises:
        Unverified: it acts as another role.
    """
    with database.connected(login) as connection:
        started = _get(connection, "SELECT current_user::text")
        connection.execute("DISCARD ALL")
        later = _get(connection, "SELECT current_user::text")
    if started != owner:
        raise Unverified(Code.ACTS_AS_ANOTHER, name=str(database), seen="a new session does not act as the owner role")
    if later != owner:
        raise Unverified(
            Code.ROLE_NOT_KEPT, name=str(database), seen="after DISCARD ALL a session no longer acts as the owner role"
        )


def _list_visible(connection: Connection) -> dict[int, str]:
    return {int(str(oid)): str(name) for oid, name in connection.execute(_VISIBLE)}


def _get(connection: Connection, query: LiteralString) -> object:
    found = connection.execute(query).fetchone()
    return found[0] if found else None
