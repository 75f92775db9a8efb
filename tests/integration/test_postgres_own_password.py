"""A login that changes its own password in a real PostgreSQL, and what the server's log shows of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.credentials import Login
from infra.errors import DatabaseUnreachable, LoginRefused, Refused
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database, make_verifier
from infra.settings import Settings
from testing.postgres_process import ADMIN, Server, running_server

LOGIN = Login("plain", "first-Password-1")
NEW = "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server("-c", "log_statement=all", "-c", "log_min_duration_statement=0") as running:
        yield running


@dataclass(frozen=True)
class Role:
    """A login of its own for one test."""

    database: Database

    def takes(self, password: str) -> bool:
        return self.database.takes(Login(LOGIN.username, password))


@pytest.fixture
def role(server: Server) -> Iterator[Role]:
    with server.database().connected(ADMIN) as admin:
        verifier = make_verifier(admin, LOGIN)
        admin.execute("DROP ROLE IF EXISTS plain")
        admin.execute(f"CREATE ROLE plain LOGIN PASSWORD '{verifier}'")  # type: ignore[call-overload]
        yield Role(server.database())


def alter(server: Server, statement: str) -> None:
    with server.database().connected(ADMIN) as admin:
        admin.execute(statement)  # type: ignore[call-overload]


def test_a_login_without_any_right_gives_itself_another_password(role: Role) -> None:
    role.database.set_own_password(LOGIN, NEW)
    assert role.takes(NEW)
    assert not role.takes(LOGIN.password)


def test_open_sessions_continue(role: Role) -> None:
    with role.database.connected(LOGIN) as session:
        role.database.set_own_password(LOGIN, NEW)
        assert session.execute("SELECT session_user::text").fetchall() == [("plain",)]


def test_a_rehearsal_changes_nothing(server: Server, role: Role) -> None:
    def stored() -> object:
        with server.database().connected(ADMIN) as admin:
            return admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'plain'").fetchall()

    before = stored()
    role.database.rehearse_own_password(LOGIN)
    assert stored() == before


@pytest.mark.parametrize(
    "setting", ["default_transaction_read_only = on", "role = 'pg_monitor'", "password_encryption = 'md5'"]
)
def test_settings_of_the_login_do_not_stand_in_the_way(server: Server, role: Role, setting: str) -> None:
    alter(server, "GRANT pg_monitor TO plain")
    alter(server, f"ALTER ROLE plain SET {setting}")
    role.database.rehearse_own_password(LOGIN)
    role.database.set_own_password(LOGIN, NEW)
    assert role.takes(NEW)


@pytest.mark.parametrize("change", ["rehearse", "set"])
def test_a_change_that_cannot_be_made_in_time_is_refused_by_its_code(server: Server, role: Role, change: str) -> None:
    impatient = server.database(settings=Settings(connect_timeout_seconds=1))
    with server.database().connected(ADMIN) as admin, admin.transaction():
        admin.execute("LOCK TABLE pg_authid IN SHARE MODE")
        with pytest.raises(Refused) as caught:
            if change == "set":
                impatient.set_own_password(LOGIN, NEW)
            else:
                impatient.rehearse_own_password(LOGIN)
    assert caught.value.code == "57014"
    assert "SCRAM" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert role.takes(LOGIN.password)


def test_a_wrong_password_changes_nothing(role: Role) -> None:
    with pytest.raises(LoginRefused) as caught:
        role.database.set_own_password(Login(LOGIN.username, "wrong"), NEW)
    assert caught.value.code == "28P01"
    assert role.takes(LOGIN.password)


def test_nobody_at_the_address_is_not_a_refusal() -> None:
    nowhere = Database(Address("127.0.0.1", 1, tls=Tls.DISABLE), Settings())
    with pytest.raises(DatabaseUnreachable):
        nowhere.takes(LOGIN)


def test_two_verifiers_of_one_password_differ_and_show_nothing_of_it(server: Server) -> None:
    with server.database().connected(ADMIN) as session:
        first, second = (make_verifier(session, Login(ADMIN.username, NEW)) for _ in range(2))
    assert first.startswith("SCRAM-SHA-256$")
    assert first != second
    assert NEW not in first


def test_the_servers_log_of_every_statement_has_no_password(server: Server, role: Role) -> None:
    role.database.rehearse_own_password(LOGIN)
    role.database.set_own_password(LOGIN, NEW)
    role.database.prove(Login(LOGIN.username, NEW))
    log = server.log.read_text()
    assert log.count("ALTER ROLE SESSION_USER PASSWORD 'SCRAM-SHA-256$") >= 2, "the log has every statement"
    assert NEW not in log
    assert LOGIN.password not in log
