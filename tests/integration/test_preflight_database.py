"""What the preflight finds in a real PostgreSQL: copies of the password, scarce connections, md5; and who changes it.

Where the vault would be are two logins; all else is as in a rotation.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from infra.credentials import Credential, Login, Strategy
from infra.errors import Refused
from infra.postgres.database import Database
from infra.rotation.observation import Logins, LoginState, Observation
from infra.rotation.options import RotationOptions
from infra.rotation.plan import Plan, PlanStatus
from infra.rotation.preflight import Finding
from tasks.preflight.database import free_connections, password_copies, password_encryption
from tasks.preflight.registry import Check, Question
from tasks.preflight.roles import check_password_change
from tasks.rotation import StepContext, password_change
from testing.bare import without_prefect
from testing.postgres_process import ADMIN, Server, running_server
from testing.waiting import eventually
from testing.walkthrough import DEXTER, SERVER, change

SECRET, NEW = "Secret-of-the-login-1", "Zn7qVx2LkP0sWd8RtY4uEa6Hb9Jc1MfG"
APP, BOSS = Login("app", SECRET), Login("boss", "Secret-of-the-boss-1")
IN_PLACE = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=())
HELPED = change(IN_PLACE, administrator={"username": "admin-username", "password": "admin-password"})
PLAN = Plan("r1", PlanStatus.OPEN)
SET_UP = (
    f"CREATE ROLE app LOGIN PASSWORD '{SECRET}'",
    f"CREATE ROLE boss LOGIN CREATEROLE PASSWORD '{BOSS.password}'",
    "CREATE ROLE other",
    "CREATE DATABASE shop OWNER app",
)
INSIDE = (
    "CREATE EXTENSION postgres_fdw",
    "CREATE SERVER orders FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'elsewhere')",
    "GRANT USAGE ON FOREIGN SERVER orders TO app",
)


@dataclass(frozen=True)
class LocalAccess:
    """An Access whose vault is two logins in memory."""

    credential: Credential
    database: Database
    newest: Login = APP
    administrator: Login | None = None
    cluster: None = None

    def read_login(self, _: Mapping[str, str]) -> Login:
        return self.newest


@pytest.fixture(scope="module", params=["", "wheel"], ids=["system", "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_server("-c", "log_statement=ddl", "-c", "log_line_prefix=%u ", postgres=request.param) as running:
        run(running, *SET_UP)
        run(running, *INSIDE, database="shop")
        yield running


def run(server: Server, *statements: str, database: str = "postgres") -> None:
    with server.database(database).connected(ADMIN) as admin:
        for statement in statements:
            admin.execute(statement)  # type: ignore[call-overload]


@contextmanager
def made(server: Server, statement: str, undo: str, database: str = "shop") -> Iterator[None]:
    run(server, statement, database=database)
    try:
        yield
    finally:
        run(server, undo, database=database)


def find(make: Check, server: Server, credential: Credential = IN_PLACE, **access: Any) -> list[Finding]:
    """Make a check, and see that nothing that it says is a password."""
    access.setdefault("administrator", ADMIN if credential.administrator else None)
    opened: Any = LocalAccess(credential, server.database(), **access)
    seen = Observation((), None, Logins(LoginState.WORKS), ())
    findings = list(make(Question(opened, RotationOptions(), seen, PLAN)))
    for finding in findings:
        assert type(finding.error) is Refused
        assert SECRET not in str(finding)
    return findings


def mapping(user: str, password: str = SECRET, whose: str = "app") -> tuple[str, str]:
    made = f"CREATE USER MAPPING FOR {whose} SERVER orders OPTIONS (user '{user}', password '{password}')"
    return made, f"DROP USER MAPPING FOR {whose} SERVER orders"


def test_a_user_mapping_with_the_logins_password_blocks_the_rotation_and_is_named(server: Server) -> None:
    with made(server, *mapping("app")):
        (finding,) = find(password_copies, server)
    assert finding.is_blocking
    assert finding.error.code == "PasswordCopied"
    assert finding.error.seen == "the user mapping of app at the server orders in shop"
    assert "ALTER USER MAPPING" in finding.error.fix
    assert find(password_copies, server) == []


def test_who_accepts_copies_is_warned(server: Server) -> None:
    with made(server, *mapping("app")):
        (finding,) = find(password_copies, server, change(IN_PLACE, password_copies="warn"))
    assert not finding.is_blocking
    assert finding.error.code == "PasswordCopied"


@pytest.mark.parametrize(("user", "password"), [("app", "another-password"), ("somebody", SECRET)])
def test_a_user_mapping_with_another_login_is_no_copy(server: Server, user: str, password: str) -> None:
    with made(server, *mapping(user, password)):
        assert find(password_copies, server) == []


def test_a_mapping_that_only_an_administrator_may_see_is_a_warning_without_one(server: Server) -> None:
    with made(server, *mapping("app", whose="other")):
        (hidden,) = find(password_copies, server)
        (found,) = find(password_copies, server, HELPED)
    assert (hidden.is_blocking, hidden.error.code) == (False, "CopiesHidden")
    assert hidden.error.seen == "the user mapping of other at the server orders in shop"
    assert (found.is_blocking, found.error.code) == (True, "PasswordCopied")


def test_a_subscription_with_the_login_is_found_by_an_administrator_and_named_by_others(server: Server) -> None:
    conninfo = f"host=elsewhere dbname=shop user=app password={SECRET}"
    subscribe = f"CREATE SUBSCRIPTION copied CONNECTION '{conninfo}' PUBLICATION p WITH (connect = false)"
    forget = "ALTER SUBSCRIPTION copied SET (slot_name = NONE)"
    with ExitStack() as undone:
        undone.callback(lambda: run(server, forget, "DROP SUBSCRIPTION copied", database="shop"))
        run(server, subscribe, database="shop")
        (found,) = find(password_copies, server, HELPED)
        (hidden,) = find(password_copies, server)
    assert (found.is_blocking, found.error.seen) == (True, "the subscription copied in shop")
    assert (hidden.is_blocking, hidden.error.seen) == (False, "the subscription copied in shop")


def test_a_function_that_has_the_password_in_a_dblink_string_is_found(server: Server) -> None:
    body = f"BEGIN PERFORM dblink('host=elsewhere user=app password={SECRET}', 'SELECT 1'); END"
    function = f"CREATE FUNCTION remote() RETURNS void LANGUAGE plpgsql AS $${body}$$"
    with made(server, function, "DROP FUNCTION remote()"):
        (finding,) = find(password_copies, server)
    assert finding.error.seen == "the function public.remote in shop"


def test_a_job_that_runs_as_the_login_is_found_wherever_it_is_kept(server: Server) -> None:
    """The table is as pg_cron's: https://github.com/citusdata/pg_cron/blob/main/pg_cron.sql"""
    run(server, "CREATE SCHEMA cron", "CREATE TABLE cron.job (jobid bigint, username text)", database="shop")
    try:
        run(server, "INSERT INTO cron.job VALUES (7, 'app'), (8, 'somebody')", database="shop")
        (hidden,) = find(password_copies, server)
        (finding,) = find(password_copies, server, HELPED)
        workers = "ALTER DATABASE shop SET cron.use_background_workers = on"
        with made(server, workers, "ALTER DATABASE shop RESET cron.use_background_workers"):
            assert find(password_copies, server, HELPED) == []
            (disabled,) = find(password_copies, server, change(HELPED, strategy=Strategy.ALTERNATING))
    finally:
        run(server, "DROP SCHEMA cron CASCADE", database="shop")
    assert hidden.error.seen == "the table cron.job in shop"
    assert finding.error.seen == disabled.error.seen == "job 7 of pg_cron, which runs as the login in shop"


