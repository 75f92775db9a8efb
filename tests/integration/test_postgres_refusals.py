"""Why a real PostgreSQL refuses a login, a client, or plain text; which proof it asks for; and what breaks later."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from infra.credentials import Login
from infra.errors import (
    DatabaseStarting,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    Refused,
    ServiceFailed,
    Unverified,
)
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database, RoleChange
from infra.postgres.handshake import Connection
from infra.settings import Settings
from tasks.context import Access
from tasks.rotation.verify import verify_refused
from tasks.two_logins import get_facts
from testing.postgres_process import ADMIN, Server, running_server
from testing.walkthrough import DEXTER

SECRET = "Secret-of-the-login-1"
RULES = """
host all barred 127.0.0.1/32 reject
host clear all 127.0.0.1/32 password
host all old,renewed 127.0.0.1/32 md5
"""
ROLES = f"""
CREATE ROLE plain LOGIN PASSWORD '{SECRET}';
CREATE ROLE disabled NOLOGIN PASSWORD '{SECRET}';
CREATE ROLE late LOGIN PASSWORD '{SECRET}' VALID UNTIL '2001-01-01';
CREATE ROLE busy LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 0;
SET password_encryption = 'md5';
CREATE ROLE old LOGIN PASSWORD '{SECRET}';
"""


@pytest.fixture(scope="module", params=["", "wheel"], ids=["system", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_server(rules=RULES, postgres=request.param) as running:
        with running.database().connected(ADMIN) as admin:
            admin.execute(ROLES)  # type: ignore[call-overload]
            admin.execute("CREATE DATABASE shut")
            admin.execute("REVOKE CONNECT ON DATABASE shut FROM public")
            admin.execute("CREATE DATABASE full_up CONNECTION LIMIT 0")
        yield running


def login(name: str, password: str = SECRET) -> Login:
    return Login(name, password)


def failure(use: Callable[[], object]) -> KeyturnError:
    """Return the error of Keyturn's own that something ends with; it shows no secret and no driver's error."""
    with pytest.raises(KeyturnError) as caught:
        use()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    ("refused", "code"),
    [(login("disabled"), "28000"), (login("plain", "wrong"), "28P01"), (login("late"), "28P01")],
    ids=["disabled", "wrong password", "expired"],
)
def test_a_login_that_is_disabled_wrong_or_expired_is_refused_and_that_is_a_proof(
    server: Server, refused: Login, code: str
) -> None:
    error = failure(lambda: server.database().prove(refused))
    assert (type(error), error.code) == (LoginRefused, code)
    verify_refused(server.database(), refused)


def test_a_disabled_login_is_told_from_a_wrong_password(server: Server) -> None:
    error = failure(lambda: server.database().prove(login("disabled")))
    assert "may not log in" in error.seen
    assert "ALTER ROLE ... LOGIN" in error.fix


def test_a_client_that_no_line_of_pg_hba_admits_is_no_refusal_of_the_login(server: Server) -> None:
    database = server.database()
    for use in (lambda: database.prove(login("barred")), lambda: database.takes(login("barred"))):
        error = failure(use)
        assert (type(error), error.code) == (DatabaseUnreachable, "ClientNotAdmitted")
        assert "refused for 127.0.0.1" in error.seen
        assert "28000" in error.seen
        assert "firewall rule" in error.fix
        assert "pg_hba.conf" in error.fix
        assert "leave them" in error.fix
        assert "barred" not in str(error)


def test_a_client_that_is_not_admitted_proves_nothing_of_the_previous_login(server: Server) -> None:
    error = failure(lambda: verify_refused(server.database(), login("barred")))
    assert error.code == "ClientNotAdmitted"


def test_a_client_that_is_not_admitted_is_not_waited_for(server: Server) -> None:
    pauses = list[float]()
    error = failure(lambda: server.database().wait_for(login("barred"), 20, pause=pauses.append))
    assert error.code == "ClientNotAdmitted"
    assert not pauses


def test_a_database_that_the_login_may_not_connect_to_is_no_refusal_of_the_login(server: Server) -> None:
    error = failure(lambda: server.database("shut").takes(login("plain")))
    assert (type(error), error.code) == (Unverified, "42501")
    assert "CONNECT" in error.fix


@pytest.mark.parametrize(
    ("database", "name", "whose"), [("postgres", "busy", "role"), ("full_up", "plain", "database")]
)
def test_a_limit_of_the_role_or_the_database_is_told_from_a_full_server(
    server: Server, database: str, name: str, whose: str
) -> None:
    error = failure(lambda: server.database(database).prove(login(name)))
    assert (type(error), error.code) == (DatabaseStarting, "53300")
    assert error.what == f"The {whose}'s connection limit is reached"
    assert "rarely passes by itself" in error.fix


def test_a_free_connection_is_waited_for_as_long_as_asked(server: Server) -> None:
    database = server.database()
    freed = threading.Timer(0.5, lambda: alter(server, "ALTER ROLE busy CONNECTION LIMIT 1"))
    freed.start()
    try:
        database.patient(20).prove(login("busy"))
    finally:
        freed.join()
        alter(server, "ALTER ROLE busy CONNECTION LIMIT 0")
    assert failure(lambda: database.patient(0.3).prove(login("busy"))).code == "53300"


def alter(server: Server, statement: str) -> None:
    with server.database().connected(ADMIN) as admin:
        admin.execute(statement)  # type: ignore[call-overload]


def test_a_server_that_asks_for_the_password_itself_gets_none(server: Server) -> None:
    for database in (server.database("clear"), server.database("clear").accepting_md5):
        error = failure(lambda database=database: database.prove(login("plain")))  # type: ignore[misc]
        assert (type(error), error.code) == (Unverified, "CleartextPassword")
        assert "Flexible Server" in error.fix


def test_a_server_that_trusts_everybody_proves_nothing_even_where_md5_is_accepted(server: Server) -> None:
    error = failure(lambda: server.database("trusting").accepting_md5.prove(ADMIN))
    assert (type(error), error.code) == (Unverified, "NoPasswordProof")


def test_an_md5_login_is_accepted_only_where_that_is_asked_for(server: Server) -> None:
    server.database().accepting_md5.prove(login("old"))
    assert not server.database().accepting_md5.takes(login("old", "wrong"))
    error = failure(lambda: server.database().prove(login("old")))
    assert (type(error), error.code) == (Unverified, "Md5Password")
    assert "password_encryption" in error.fix
    assert "Flexible Server" in error.fix


@pytest.mark.parametrize(
    ("current", "administrator"),
    [(Login("old", SECRET), None), (ADMIN, Login("old", SECRET))],
    ids=["its own", "the administrator's"],
)
def test_a_migration_for_which_a_password_is_kept_as_md5_is_refused_and_says_what_to_do(
    server: Server, current: Login, administrator: Login | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure: Any = None
    monkeypatch.setattr(Access, "database", server.database())
    monkeypatch.setattr(Access, "read_newest", lambda self: current)
    monkeypatch.setattr(Access, "administrator", administrator)
    error = failure(lambda: get_facts(Access(DEXTER, azure, Settings())))
    assert (type(error), error.code) == (Refused, "Md5Password")
    assert "set password_encryption to scram-sha-256" in error.fix
    assert "a rotation with the strategy in-place; then migrate" in error.fix


def test_an_md5_login_gets_a_password_that_is_proven_by_scram(server: Server) -> None:
    alter(server, f"SET password_encryption = 'md5'; CREATE ROLE renewed LOGIN PASSWORD '{SECRET}'")
    alter(server, "ALTER ROLE renewed SET password_encryption = 'md5'")
    server.database().accepting_md5.rehearse_own_password(login("renewed"))
    server.database().accepting_md5.set_own_password(login("renewed"), "Another-password-2")
    server.database().prove(login("renewed", "Another-password-2"))
    verify_refused(server.database().accepting_md5, login("renewed"))


@contextmanager
def door(answer: Callable[[socket.socket], None]) -> Iterator[Database]:
    """Serve at an address of its own, and yield the database that seems to be there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    caller = listener.accept()[0]
                    with caller:
                        answer(caller)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield Database(Address("127.0.0.1", listener.getsockname()[1], tls=Tls.DISABLE), Settings())
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def error_response(**fields: str) -> bytes:
    body = b"".join(key.encode() + value.encode() + b"\0" for key, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!i", len(body) + 4) + body


def refusing(*, has_tls: bool = False, **fields: str) -> Callable[[socket.socket], None]:
    """Answer a login with an error, and a question for TLS."""

    def answer(caller: socket.socket) -> None:
        is_question = caller.recv(1024)[4:8] == struct.pack("!I", 80877103)
        caller.sendall((b"S" if has_tls else b"N") if is_question else error_response(S="FATAL", V="FATAL", **fields))

    return answer


NO_LINE = {"M": "kein pg_hba.conf-Eintrag für Host »20.1.2.3«, Benutzer »plain«", "R": "ClientAuthentication"}


def test_the_causes_are_told_apart_in_every_language() -> None:
    with door(refusing(C="28000", M="Rolle »plain« hat keine Berechtigung", R="InitializeSessionUserId")) as database:
        assert type(failure(lambda: database.prove(login("plain")))) is LoginRefused
    with door(refusing(C="28000", **NO_LINE)) as database:
        error = failure(lambda: database.prove(login("plain")))
    assert error.code == "ClientNotAdmitted"
    assert "20.1.2.3" in error.seen


def test_a_pooler_that_passes_on_the_words_alone_is_understood() -> None:
    with door(refusing(C="28000", M='role "plain" is not permitted to log in')) as database:
        assert not database.takes(login("plain"))
    with door(refusing(C="28000", M="login rejected")) as database:
        assert failure(lambda: database.takes(login("plain"))).code == "ClientNotAdmitted"


def test_a_server_that_has_tls_and_admits_no_plain_connection_says_so() -> None:
    with door(refusing(C="28000", has_tls=True, **NO_LINE)) as database:
        error = failure(lambda: database.takes(login("plain")))
    assert (type(error), error.code) == (Unverified, "TlsDemanded")
    assert "endpoint with TLS" in error.fix


class Pooler:
    """Admits a login like a pooler, and answers the first query itself."""

    READY = b"Z\0\0\0\x05I"

    def __init__(self, behind: int, answer: bytes) -> None:
        self.behind, self.answer = behind, answer

    def __call__(self, caller: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.behind)) as behind:
            said = b""
            while not said.endswith(self.READY):
                behind.sendall(caller.recv(65536))
                said = behind.recv(65536)
                caller.sendall(said)
        caller.recv(65536)
        caller.sendall(self.answer)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error_response(S="FATAL", V="FATAL", C="08P01", M="server login failed: wrong password"), "08P01"),
        (error_response(S="FATAL", V="FATAL", C="57P01", M="terminating connection"), "57P01"),
        (b"", ""),
    ],
    ids=["PgBouncer", "shutdown", "lost"],
)
def test_a_connection_that_breaks_at_the_first_query_proves_nothing(server: Server, answer: bytes, code: str) -> None:
    with door(Pooler(server.port, answer)) as database:
        for use in (database.prove, database.takes, lambda who: verify_refused(database, who)):
            error = failure(lambda use=use: use(ADMIN))  # type: ignore[misc]
            assert (type(error), error.code) == (DatabaseUnreachable, code)
            assert ("PgBouncer" in error.fix) == (code == "08P01")
        error = failure(lambda: database.set_own_password(ADMIN, SECRET))
    assert (type(error), error.code) == (DatabaseUnreachable, code)
    server.database().prove(ADMIN)


