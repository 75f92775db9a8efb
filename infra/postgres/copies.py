"""Copies of a login's password inside databases, which do not follow when it changes. Only their names leave here.

A user mapping, a subscription, a dblink string and a step of pgAgent have a login and a password of their own; who
replicates as the login has them on another server; a job of pg_cron runs as the login. A copy with another password
than the login's is another server's, or stopped working before: it does not matter.

    find_copies(connection, login).found   # -> ("the user mapping of report at the server orders in shop",)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict

from infra.credentials import Login
from infra.postgres.handshake import Connection

_DATABASES = """
SELECT datname::text FROM pg_database
WHERE datallowconn AND NOT datistemplate AND datname NOT IN ('azure_maintenance', 'azure_sys')
ORDER BY datname = current_database() DESC, datname
"""
_MAPPINGS = """
SELECT COALESCE(usename, 'public')::text, srvname::text, umoptions,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
FROM pg_user_mappings ORDER BY 1, 2
"""
_MAY_READ_SUBSCRIPTIONS = "SELECT has_column_privilege('pg_subscription', 'subconninfo', 'SELECT')"
_SUBSCRIPTIONS = """
SELECT subname::text, {conninfo}
FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""
_REPLICATION = """
SELECT application_name, COALESCE(host(client_addr), 'this host') FROM pg_stat_replication WHERE usename = %s ORDER BY 1
"""
_DBLINKS = """
SELECT 'the function ' || nspname || '.' || proname, prosrc
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace WHERE prosrc LIKE '%dblink%'
UNION ALL SELECT 'the view ' || schemaname || '.' || viewname, definition FROM pg_views WHERE definition LIKE '%dblink%'
ORDER BY 1
"""
_TABLES = """
SELECT nspname || '.' || relname,
       has_schema_privilege(pg_namespace.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE (nspname, relname) IN (('cron', 'job'), ('pgagent', 'pga_jobstep'))
"""
_CRON_JOBS = "SELECT jobid::text FROM cron.job WHERE username = %s ORDER BY jobid"
_CRON_USES_WORKERS = "SELECT COALESCE(current_setting('cron.use_background_workers', true), 'off') = 'on'"
_AGENT_STEPS = "SELECT jstname, jstconnstr FROM pgagent.pga_jobstep WHERE jstconnstr <> '' ORDER BY 1"


@dataclass(frozen=True)
class Copies:
    """What was found, by name.

    Args:
        found: what will stop working.
        hidden: what this session may not look at.
    """

    found: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def __add__(self, other: "Copies") -> "Copies":
        return Copies(self.found + other.found, self.hidden + other.hidden)


def list_databases(connection: Connection) -> list[str]:
    """Return the databases that can be connected to, the session's own first."""
    return [str(name) for (name,) in connection.execute(_DATABASES)]


def find_copies(connection: Connection, login: Login, *, stays: bool) -> Copies:
    """Look for copies of a login's password in the session's database.

    Args:
        connection: of the login, or of one that may see more.
        login: whose password will change.
        stays: whether the login itself can log in afterwards; jobs that need no password go on then.
    """
    database = connection.info.dbname
    looks = (_user_mappings, _subscriptions, _replication, _dblinks, _jobs)
    noted = [note for look in looks for note in look(connection, login, stays)]
    found = tuple(f"{what} in {database}" for what, is_hidden in noted if not is_hidden)
    return Copies(found, tuple(f"{what} in {database}" for what, is_hidden in noted if is_hidden))


Notes = Iterator[tuple[str, bool]]
"""What it is, and whether it could not be looked at."""


def _user_mappings(connection: Connection, login: Login, stays: bool) -> Notes:
    for user, server, options, is_superuser in connection.execute(_MAPPINGS):
        what = f"the user mapping of {user} at the server {server}"
        if isinstance(options, list):
            values = dict(str(option).partition("=")[::2] for option in options)
            if _is_copy({**values, "user": values.get("user") or values.get("username", "")}, login):
                yield what, False
        elif not is_superuser:
            yield what, True


def _subscriptions(connection: Connection, login: Login, stays: bool) -> Notes:
    may_read = connection.execute(_MAY_READ_SUBSCRIPTIONS).fetchall() == [(True,)]
    query = _SUBSCRIPTIONS.format(conninfo="subconninfo" if may_read else "NULL")
    for name, conninfo in connection.execute(query.encode()):
        if conninfo is None or _is_copy(_parse(str(conninfo)), login):
            yield f"the subscription {name}", conninfo is None


def _replication(connection: Connection, login: Login, stays: bool) -> Notes:
    for application, address in connection.execute(_REPLICATION, (login.username,)):
        yield f"{application or 'a client'} at {address}, which replicates as the login", False


def _dblinks(connection: Connection, login: Login, stays: bool) -> Notes:
    for what, text in connection.execute(_DBLINKS):
        if login.password in str(text):
            yield str(what), False


def _jobs(connection: Connection, login: Login, stays: bool) -> Notes:
    for table, may_read in connection.execute(_TABLES).fetchall():
        if not may_read:
            yield f"the table {table}", True
        elif table == "cron.job":
            if stays and connection.execute(_CRON_USES_WORKERS).fetchall() == [(True,)]:
                continue
            for (job,) in connection.execute(_CRON_JOBS, (login.username,)):
                yield f"job {job} of pg_cron, which runs as the login", False
        else:
            for step, conninfo in connection.execute(_AGENT_STEPS):
                if _is_copy(_parse(str(conninfo)), login):
                    yield f"the step {step} of pgAgent", False


def _parse(conninfo: str) -> Mapping[str, object]:
    try:
        return conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        return {}


def _is_copy(options: Mapping[str, object], login: Login) -> bool:
    """Whether somebody logs in as the login: with its password, or with one that is kept elsewhere."""
    return options.get("user") == login.username and options.get("password", login.password) == login.password