def test_who_replicates_as_the_login_has_its_password(server: Server) -> None:
    address = server.database().address
    run(server, "ALTER ROLE app REPLICATION")
    try:
        with psycopg.connect(
            host=address.host,
            port=address.port,
            user="app",
            password=SECRET,
            dbname="shop",
            replication="database",
            application_name="standby-2",
            autocommit=True,
        ):
            findings = find(password_copies, server)
    finally:
        run(server, "ALTER ROLE app NOREPLICATION")
    assert findings[0].is_blocking
    assert "standby-2 at 127.0.0.1, which replicates as the login" in findings[0].error.seen


def test_a_database_that_cannot_be_looked_at_is_a_warning(server: Server) -> None:
    with made(server, "REVOKE CONNECT ON DATABASE shop FROM public, app", "GRANT CONNECT ON DATABASE shop TO app"):
        (finding,) = find(password_copies, server)
    assert (finding.is_blocking, finding.error.code) == (False, "CopiesHidden")
    assert finding.error.seen == "everything in the database shop"


def test_nothing_is_looked_for_in_a_database_that_starts_empty(server: Server) -> None:
    with made(server, *mapping("app")):
        assert find(password_copies, server, change(DEXTER, consumers=DEXTER.consumers)) == []


@pytest.mark.parametrize(
    ("limit", "reset", "whose"),
    [
        ("ALTER ROLE app CONNECTION LIMIT 2", "ALTER ROLE app CONNECTION LIMIT -1", "role"),
        ("ALTER DATABASE postgres CONNECTION LIMIT 2", "ALTER DATABASE postgres CONNECTION LIMIT -1", "database"),
    ],
)
def test_a_limit_that_leaves_one_connection_blocks_and_one_that_leaves_two_does_not(
    server: Server, limit: str, reset: str, whose: str
) -> None:
    address = server.database().address
    with made(server, limit, reset, database="shop"):
        assert find(free_connections, server) == []
        with psycopg.connect(
            host=address.host,
            port=address.port,
            user="app",
            password=SECRET,
            dbname="postgres",
            application_name="pool",
        ):
            (finding,) = find(free_connections, server)
    assert (finding.is_blocking, finding.error.code) == (True, "ConnectionsScarce")
    assert finding.error.seen == f"the {whose} allows 2, and others have 1; the rotation needs 2"
    assert "does not pass by itself" in finding.error.fix