def terminate(session: Connection) -> None:
    session.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def time_out(session: Connection) -> None:
    session.execute("SET statement_timeout = 20")
    session.execute("SELECT pg_sleep(20)")


def look_at_passwords(session: Connection) -> None:
    session.execute("SELECT rolpassword FROM pg_authid")


def misspell(session: Connection) -> None:
    session.execute("SELECT %s FROM nosuchtable", (SECRET,))


@pytest.mark.parametrize(
    ("use", "kind", "code"),
    [
        (terminate, DatabaseUnreachable, "57P01"),
        (time_out, DatabaseUnreachable, "57014"),
        (look_at_passwords, Unverified, "42501"),
        (misspell, ServiceFailed, "42P01"),
    ],
)
def test_whatever_breaks_while_a_connection_is_used_is_an_error_of_keyturns_own(
    server: Server, use: Callable[[Connection], None], kind: type[KeyturnError], code: str
) -> None:
    def connected() -> None:
        with server.database().connected(login("plain")) as session:
            use(session)

    error = failure(connected)
    assert (type(error), error.code) == (kind, code)


def test_a_session_that_is_ended_while_it_changes_a_login_leaves_the_question_open(server: Server) -> None:
    def changing() -> None:
        with server.database().changing(login("plain"), RoleChange("It is refused", "fix")) as session:
            terminate(session)

    error = failure(changing)
    assert (type(error), error.code) == (DatabaseUnreachable, "57P01")
    assert "a login shows first" in error.fix
