"""The settings that a session begins with (`ALTER ROLE ... SET`), taken over from one login to another."""

import re

from psycopg import sql

from infra.postgres.writing import Connection

_LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
"""Their values are lists of quoted names, and are written as lists
(https://github.com/postgres/postgres/blob/master/src/bin/pg_dump/dumputils.c, variable_is_guc_list_quote)."""
_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+))\s*(?:,|$)')

_SETTINGS = """
SELECT COALESCE(database.datname::text, ''), entry
FROM pg_db_role_setting AS setting
JOIN pg_roles AS role ON role.oid = setting.setrole AND role.rolname = %s
LEFT JOIN pg_database AS database ON database.oid = setting.setdatabase,
unnest(setting.setconfig) AS entry
"""
Setting = tuple[str, str]
"""Database, empty for all of them; `name=value`."""


def list_settings(connection: Connection, role: str) -> list[Setting]:
    """Return what sessions of a role begin with."""
    return sorted((str(database), str(entry)) for database, entry in connection.execute(_SETTINGS, (role,)))


def copy_settings(connection: Connection, source: str, destination: str) -> None:
    """Give a role the settings of another one, and no others. Where they are equal nothing is written."""
    wanted, found = list_settings(connection, source), list_settings(connection, destination)
    if wanted == found:
        return
    for database in {one for one, _ in found}:
        connection.execute(_alter(destination, database, sql.SQL("RESET ALL")))
    for database, entry in wanted:
        put_setting(connection, destination, database, *entry.split("=", 1))


def put_setting(connection: Connection, role: str, database: str, name: str, value: str) -> None:
    """Let sessions of a role begin with a setting.

    Args:
        connection: of somebody who may alter the role.
        role: whose sessions.
        database: in which database; empty for all of them.
        name: the setting's.
        value: as the catalogue has it.
    """
    values = split_list(value) if name in _LISTS else [value]
    said = sql.SQL("SET {} TO {}").format(
        sql.SQL(".").join(map(sql.Identifier, name.split("."))), sql.SQL(", ").join(map(sql.Literal, values))
    )
    connection.execute(_alter(role, database, said))


def split_list(value: str) -> list[str]:
    """Take a list of quoted names apart: `"$user", public` is `$user` and `public`."""
    found = [quoted.replace('""', '"') or bare.strip() for quoted, bare in _ELEMENT.findall(value)]
    return found or [""]


def _alter(role: str, database: str, what: sql.Composable) -> sql.Composed:
    where = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
    return sql.SQL("ALTER ROLE {}{} {}").format(sql.Identifier(role), where, what)