def test_a_server_that_is_nearly_full_is_a_warning_since_a_free_connection_is_waited_for() -> None:
    with running_server("-c", "max_connections=5", "-c", "superuser_reserved_connections=2") as small:
        run(small, *SET_UP)
        address = small.database().address
        pool = {"host": address.host, "port": address.port, "user": "app", "password": SECRET, "dbname": "postgres"}
        with psycopg.connect(**pool, autocommit=True) as held, psycopg.connect(**pool):  # type: ignore[arg-type]
            count = "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'client backend'"
            eventually(lambda: held.execute(count).fetchone() == (True,), "the end of the session that set it up")
            (finding,) = find(free_connections, small)
    assert not finding.is_blocking
    assert finding.error.seen == "the server allows 3, and others have 2; the rotation needs 2"
    assert "max_connections" in finding.error.fix


@pytest.mark.parametrize(("strategy", "blocks"), [(Strategy.MANAGED, True), (Strategy.IN_PLACE, False)])
def test_a_server_that_would_keep_the_new_password_as_md5_is_refused_where_it_makes_the_hash(
    server: Server, strategy: Strategy, blocks: bool
) -> None:
    credential = change(SERVER, strategy=strategy)
    assert find(password_encryption, server, credential) == []
    with made(server, "ALTER ROLE app SET password_encryption = 'md5'", "ALTER ROLE app RESET password_encryption"):
        findings = find(password_encryption, server, credential)
    assert [finding.error.code for finding in findings] == ["Md5Password"] * blocks


def test_nothing_is_looked_at_with_a_login_that_does_not_work(server: Server) -> None:
    opened: Any = LocalAccess(IN_PLACE, server.database(), Login("app", "wrong"))
    question = Question(opened, RotationOptions(), Observation((), None, Logins(LoginState.REFUSED), ()), PLAN)
    for make in (password_copies, free_connections, password_encryption, check_password_change):
        assert list(make(question)) == []


Step = Callable[[StepContext], object]


@pytest.fixture
def perform(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """Performs a step, with the candidate and the previous login that the vault would have."""

    def performed(step: Any, credential: Credential, administrator: Login | None = None) -> object:
        opened: Any = LocalAccess(credential, server.database(), administrator=administrator)
        monkeypatch.setattr(password_change, "opened_for", lambda _: nullcontext(opened))
        for reads in ("read_both", "read_restorable"):
            monkeypatch.setattr(password_change, reads, lambda *_: (replace(APP, password=NEW), APP))
        options = RotationOptions(ready_timeout_seconds=5)
        with without_prefect():
            return step.fn(StepContext(credential, options, "r1", credential.name, "r1"))

    yield performed
    run(server, f"ALTER ROLE app PASSWORD '{SECRET}'")


def changes_by(server: Server, user: str) -> int:
    return server.log.read_text().count(f"{user} LOG:  statement: ALTER ROLE ")


def test_an_administrator_rehearses_sets_and_restores_the_password_and_no_log_has_it(
    server: Server, perform: Callable[..., object]
) -> None:
    if server.database().inspect(ADMIN).server_version.startswith(("16", "17", "18")):
        run(server, "GRANT app TO boss WITH ADMIN OPTION")
    database, new = server.database(), replace(APP, password=NEW)
    by_itself, by_boss = changes_by(server, "app"), changes_by(server, "boss")
    assert find(check_password_change, server, HELPED, administrator=BOSS) == []
    assert database.takes(APP)
    assert perform(password_change.set_password, HELPED, BOSS) is True
    assert (database.takes(new), database.takes(APP)) == (True, False)
    assert perform(password_change.set_password, HELPED, BOSS) is False
    assert perform(password_change.restore_password, HELPED, BOSS) is True
    assert (database.takes(new), database.takes(APP)) == (False, True)
    assert (changes_by(server, "app"), changes_by(server, "boss")) == (by_itself, by_boss + 3)
    assert NEW not in server.log.read_text()


def test_an_administrator_that_may_not_set_the_password_is_refused_at_the_rehearsal(server: Server) -> None:
    run(server, f"CREATE ROLE clerk LOGIN PASSWORD '{BOSS.password}'")
    with pytest.raises(Refused) as caught:
        find(check_password_change, server, HELPED, administrator=replace(BOSS, username="clerk"))
    run(server, "DROP ROLE clerk")
    assert caught.value.code == "42501"
    assert "ADMIN OPTION" in caught.value.fix
    assert server.database().takes(APP)


def test_without_an_administrator_the_login_sets_its_own_password(
    server: Server, perform: Callable[..., object]
) -> None:
    before = changes_by(server, "app")
    assert find(check_password_change, server) == []
    assert perform(password_change.set_password, IN_PLACE) is True
    assert server.database().takes(replace(APP, password=NEW))
    assert changes_by(server, "app") == before + 2
