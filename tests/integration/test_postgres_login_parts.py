"""What a login is, kept by a migration and by both logins of an owner role; on two versions of PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest

from infra.credentials import Login
from infra.errors import Code, Refused
from infra.postgres.database import RoleChange, make_verifier
from infra.postgres.handshake import Connection
from infra.postgres.login_parts import get_parts, get_valid_until
from infra.postgres.owner_role import enable_login, find_owner_role, make_owner_role
from testing.postgres_process import ADMIN, Server, running_server

APP, SECOND = Login("app", "first-Password-1"), Login("app_b", "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG")
CLERK = Login("clerk", "may-create-Roles-1")
CHANGE = RoleChange("The database does not let it", "ask somebody")
SWITCHES = ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS")


@pytest.fixture(scope="module", params=["system", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_server("-c", "wal_level=logical", postgres="" if request.param == "system" else "wheel") as running:
        yield running


@contextmanager
def session(server: Server, login: Login = ADMIN, database: str = "shop") -> Iterator[Connection]:
    with server.database(database).connected(login) as connection:
        yield connection


def execute(server: Server, *statements: str) -> None:
    with session(server) as admin:
        for statement in statements:
            admin.execute(statement)  # type: ignore[call-overload]


def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()  # type: ignore[call-overload]


@pytest.fixture
def shop(server: Server) -> Iterator[Server]:
    """A database, a login without rights that has one table in it, and a role beside it."""
    with session(server, database="postgres") as admin:
        for name in ("shop", "spare"):
            admin.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        for login in (APP, CLERK):
            verifier = make_verifier(admin, login)
            admin.execute(f"CREATE ROLE {login.username} LOGIN PASSWORD '{verifier}'")  # type: ignore[call-overload]
    execute(server, "CREATE ROLE readers", "GRANT CREATE ON SCHEMA public TO app", "CREATE TABLE theirs (id int)")
    yield server
    with session(server, database="postgres") as admin:
        for name in ("shop", "spare"):
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
        admin.execute("DELETE FROM pg_shseclabel")
        ours = "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'dexter'"
        for (name,) in rows(admin, ours):
            admin.execute(f'DROP OWNED BY "{name}"')  # type: ignore[call-overload]
        for (name,) in rows(admin, ours):
            admin.execute(f'DROP ROLE "{name}"')  # type: ignore[call-overload]


def migrate(server: Server, login: Login = ADMIN) -> None:
    with server.database("shop").changing(login, CHANGE) as session:
        make_owner_role(session, APP)


def enable_second(server: Server, login: Login = ADMIN, *, valid_for: timedelta | None = None) -> None:
    with server.database("shop").changing(login, CHANGE) as session:
        owner = find_owner_role(session, APP.username)
        assert owner is not None
        enable_login(session, owner, SECOND, APP.username, valid_for)


def get_row(server: Server, role: str) -> object:
    """Every column of pg_roles but those that tell one role from another, and a comment."""
    query = """
    SELECT to_jsonb(r) - '{oid,rolname,rolconfig,rolpassword}'::text[], shobj_description(oid, 'pg_authid')
    FROM pg_roles AS r WHERE rolname = %s
    """
    with session(server) as admin:
        return admin.execute(query, (role,)).fetchall()


@pytest.mark.parametrize("switches", [(), SWITCHES[1:], SWITCHES], ids=["none", "all but superuser", "all"])
def test_every_column_of_a_login_is_the_same_after_a_migration_and_for_both_logins(
    shop: Server, switches: tuple[str, ...]
) -> None:
    until = "2999-01-01 00:00:00+00"
    execute(shop, f"ALTER ROLE app {' '.join(switches)} CONNECTION LIMIT 7 VALID UNTIL '{until}'")
    execute(shop, "COMMENT ON ROLE app IS 'it''s the shop''s'")
    before = get_row(shop, "app")
    migrate(shop)
    assert get_row(shop, "app") == before
    enable_second(shop)
    assert get_row(shop, "app_b") == before
    with session(shop, SECOND) as second:
        assert rows(second, "SELECT current_user::text") == [("app_owner",)]


def test_what_a_login_lost_since_is_taken_from_the_alternate_login_too(shop: Server) -> None:
    execute(shop, "ALTER ROLE app CREATEDB CONNECTION LIMIT 7", "COMMENT ON ROLE app IS 'ours'")
    execute(shop, "ALTER ROLE app SET work_mem = '8MB'")
    migrate(shop)
    execute(shop, "GRANT readers TO app")
    enable_second(shop)
    execute(shop, "ALTER ROLE app NOCREATEDB CONNECTION LIMIT -1", "COMMENT ON ROLE app IS NULL")
    execute(shop, "ALTER ROLE app RESET work_mem", "REVOKE readers FROM app")
    enable_second(shop)
    assert get_row(shop, "app_b") == get_row(shop, "app")
    with session(shop) as admin:
        assert get_parts(admin, "app_b", "app_owner") == get_parts(admin, "app", "app_owner")


def test_a_login_that_replicates_may_still_do_so_under_either_name(shop: Server) -> None:
    execute(shop, "ALTER ROLE app REPLICATION")
    migrate(shop)
    enable_second(shop)
    for login in (APP, SECOND):
        where = {"host": "127.0.0.1", "port": shop.port, "dbname": "shop", "replication": "database"}
        with psycopg.connect(**where, user=login.username, password=login.password) as stream:  # type: ignore[arg-type]
            assert stream.pgconn.exec_(b"IDENTIFY_SYSTEM").ntuples == 1


def test_a_login_that_inherits_nothing_may_still_connect_where_it_alone_may_and_inherits_nothing(shop: Server) -> None:
    execute(shop, "ALTER ROLE app NOINHERIT", "GRANT readers TO app", "GRANT SELECT ON theirs TO readers")
    execute(shop, "REVOKE CONNECT ON DATABASE shop FROM PUBLIC", "GRANT CONNECT ON DATABASE shop TO app")
    migrate(shop)
    enable_second(shop)
    for login in (APP, SECOND):
        with session(shop, login) as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM theirs")
            connection.execute("SET ROLE readers")
            connection.execute("SELECT * FROM theirs")


def test_a_membership_given_to_one_login_by_name_is_given_to_the_other_with_its_options(shop: Server) -> None:
    migrate(shop)
    execute(shop, "GRANT readers TO app WITH ADMIN OPTION", "GRANT pg_monitor TO app")
    with session(shop) as admin:
        if admin.info.server_version >= 160000:
            execute(shop, "GRANT pg_monitor TO app WITH INHERIT FALSE, SET TRUE")
        enable_second(shop)
        first, second = (get_parts(admin, login, "app_owner").memberships for login in ("app", "app_b"))
    assert first == second
    assert [(membership.role, membership.admin) for membership in first] == [("pg_monitor", False), ("readers", True)]


def test_a_database_that_one_login_alone_may_connect_to_is_named_and_nothing_is_changed(shop: Server) -> None:
    migrate(shop)
    execute(shop, "REVOKE CONNECT ON DATABASE spare FROM PUBLIC", "GRANT CONNECT ON DATABASE spare TO app")
    with pytest.raises(Refused) as caught:
        enable_second(shop)
    assert (caught.value.code, caught.value.seen) == (Code.LOGINS_DIFFER, "CONNECT on spare")
    assert get_row(shop, "app_b") == []


def test_what_an_administrator_may_not_give_is_named_and_nothing_is_changed(shop: Server) -> None:
    execute(shop, "ALTER ROLE clerk CREATEROLE", "ALTER ROLE app REPLICATION", "ALTER ROLE app SET work_mem = '8MB'")
    execute(shop, "ALTER ROLE app SET log_statement = 'all'", "ALTER ROLE app IN DATABASE spare SET my.mark = 'x'")
    with session(shop) as admin:
        if admin.info.server_version >= 160000:
            execute(shop, "GRANT app TO clerk WITH ADMIN OPTION")
        else:
            execute(shop, "ALTER ROLE app NOREPLICATION BYPASSRLS")
    before = get_row(shop, "app")
    with pytest.raises(Refused) as caught:
        migrate(shop, CLERK)
    with session(shop) as admin:
        switch = "REPLICATION" if admin.info.server_version >= 160000 else "BYPASSRLS"
    assert caught.value.code == Code.LOGINS_DIFFER
    assert caught.value.seen == f"{switch}, setting log_statement, setting my.mark in spare"
    assert "`administrator`" in caught.value.fix
    assert get_row(shop, "app") == before
    assert get_row(shop, "app_owner") == []


def test_a_security_label_is_named_for_nobody_but_its_provider_may_give_it(shop: Server) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=shop.port,
        dbname="shop",
        user=ADMIN.username,
        password=ADMIN.password,
        options="-c allow_system_table_mods=on",
    ) as admin:
        admin.execute("INSERT INTO pg_shseclabel VALUES ('app'::regrole, 'pg_authid'::regclass, 'anon', 'MASKED')")
    with pytest.raises(Refused) as caught:
        migrate(shop)
    assert (caught.value.code, caught.value.seen) == (Code.LOGINS_DIFFER, "security label of anon")
    assert get_row(shop, "app_owner") == []


def test_the_alternate_logins_password_is_valid_for_the_given_time_or_until_the_same_date_or_for_ever(
    shop: Server,
) -> None:
    execute(shop, "ALTER ROLE app VALID UNTIL '2999-01-01'")
    migrate(shop)
    with session(shop) as admin:
        date, _ = get_valid_until(admin, "app")
        enable_second(shop)
        assert get_valid_until(admin, "app_b")[0] == date
        enable_second(shop, valid_for=timedelta(days=90))
        until, now = get_valid_until(admin, "app_b")
        assert until is not None
        assert timedelta(days=89) < until - now <= timedelta(days=90)
        execute(shop, "ALTER ROLE app VALID UNTIL 'infinity'", "ALTER ROLE app_b VALID UNTIL '-infinity'")
        enable_second(shop, valid_for=timedelta(days=90))
        assert get_valid_until(admin, "app_b")[0] is None
    shop.database().prove(SECOND)
