"""Two logins that alternate in a real PostgreSQL, and the owner role that is made of one login."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from infra.credentials import Login
from infra.errors import Conflict, LoginRefused, Refused
from infra.postgres.database import RoleChange, make_verifier
from infra.postgres.handshake import Connection
from infra.postgres.login_parts import list_settings, split_list
from infra.postgres.owner_role import (
    count_sessions,
    disable_login,
    enable_login,
    find_owner_role,
    get_login_facts,
    make_owner_role,
    name_owner_role,
    reenable_login,
)
from testing.postgres_process import ADMIN, USER, Server, running_server

APP, SECOND = Login("app", "first-Password-1"), Login("app_b", "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG")
CHANGE = RoleChange("The database does not let it", "ask somebody")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server("-c", "log_statement=all") as running:
        yield running


@contextmanager
def session(server: Server, login: Login = ADMIN, database: str = "postgres") -> Iterator[Connection]:
    with server.database(database).connected(login) as connection:
        yield connection


@contextmanager
def changing(server: Server, login: Login = ADMIN, *, is_rehearsal: bool = False) -> Iterator[Connection]:
    with server.database().changing(login, CHANGE, is_rehearsal=is_rehearsal) as connection:
        yield connection


def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()  # type: ignore[call-overload]


@pytest.fixture
def plain(server: Server) -> Iterator[Server]:
    """A login without rights of its own that owns a table and a database, and has settings."""
    with session(server) as admin:
        verifier = make_verifier(admin, APP)
        for statement in (
            f"CREATE ROLE {APP.username} LOGIN PASSWORD '{verifier}' CONNECTION LIMIT 7",
            "CREATE ROLE readers",
            f"GRANT readers TO {APP.username}",
            f"ALTER ROLE {APP.username} SET search_path = 'odd name', public",
            f"ALTER ROLE {APP.username} SET my.mark = 'it''s'",
            "CREATE DATABASE shop",
            f"ALTER ROLE {APP.username} IN DATABASE shop SET work_mem = '8MB'",
            f"ALTER DATABASE shop OWNER TO {APP.username}",
        ):
            admin.execute(statement)  # type: ignore[call-overload]
    with session(server, APP, "shop") as shop:
        shop.execute("CREATE TABLE public.orders (id int)")
        shop.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO readers")
    yield server
    with session(server) as admin:
        admin.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        ours = "SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> 'dexter'"
        for (name,) in rows(admin, ours):
            admin.execute(f'DROP OWNED BY "{name}"')  # type: ignore[call-overload]
            admin.execute(f'DROP ROLE "{name}"')  # type: ignore[call-overload]


@pytest.fixture
def migrated(plain: Server) -> Server:
    with changing(plain) as admin:
        make_owner_role(admin, APP)
    return plain


def test_after_a_migration_the_login_works_as_before_and_owns_nothing_itself(migrated: Server) -> None:
    with session(migrated, APP, "shop") as shop:
        assert rows(shop, "SELECT session_user::text, current_user::text") == [("app", "app_owner")]
        assert rows(shop, "SELECT tableowner::text FROM pg_tables WHERE tablename = 'orders'") == [("app_owner",)]
        assert rows(shop, "SHOW work_mem") == [("8MB",)]
        assert rows(shop, "SHOW my.mark") == [("it's",)]
        assert rows(shop, "SHOW search_path") == [('"odd name", public',)]
        shop.execute("CREATE TABLE public.later (id int)")
        granted = "SELECT has_table_privilege('readers', 'public.later', 'SELECT')"
        assert rows(shop, granted) == [(True,)], "the owner role's default privileges apply to what its logins create"
    with session(migrated) as admin:
        limits = "SELECT rolname::text, rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname LIKE 'app%' ORDER BY 1"
        assert rows(admin, limits) == [("app", True, 7), ("app_owner", False, -1)]


def test_a_migration_leaves_nothing_of_its_own(migrated: Server) -> None:
    with session(migrated) as admin:
        found = rows(admin, "SELECT rolname::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1")
        assert found == [("app",), ("app_owner",), (USER,), ("readers",)]


def test_open_sessions_continue_through_a_migration(plain: Server) -> None:
    with session(plain, APP, "shop") as shop:
        process = rows(shop, "SELECT pg_backend_pid()")
        with changing(plain) as admin:
            make_owner_role(admin, APP)
        shop.execute("INSERT INTO public.orders VALUES (1)")
        assert rows(shop, "SELECT id FROM public.orders") == [(1,)]
        assert rows(shop, "SELECT pg_backend_pid()") == process


def test_a_rehearsed_migration_changes_nothing(plain: Server) -> None:
    with changing(plain, is_rehearsal=True) as admin:
        make_owner_role(admin, APP)
    with session(plain) as admin:
        assert get_login_facts(admin, APP.username).alternate_logins is None
        assert not get_login_facts(admin, APP.username).is_owner_name_taken


def test_a_login_without_rights_may_not_migrate_itself_and_is_told_so_beforehand(plain: Server) -> None:
    with session(plain, APP) as itself:
        assert not get_login_facts(itself, APP.username).may_rename
    with pytest.raises(Refused) as caught, changing(plain, APP) as itself:
        make_owner_role(itself, APP)
    assert caught.value.code == "42501"
    assert plain.database().takes(APP)


def test_a_superuser_migrates_itself_in_one_transaction() -> None:
    with running_server() as fresh:
        with session(fresh) as admin:
            admin.execute("CREATE TABLE mine (id int)")
            facts = get_login_facts(admin, USER)
            assert (facts.may_rename, facts.relations, facts.alternate_logins) == (True, 1, None)
        with changing(fresh) as admin:
            make_owner_role(admin, ADMIN)
        with session(fresh) as again:
            assert rows(
                again, "SELECT current_user::text, tableowner::text FROM pg_tables WHERE tablename = 'mine'"
            ) == [(name_owner_role(USER), name_owner_role(USER))]
            assert rows(again, "SHOW is_superuser") == [("on",)]
            assert rows(again, "SELECT count(*) FROM pg_roles WHERE rolname = 'keyturn_stand_in'") == [(0,)]
            owner = find_owner_role(again, USER)
            assert owner is not None
        with changing(fresh) as itself:
            enable_login(itself, owner, SECOND, USER)
        fresh.database().prove(SECOND)


def enable_second(server: Server, login: Login = SECOND) -> None:
    with changing(server) as admin:
        owner = find_owner_role(admin, APP.username)
        assert owner is not None
        enable_login(admin, owner, login, APP.username)


def test_the_second_login_is_like_the_first_and_both_work(migrated: Server) -> None:
    enable_second(migrated)
    for login in (APP, SECOND):
        with session(migrated, login, "shop") as shop:
            shop.execute("INSERT INTO public.orders VALUES (2)")
            assert rows(shop, "SELECT current_user::text") == [("app_owner",)]
            assert rows(shop, "SHOW work_mem") == [("8MB",)]
            owner = find_owner_role(shop, login.username)
            assert owner is not None
            assert owner.logins == ("app", "app_b"), "a login without rights sees which login is next"


def test_a_login_that_is_enabled_anew_has_the_new_password_and_the_settings_of_the_current_one(
    migrated: Server,
) -> None:
    enable_second(migrated)
    with session(migrated) as admin:
        admin.execute("ALTER ROLE app_b SET work_mem = '1MB'")
        disable_login(admin, "app_b")
    renewed = Login("app_b", "another-Password-2")
    enable_second(migrated, renewed)
    assert migrated.database().takes(renewed)
    assert not migrated.database().takes(SECOND)
    with session(migrated) as admin:
        assert list_settings(admin, "app_b") == list_settings(admin, APP.username)


def test_a_disabled_login_is_refused_and_works_again_with_the_password_that_it_had(migrated: Server) -> None:
    with session(migrated, APP) as open_session:
        with session(migrated) as admin:
            disable_login(admin, APP.username)
        with pytest.raises(LoginRefused) as caught:
            migrated.database().prove(APP)
        assert caught.value.code == "28000"
        assert rows(open_session, "SELECT 1") == [(1,)], "open sessions continue"
    with session(migrated) as admin:
        reenable_login(admin, APP.username)
    migrated.database().prove(APP)


def test_a_role_that_is_not_one_of_the_owner_roles_logins_is_not_taken_over(migrated: Server) -> None:
    with session(migrated) as admin:
        admin.execute("CREATE ROLE outsider LOGIN")
    with pytest.raises(Conflict) as caught:
        enable_second(migrated, Login("outsider", SECOND.password))
    assert caught.value.code == "42710"


@pytest.mark.parametrize(
    "statement", ["ALTER ROLE app_owner LOGIN", "ALTER ROLE app RESET role", "REVOKE app_owner FROM app"]
)
def test_a_login_whose_sessions_do_not_start_as_an_owner_role_without_login_has_none(
    migrated: Server, statement: str
) -> None:
    with session(migrated) as admin:
        admin.execute(statement)  # type: ignore[call-overload]
        assert find_owner_role(admin, APP.username) is None


def test_a_logins_sessions_are_counted_without_our_own(migrated: Server) -> None:
    where = {"host": "127.0.0.1", "port": migrated.port, "dbname": "shop"}
    theirs = psycopg.connect(**where, user=APP.username, password=APP.password)
    with theirs, session(migrated, APP), session(migrated) as admin:
        assert count_sessions(admin, APP.username) == 1


def test_an_administrator_that_may_create_roles_migrates_and_enables_without_being_a_superuser(plain: Server) -> None:
    clerk = Login("clerk", "may-create-Roles-1")
    with session(plain) as admin:
        verifier = make_verifier(admin, clerk)
        admin.execute(f"CREATE ROLE clerk LOGIN CREATEROLE PASSWORD '{verifier}'")  # type: ignore[call-overload]
        admin.execute("ALTER ROLE app RESET my.mark")  # only a superuser may copy it
        if admin.info.server_version >= 160000:
            admin.execute("GRANT app TO clerk WITH ADMIN OPTION")
    with session(plain, clerk) as admin_session:
        assert get_login_facts(admin_session, APP.username).may_rename
    with changing(plain, clerk) as admin_session:
        make_owner_role(admin_session, APP)
    with changing(plain, clerk) as admin_session:
        owner = find_owner_role(admin_session, APP.username)
        assert owner is not None
        enable_login(admin_session, owner, SECOND, APP.username)
        disable_login(admin_session, APP.username)
    plain.database().prove(SECOND)
    assert not plain.database().takes(APP)


def test_the_servers_log_of_every_statement_has_no_password(migrated: Server) -> None:
    enable_second(migrated)
    log = migrated.log.read_text()
    assert "CREATE ROLE" in log
    assert SECOND.password not in log
    assert APP.password not in log


@pytest.mark.parametrize(
    ("value", "elements"),
    [('"$user", public', ["$user", "public"]), ('"a ""b"", c",d', ['a "b", c', "d"]), ("", [""]), ("x", ["x"])],
)
def test_a_list_of_quoted_names_is_split(value: str, elements: list[str]) -> None:
    assert split_list(value) == elements
