"""Two logins that take turns in a real PostgreSQL, and the migration that makes them of one."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from postgres_process import PASSWORD, USER, Server, running_server

from infra.errors import Conflict, LoginRefused, Refused
from infra.postgres.alternation import close_login, count_sessions, find_owner, open_login, reopen_login
from infra.postgres.connection import connected
from infra.postgres.login import prove_login
from infra.postgres.migration import get_login_facts, make_owner, name_owner
from infra.postgres.role_settings import list_settings, split_list
from infra.postgres.roles import make_verifier, takes_login
from infra.postgres.writing import Change, Connection, changing
from infra.settings import Settings

S = Settings()
APP, APP_PASSWORD = "app", "first-Password-1"
SECOND_PASSWORD = "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG"
CHANGE = Change("The database does not let it", "ask somebody")
REHEARSAL = Change("The database does not let it", "ask somebody", is_rehearsal=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server("-c", "log_statement=all") as running:
        yield running


@contextmanager
def session(
    server: Server, user: str = USER, password: str = PASSWORD, database: str = "postgres"
) -> Iterator[Connection]:
    with connected(server.endpoint(database), user, password, S) as connection:
        yield connection


def rows(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()  # type: ignore[call-overload]


@pytest.fixture
def plain(server: Server) -> Iterator[Server]:
    """A login without rights of its own, that owns a table and has settings; another database, too."""
    with session(server) as admin:
        verifier = make_verifier(admin, APP, APP_PASSWORD)
        for statement in (
            f"CREATE ROLE {APP} LOGIN PASSWORD '{verifier}' CONNECTION LIMIT 7",
            "CREATE ROLE readers",
            f"GRANT readers TO {APP}",
            f"ALTER ROLE {APP} SET search_path = 'odd name', public",
            f"ALTER ROLE {APP} SET my.mark = 'it''s'",
            "CREATE DATABASE shop",
            f"ALTER ROLE {APP} IN DATABASE shop SET work_mem = '8MB'",
            f"ALTER DATABASE shop OWNER TO {APP}",
        ):
            admin.execute(statement)  # type: ignore[call-overload]
    with session(server, APP, APP_PASSWORD, "shop") as shop:
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
    with changing(plain.endpoint(), USER, PASSWORD, S, CHANGE) as admin:
        make_owner(admin, APP, APP_PASSWORD)
    return plain


def test_after_a_migration_the_login_works_as_before_and_owns_nothing_itself(migrated: Server) -> None:
    with session(migrated, APP, APP_PASSWORD, "shop") as shop:
        assert rows(shop, "SELECT session_user::text, current_user::text") == [(APP, "app_owner")]
        assert rows(shop, "SELECT tableowner::text FROM pg_tables WHERE tablename = 'orders'") == [("app_owner",)]
        assert rows(shop, "SHOW work_mem") == [("8MB",)]
        assert rows(shop, "SHOW my.mark") == [("it's",)]
        assert rows(shop, "SHOW search_path") == [('"odd name", public',)]
        shop.execute("CREATE TABLE public.later (id int)")
        granted = "SELECT has_table_privilege('readers', 'public.later', 'SELECT')"
        assert rows(shop, granted) == [(True,)], "default privileges of the owner hold for what its logins make"
    with session(migrated) as admin:
        limits = "SELECT rolname::text, rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname LIKE 'app%' ORDER BY 1"
        assert rows(admin, limits) == [("app", True, 7), ("app_owner", False, -1)]


def test_a_migration_leaves_nothing_of_its_own(migrated: Server) -> None:
    with session(migrated) as admin:
        found = rows(admin, "SELECT rolname::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY 1")
        assert found == [("app",), ("app_owner",), (USER,), ("readers",)]


def test_open_sessions_go_on_over_a_migration(plain: Server) -> None:
    with session(plain, APP, APP_PASSWORD, "shop") as shop:
        with changing(plain.endpoint(), USER, PASSWORD, S, CHANGE) as admin:
            make_owner(admin, APP, APP_PASSWORD)
        shop.execute("INSERT INTO public.orders VALUES (1)")


def test_a_rehearsed_migration_changes_nothing(plain: Server) -> None:
    with changing(plain.endpoint(), USER, PASSWORD, S, REHEARSAL) as admin:
        make_owner(admin, APP, APP_PASSWORD)
    with session(plain) as admin:
        assert get_login_facts(admin, APP).others is None
        assert not get_login_facts(admin, APP).is_name_taken


def test_a_login_without_rights_may_not_migrate_itself_and_is_told_so_beforehand(plain: Server) -> None:
    with session(plain, APP, APP_PASSWORD) as itself:
        assert not get_login_facts(itself, APP).may_rename
    with pytest.raises(Refused) as caught, changing(plain.endpoint(), APP, APP_PASSWORD, S, CHANGE) as itself:
        make_owner(itself, APP, APP_PASSWORD)
    assert caught.value.code == "42501"
    assert takes_login(plain.endpoint(), APP, APP_PASSWORD, S)


def test_a_superuser_migrates_itself_in_one_transaction() -> None:
    with running_server() as fresh:
        with session(fresh) as admin:
            admin.execute("CREATE TABLE mine (id int)")
            facts = get_login_facts(admin, USER)
            assert (facts.may_rename, facts.relations, facts.others) == (True, 1, None)
        with changing(fresh.endpoint(), USER, PASSWORD, S, CHANGE) as admin:
            make_owner(admin, USER, PASSWORD)
        with session(fresh) as again:
            assert rows(
                again, "SELECT current_user::text, tableowner::text FROM pg_tables WHERE tablename = 'mine'"
            ) == [(name_owner(USER), name_owner(USER))]
            assert rows(again, "SHOW is_superuser") == [("on",)]
            assert rows(again, "SELECT count(*) FROM pg_roles WHERE rolname = 'keyturn_stand_in'") == [(0,)]
            owner = find_owner(again, USER)
            assert owner is not None
        with changing(fresh.endpoint(), USER, PASSWORD, S, CHANGE) as itself:
            open_login(itself, owner, "other", SECOND_PASSWORD, USER)
        prove_login(fresh.endpoint(), "other", SECOND_PASSWORD, S)


def open_second(server: Server, password: str = SECOND_PASSWORD, name: str = "app_b") -> None:
    with changing(server.endpoint(), USER, PASSWORD, S, CHANGE) as admin:
        owner = find_owner(admin, APP)
        assert owner is not None
        open_login(admin, owner, name, password, APP)


def test_the_second_login_is_like_the_first_and_both_work(migrated: Server) -> None:
    open_second(migrated)
    for user, password in ((APP, APP_PASSWORD), ("app_b", SECOND_PASSWORD)):
        with session(migrated, user, password, "shop") as shop:
            shop.execute("INSERT INTO public.orders VALUES (2)")
            assert rows(shop, "SELECT current_user::text") == [("app_owner",)]
            assert rows(shop, "SHOW work_mem") == [("8MB",)]
            owner = find_owner(shop, user)
            assert owner is not None
            assert owner.logins == (APP, "app_b"), "a login without rights sees whose turn it is"


def test_a_login_that_is_opened_again_has_the_new_password_and_the_settings_of_the_present_one(
    migrated: Server,
) -> None:
    open_second(migrated)
    with session(migrated) as admin:
        admin.execute("ALTER ROLE app_b SET work_mem = '1MB'")
        close_login(admin, "app_b")
    open_second(migrated, "another-Password-2")
    assert takes_login(migrated.endpoint(), "app_b", "another-Password-2", S)
    assert not takes_login(migrated.endpoint(), "app_b", SECOND_PASSWORD, S)
    with session(migrated) as admin:
        assert list_settings(admin, "app_b") == list_settings(admin, APP)


def test_a_closed_login_is_refused_and_opens_again_with_the_password_that_it_had(migrated: Server) -> None:
    with session(migrated, APP, APP_PASSWORD) as going_on:
        with session(migrated) as admin:
            close_login(admin, APP)
        with pytest.raises(LoginRefused) as caught:
            prove_login(migrated.endpoint(), APP, APP_PASSWORD, S)
        assert caught.value.code == "28000"
        assert rows(going_on, "SELECT 1") == [(1,)], "open sessions go on"
    with session(migrated) as admin:
        reopen_login(admin, APP)
    prove_login(migrated.endpoint(), APP, APP_PASSWORD, S)


def test_a_role_that_is_none_of_the_owners_logins_is_not_taken_over(migrated: Server) -> None:
    with session(migrated) as admin:
        admin.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(Conflict) as caught:
        open_second(migrated, name="stranger")
    assert caught.value.code == "42710"


@pytest.mark.parametrize(
    "statement", ["ALTER ROLE app_owner LOGIN", "ALTER ROLE app RESET role", "REVOKE app_owner FROM app"]
)
def test_a_login_that_does_not_become_a_closed_owner_does_not_take_turns(migrated: Server, statement: str) -> None:
    with session(migrated) as admin:
        admin.execute(statement)  # type: ignore[call-overload]
        assert find_owner(admin, APP) is None


def test_only_other_peoples_sessions_of_a_login_are_counted(migrated: Server) -> None:
    theirs = psycopg.connect(host="127.0.0.1", port=migrated.port, user=APP, password=APP_PASSWORD, dbname="shop")
    with theirs, session(migrated, APP, APP_PASSWORD), session(migrated) as admin:
        assert count_sessions(admin, APP) == 1


def test_an_administrator_that_may_create_roles_migrates_and_opens_without_being_a_superuser(plain: Server) -> None:
    with session(plain) as admin:
        verifier = make_verifier(admin, "keeper", PASSWORD)
        admin.execute(f"CREATE ROLE keeper LOGIN CREATEROLE PASSWORD '{verifier}'")  # type: ignore[call-overload]
        admin.execute(f"ALTER ROLE {APP} RESET my.mark")  # type: ignore[call-overload]  # a superuser's alone to copy
        if admin.info.server_version >= 160000:
            admin.execute(f"GRANT {APP} TO keeper WITH ADMIN OPTION")  # type: ignore[call-overload]
    with session(plain, "keeper", PASSWORD) as keeper:
        assert get_login_facts(keeper, APP).may_rename
    with changing(plain.endpoint(), "keeper", PASSWORD, S, CHANGE) as keeper:
        make_owner(keeper, APP, APP_PASSWORD)
    with changing(plain.endpoint(), "keeper", PASSWORD, S, CHANGE) as keeper:
        owner = find_owner(keeper, APP)
        assert owner is not None
        open_login(keeper, owner, "app_b", SECOND_PASSWORD, APP)
        close_login(keeper, APP)
    prove_login(plain.endpoint(), "app_b", SECOND_PASSWORD, S)
    assert not takes_login(plain.endpoint(), APP, APP_PASSWORD, S)


def test_the_servers_log_of_every_statement_has_no_password(migrated: Server) -> None:
    open_second(migrated)
    log = migrated.log.read_text()
    assert "CREATE ROLE" in log
    assert SECOND_PASSWORD not in log
    assert APP_PASSWORD not in log


@pytest.mark.parametrize(
    ("value", "elements"),
    [('"$user", public', ["$user", "public"]), ('"a ""b"", c",d', ['a "b", c', "d"]), ("", [""]), ("x", ["x"])],
)
def test_a_list_of_quoted_names_is_taken_apart(value: str, elements: list[str]) -> None:
    assert split_list(value) == elements
