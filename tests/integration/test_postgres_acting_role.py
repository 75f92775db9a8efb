"""What changes with the role that sessions act as: schemas by the login's name, SQL that asks for the current user."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from infra.credentials import Login
from infra.errors import Code, Refused, Unverified
from infra.postgres.acting_role import find_search_paths, look_at_databases, prove_acts_as, see, verify_sees
from infra.postgres.database import RoleChange, make_verifier
from infra.postgres.handshake import Connection
from infra.postgres.owner_role import (
    enable_login,
    find_owner_role,
    get_login_facts,
    list_own_rights,
    make_owner_role,
)
from infra.rotation.migration import DatabaseFacts
from testing.postgres_process import ADMIN, Server, running_server

APP, SECOND = Login("app", "first-Password-1"), Login("app_b", "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG")
CLERK = Login("clerk", "may-create-Roles-1")
OWNER = "app_owner"
CHANGE = RoleChange("The database does not let it", "ask somebody")


@pytest.fixture(scope="module", params=["system", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_server(postgres="" if request.param == "system" else "wheel") as running:
        yield running


@contextmanager
def session(server: Server, login: Login = ADMIN, database: str = "shop") -> Iterator[Connection]:
    with server.database(database).connected(login) as connection:
        yield connection


def execute(server: Server, *statements: str, login: Login = ADMIN, database: str = "shop") -> None:
    with session(server, login, database) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]


def count(server: Server, relation: str, login: Login = APP) -> object:
    with session(server, login) as connection:
        return connection.execute(f"SELECT count(*) FROM {relation}").fetchall()  # type: ignore[call-overload]  # noqa: S608


@pytest.fixture
def shop(server: Server) -> Iterator[Server]:
    """A login that owns a database, with a schema of its name and a table in it; and a clerk that may create roles."""
    with session(server, database="postgres") as admin:
        for login, rights in ((APP, ""), (CLERK, "CREATEROLE")):
            verifier = make_verifier(admin, login)
            admin.execute(f"CREATE ROLE {login.username} LOGIN {rights} PASSWORD '{verifier}'")  # type: ignore[call-overload]
        admin.execute("CREATE DATABASE shop OWNER app")
        admin.execute("CREATE DATABASE spare")
        if admin.info.server_version >= 160000:
            admin.execute("GRANT app TO clerk WITH ADMIN OPTION, INHERIT FALSE, SET FALSE")
    execute(server, "CREATE SCHEMA app", "CREATE TABLE orders (id int)", login=APP)
    yield server
    with session(server, database="postgres") as admin:
        for name in ("shop", "spare"):
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
        ours = "SELECT rolname::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'dexter'"
        names = [str(name) for (name,) in admin.execute(ours)]
        for statement in ('DROP OWNED BY "{}"', 'DROP ROLE "{}"'):
            for name in names:
                admin.execute(statement.format(name))  # type: ignore[call-overload]


def migrate(server: Server, login: Login = ADMIN) -> None:
    database = server.database("shop")
    paths = find_search_paths(database, APP, OWNER)
    with database.changing(login, CHANGE) as admin:
        make_owner_role(admin, APP, paths)


def rehearse(server: Server, paths: dict[str, tuple[str, ...]], login: Login) -> None:
    database = server.database("shop")
    before = see(database, APP)
    with database.changing(login, CHANGE, is_rehearsal=True) as admin:
        make_owner_role(admin, APP, paths)
        verify_sees(admin, APP, OWNER, before)


def test_the_schema_of_a_logins_name_is_found_after_a_migration_and_by_both_logins(shop: Server) -> None:
    assert find_search_paths(shop.database(), APP, OWNER) == {"shop": ("app", "public")}
    migrate(shop)
    assert count(shop, "orders") == [(0,)]
    with shop.database("shop").changing(ADMIN, CHANGE) as admin:
        owner = find_owner_role(admin, APP.username)
        assert owner is not None
        enable_login(admin, owner, SECOND, APP.username)
    assert count(shop, "orders", SECOND) == [(0,)]


def test_a_search_path_of_the_database_keeps_its_order(shop: Server) -> None:
    execute(shop, "ALTER DATABASE shop SET search_path = public, \"$user\", 'Odd name'")
    assert find_search_paths(shop.database(), APP, OWNER) == {"shop": ("public", "app", "Odd name")}
    migrate(shop)
    with session(shop, APP) as connection:
        assert connection.execute("SHOW search_path").fetchall() == [('public, app, "Odd name"',)]


def test_an_explicit_search_path_needs_nothing(shop: Server) -> None:
    execute(shop, "ALTER ROLE app SET search_path = app, public")
    assert find_search_paths(shop.database(), APP, OWNER) == {}
    migrate(shop)
    assert count(shop, "orders") == [(0,)]


def test_a_schema_of_the_owner_roles_name_does_not_come_between(shop: Server) -> None:
    execute(shop, "ALTER SCHEMA app RENAME TO app_owner", "CREATE TABLE public.orders AS SELECT 1 AS id")
    execute(shop, "GRANT SELECT ON public.orders TO app")
    assert count(shop, "orders") == [(1,)]
    migrate(shop)
    assert count(shop, "orders") == [(1,)]


@pytest.mark.parametrize("admin", [ADMIN, CLERK], ids=["superuser", "may create roles"])
def test_a_rehearsal_names_the_relations_that_the_login_would_no_longer_find(shop: Server, admin: Login) -> None:
    with pytest.raises(Refused) as caught:
        rehearse(shop, {}, admin)
    assert (caught.value.code, caught.value.seen) == (Code.RELATIONS_LOST, "orders")
    assert caught.value.name == "database shop"
    rehearse(shop, find_search_paths(shop.database(), APP, OWNER), admin)
    assert count(shop, "orders") == [(0,)]
    with session(shop) as connection:
        assert find_owner_role(connection, APP.username) is None


def test_open_sessions_are_counted_where_they_find_the_schema(shop: Server) -> None:
    where = {"host": "127.0.0.1", "port": shop.port, "dbname": "shop"}
    with psycopg.connect(**where, user=APP.username, password=APP.password):  # type: ignore[arg-type]
        found = {facts.name: facts for facts in look_at_databases(shop.database(), APP, OWNER)}
    assert (found["shop"].sessions, found["shop"].finds_own_schema) == (1, True)
    assert found["spare"] == DatabaseFacts("spare")


def test_a_database_that_does_not_admit_the_login_is_left_out(shop: Server) -> None:
    execute(shop, "REVOKE CONNECT ON DATABASE spare FROM PUBLIC")
    assert "spare" not in {facts.name for facts in look_at_databases(shop.database(), APP, OWNER)}


def test_what_asks_for_the_current_user_is_named(shop: Server) -> None:
    execute(
        shop,
        "CREATE TABLE audited (who text DEFAULT CURRENT_USER, \"user\" text DEFAULT 'x', CHECK (who <> SESSION_USER))",
        "CREATE POLICY own_rows ON audited USING (who = CURRENT_USER)",
        "CREATE POLICY all_rows ON audited USING (true)",
        "CREATE VIEW mine AS SELECT * FROM audited WHERE who = USER",
        'CREATE VIEW all_of_it AS SELECT "user" FROM audited',
        "CREATE FUNCTION who() RETURNS text LANGUAGE plpgsql AS 'BEGIN return current_user; END'",
        "CREATE FUNCTION body() RETURNS text LANGUAGE sql RETURN session_user",
        "CREATE FUNCTION path() RETURNS int LANGUAGE sql SET search_path = \"$user\" AS 'SELECT 1 AS user'",
        "CREATE FUNCTION other() RETURNS int LANGUAGE sql AS 'SELECT 1 AS user'",
        login=APP,
    )
    (facts,) = (found for found in look_at_databases(shop.database(), APP, OWNER) if found.name == "shop")
    assert facts.asking == (
        "constraint audited_who_check",
        "default of audited.who",
        "function body",
        "function path",
        "function who",
        "policy own_rows of audited",
        "view mine",
    )


def test_who_acts_as_the_login_and_what_it_owns_by_subscription_is_found(shop: Server) -> None:
    execute(
        shop,
        "CREATE ROLE batch",
        "GRANT app TO batch",
        "ALTER ROLE batch SET role = app",
        "ALTER DATABASE spare SET role = app",
        "ALTER ROLE app IN DATABASE spare SET role = app",
        "CREATE SUBSCRIPTION orders_in CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = false)",
    )
    try:
        execute(shop, "ALTER ROLE app SUPERUSER", "ALTER SUBSCRIPTION orders_in OWNER TO app")
        with session(shop) as admin:
            facts = get_login_facts(admin, APP.username)
    finally:
        execute(shop, "ALTER SUBSCRIPTION orders_in SET (slot_name = NONE)", "DROP SUBSCRIPTION orders_in")
    assert facts.members == ("batch",)
    assert facts.followers == ("database spare", "role app", "role batch")
    assert facts.starts_as_another
    assert facts.subscriptions == ("orders_in",)


def test_a_session_that_does_not_act_as_the_owner_role_is_noticed_though_the_catalogue_says_so(shop: Server) -> None:
    migrate(shop)
    prove_acts_as(shop.database("shop"), APP, OWNER)
    execute(shop, "ALTER ROLE app IN DATABASE shop SET role = 'none'")
    with session(shop) as admin:
        assert find_owner_role(admin, APP.username) is not None
    with pytest.raises(Unverified) as caught:
        prove_acts_as(shop.database("shop"), APP, OWNER)
    assert caught.value.code == Code.ACTS_AS_ANOTHER


def test_rights_of_one_login_alone_are_counted(shop: Server) -> None:
    migrate(shop)
    with session(shop) as admin:
        assert list_own_rights(admin, "app") == ()
    execute(shop, "GRANT SELECT ON app.orders TO app", "GRANT CONNECT ON DATABASE spare TO app")
    execute(shop, "SET ROLE NONE", "CREATE TEMP TABLE own (id int)", login=APP)
    with session(shop) as admin:
        assert list_own_rights(admin, "app") == ("1 granted in all databases", "1 granted in database shop")


def test_a_clerk_without_admin_option_is_told_beforehand_that_it_may_not_rename(shop: Server) -> None:
    with session(shop, CLERK) as clerk:
        assert get_login_facts(clerk, APP.username).may_rename
    with session(shop) as admin:
        needs_option = admin.info.server_version >= 160000
    execute(shop, "REVOKE app FROM clerk")
    with session(shop, CLERK) as clerk:
        assert get_login_facts(clerk, APP.username).may_rename is not needs_option
    execute(shop, "ALTER ROLE app SUPERUSER")
    with session(shop, CLERK) as clerk:
        assert not get_login_facts(clerk, APP.username).may_rename
