"""A login that changes its own password in a real PostgreSQL, and what the server's log says of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from postgres_process import PASSWORD, USER, Server, running_server

from infra.errors import DatabaseUnreachable, LoginRefused, Refused
from infra.postgres.addresses import Endpoint, Tls
from infra.postgres.connection import connected
from infra.postgres.login import prove_login
from infra.postgres.roles import make_verifier, rehearse, set_password, takes_login
from infra.settings import Settings

NEW = "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server("-c", "log_statement=all", "-c", "log_min_duration_statement=0") as running:
        yield running


@dataclass(frozen=True)
class Role:
    """A login of its own for one test."""

    endpoint: Endpoint
    name: str
    password: str = "first-Password-1"

    def takes(self, password: str) -> bool:
        return takes_login(self.endpoint, self.name, password, Settings())


@pytest.fixture
def role(server: Server, request: pytest.FixtureRequest) -> Iterator[Role]:
    role = Role(server.endpoint(), "plain")
    with connected(server.endpoint(), USER, PASSWORD, Settings()) as admin:
        verifier = make_verifier(admin, role.name, role.password)
        admin.execute("DROP ROLE IF EXISTS plain")
        admin.execute(f"CREATE ROLE plain LOGIN PASSWORD '{verifier}'")  # type: ignore[call-overload]
        yield role


def alter(server: Server, statement: str) -> None:
    with connected(server.endpoint(), USER, PASSWORD, Settings()) as admin:
        admin.execute(statement)  # type: ignore[call-overload]


def test_a_login_without_any_right_gives_itself_another_password(role: Role) -> None:
    set_password(role.endpoint, role.name, role.password, NEW, Settings())
    assert role.takes(NEW)
    assert not role.takes(role.password)


def test_open_sessions_go_on(role: Role) -> None:
    with connected(role.endpoint, role.name, role.password, Settings()) as session:
        set_password(role.endpoint, role.name, role.password, NEW, Settings())
        assert session.execute("SELECT session_user::text").fetchall() == [("plain",)]


def test_a_rehearsal_changes_nothing(server: Server, role: Role) -> None:
    def kept() -> object:
        with connected(server.endpoint(), USER, PASSWORD, Settings()) as admin:
            return admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'plain'").fetchall()

    before = kept()
    rehearse(role.endpoint, role.name, role.password, Settings())
    assert kept() == before


@pytest.mark.parametrize(
    "setting", ["default_transaction_read_only = on", "role = 'pg_monitor'", "password_encryption = 'md5'"]
)
def test_settings_of_the_login_do_not_hinder_it(server: Server, role: Role, setting: str) -> None:
    alter(server, "GRANT pg_monitor TO plain")
    alter(server, f"ALTER ROLE plain SET {setting}")
    rehearse(role.endpoint, role.name, role.password, Settings())
    set_password(role.endpoint, role.name, role.password, NEW, Settings())
    assert role.takes(NEW)


@pytest.mark.parametrize("change", ["rehearse", "set"])
def test_a_change_that_cannot_be_made_in_time_is_refused_by_its_code(server: Server, role: Role, change: str) -> None:
    settings = Settings(connect_timeout_seconds=1)
    with connected(server.endpoint(), USER, PASSWORD, Settings()) as admin, admin.transaction():
        admin.execute("LOCK TABLE pg_authid IN SHARE MODE")
        with pytest.raises(Refused) as caught:
            if change == "set":
                set_password(role.endpoint, role.name, role.password, NEW, settings)
            else:
                rehearse(role.endpoint, role.name, role.password, settings)
    assert caught.value.code == "57014"
    assert "SCRAM" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert role.takes(role.password)


def test_a_wrong_password_changes_nothing(role: Role) -> None:
    with pytest.raises(LoginRefused) as caught:
        set_password(role.endpoint, role.name, "wrong", NEW, Settings())
    assert caught.value.code == "28P01"
    assert role.takes(role.password)


def test_nobody_at_the_address_is_not_a_refusal(role: Role) -> None:
    nowhere = Endpoint("127.0.0.1", 1, tls=Tls.DISABLE)
    with pytest.raises(DatabaseUnreachable):
        takes_login(nowhere, role.name, role.password, Settings())


def test_two_verifiers_of_one_password_differ_and_show_nothing_of_it(server: Server) -> None:
    with connected(server.endpoint(), USER, PASSWORD, Settings()) as session:
        one, other = (make_verifier(session, USER, NEW) for _ in range(2))
    assert one.startswith("SCRAM-SHA-256$")
    assert one != other
    assert NEW not in one


def test_the_servers_log_of_every_statement_has_no_password(server: Server, role: Role) -> None:
    rehearse(role.endpoint, role.name, role.password, Settings())
    set_password(role.endpoint, role.name, role.password, NEW, Settings())
    prove_login(role.endpoint, role.name, NEW, Settings())
    log = server.log.read_text()
    assert log.count("ALTER ROLE SESSION_USER PASSWORD 'SCRAM-SHA-256$") >= 2, "the log has every statement"
    assert NEW not in log
    assert role.password not in log
