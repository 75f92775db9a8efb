"""From one login that owns everything to an owner role and a login that becomes it, in one transaction.

The present role keeps its identity and is renamed to the owner; a new login takes its name and password. So every
object, grant, default privilege and membership stays as it is in every database, and nothing is reassigned
(`REASSIGN OWNED` acts in one database alone, and not at all for the role that initdb made). Clients notice nothing.

A session cannot rename its own role. A superuser's changes its identity for that, to a role that exists inside the
transaction alone: https://www.postgresql.org/docs/current/sql-set-session-authorization.html
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from infra.errors import NotFound
from infra.postgres.alternation import find_owner, has_role
from infra.postgres.role_settings import copy_settings, list_settings, put_setting
from infra.postgres.writing import Connection, make_verifier
from infra.rotation.migration import LoginFacts

_STAND_IN = sql.Identifier("keyturn_stand_in")
_LENGTH = 63
_FACTS = """
SELECT login.rolsuper, login.rolconnlimit, login.rolvaliduntil::text,
       (SELECT count(*) FROM pg_class AS relation WHERE relation.relowner = login.oid AND relation.oid >= 16384),
       (SELECT count(*) FROM pg_stat_activity AS session
        WHERE session.usesysid = login.oid AND session.application_name <> 'keyturn'),
       me.rolsuper, me.rolcreaterole
FROM pg_roles AS login, pg_roles AS me
WHERE login.rolname = %s AND me.rolname = session_user
"""


def name_owner(login: str) -> str:
    """Name the owner role of a login: `dexter_owner`."""
    return f"{login[: _LENGTH - len('_owner')]}_owner"


def get_login_facts(connection: Connection, login: str) -> LoginFacts:
    """Look at a login and at what it has.

    Raises:
        NotFound: there is no such role.
    """
    found = connection.execute(_FACTS, (login,)).fetchone()
    if found is None:
        raise NotFound(
            "The database has no such login",
            name="the credential's login",
            fix="see what the vault's secret holds",
        )
    is_superuser, _, _, relations, sessions, asks_superuser, asks_createrole = found
    itself = _one(connection, "SELECT session_user::text") == login
    owner = find_owner(connection, login)
    return LoginFacts(
        others=None if owner is None else len(owner.logins) - 1,
        is_name_taken=has_role(connection, name_owner(login)),
        relations=int(str(relations)),
        sessions=int(str(sessions)),
        settings=len(list_settings(connection, login)),
        may_rename=bool(asks_superuser) or (bool(asks_createrole) and not itself and not is_superuser),
    )


def make_owner(connection: Connection, login: str, password: str) -> None:
    """Make the owner role of a login and the login anew, in the caller's transaction.

    Args:
        connection: of a superuser, or of somebody else who may rename the login.
        login: the credential's login; its name and password stay.
        password: its present password; only its hash is sent.
    """
    owner = name_owner(login)
    verifier, facts = make_verifier(connection, login, password), connection.execute(_FACTS, (login,)).fetchone()
    assert facts is not None
    with _able_to_rename(connection, login):
        names = {"login": sql.Identifier(login), "owner": sql.Identifier(owner)}
        for statement in (
            sql.SQL("ALTER ROLE {login} RENAME TO {owner}"),
            sql.SQL("ALTER ROLE {owner} NOLOGIN PASSWORD NULL CONNECTION LIMIT -1"),
            sql.SQL("CREATE ROLE {login} LOGIN IN ROLE {owner} PASSWORD {verifier} CONNECTION LIMIT {limit}"),
        ):
            connection.execute(statement.format(**names, verifier=verifier, limit=sql.Literal(facts[1])))
        if facts[2]:
            connection.execute(sql.SQL("ALTER ROLE {} VALID UNTIL {}").format(names["login"], sql.Literal(facts[2])))
        copy_settings(connection, owner, login)
        put_setting(connection, login, "", "role", owner)


@contextmanager
def _able_to_rename(connection: Connection, login: str) -> Iterator[None]:
    if _one(connection, "SELECT session_user::text") != login:
        yield
        return
    connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER").format(_STAND_IN))
    connection.execute(sql.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(_STAND_IN))
    yield
    connection.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
    connection.execute(sql.SQL("DROP ROLE {}").format(_STAND_IN))


def _one(connection: Connection, query: str) -> str:
    found = connection.execute(query).fetchone()
    return str(found[0]) if found else ""
