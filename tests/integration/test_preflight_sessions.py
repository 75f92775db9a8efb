"""Sessions of a credential's login in a real PostgreSQL, from several loopback addresses: whose they are is found."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from infra.credentials import ClusterRef, Credential, HostEndpoint, Login, Strategy
from infra.errors import Refused
from infra.postgres.database import Database
from infra.rotation.observation import Logins, LoginState, Observation
from infra.rotation.options import RotationOptions
from infra.rotation.preflight import Finding
from infra.rotation.sessions import PodPlace
from tasks.preflight import sessions
from tasks.preflight.registry import Question
from testing.postgres_process import ADMIN, Server, running_server, session_from
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

FIRST, SECOND = Login("app_a", "Secret-of-the-login-1"), Login("app_b", "Secret-of-the-login-2")
SET_UP = (
    *(f"CREATE ROLE {login.username} LOGIN PASSWORD '{login.password}'" for login in (FIRST, SECOND)),
    "CREATE ROLE app_owner",
    "GRANT app_owner TO app_a, app_b",
    "ALTER ROLE app_a SET role = 'app_owner'",
    "ALTER ROLE app_b SET role = 'app_owner'",
)
CLIENT = consumer_like(DATABASE, name="client", is_database=False)
IN_PLACE = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(DATABASE, CLIENT))
ALTERNATING = change(IN_PLACE, strategy=Strategy.ALTERNATING)
OWN, CLIENTS, UNKNOWN = "127.0.0.1", "127.0.77.7", "127.0.77.8"


@dataclass(frozen=True)
class LocalAccess:
    """An Access whose vault is a login in memory, and whose clusters are asked for nothing but pods."""

    credential: Credential
    database: Database
    administrator: Login | None = None

    def read_login(self, _: Mapping[str, str]) -> Login:
        return FIRST

    def cluster_at(self, place: ClusterRef) -> None:
        return None


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server(rules="host all all 127.0.0.0/8 scram-sha-256\n") as running:
        with running.database().connected(ADMIN) as admin:
            for statement in SET_UP:
                admin.execute(statement)
        yield running


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Where the cluster's pods were asked for: it has one, the listed client's."""
    asked = list[object]()

    def list_places(*where: object) -> tuple[PodPlace, ...]:
        asked.append(where)
        return (PodPlace(CLIENT.key, frozenset({CLIENTS})),)

    monkeypatch.setattr(sessions, "list_places", list_places)
    return asked


def logged_in(server: Server, login: Login, address: str, application: str = "") -> AbstractContextManager[None]:
    return session_from(address, (OWN, server.port), login, application)


def find(
    server: Server, credential: Credential = IN_PLACE, administrator: Login | None = None, told: Sequence[str] = ()
) -> list[Finding]:
    opened: Any = LocalAccess(credential, server.database(), administrator)
    seen, plan = Observation((), None, Logins(LoginState.WORKS), ()), None
    question = Question(opened, RotationOptions(), seen, plan)  # type: ignore[arg-type]
    findings = list(sessions.find_unknown_sessions(question, told))
    assert {type(finding.error) for finding in findings} <= {Refused}
    return findings


@pytest.mark.parametrize("credential", [IN_PLACE, ALTERNATING], ids=["in-place", "alternating"])
def test_a_session_from_an_address_of_nobody_is_found_and_told(
    server: Server, credential: Credential, listings: list[object]
) -> None:
    with logged_in(server, FIRST, CLIENTS, "client"):
        assert find(server, credential) == []
        with logged_in(server, FIRST, UNKNOWN, "nightly report"), logged_in(server, FIRST, UNKNOWN):
            (finding,) = find(server, credential)
    assert (finding.is_blocking, finding.error.code, finding.error.name) == (
        True,
        "UnknownSessions",
        str(credential.endpoint),
    )
    assert finding.error.seen.startswith(f"2 sessions from {UNKNOWN} (nightly report) since 20")
    assert len(listings) == 2


def test_while_the_listed_client_is_not_seen_an_unknown_address_is_a_warning(
    server: Server, listings: list[object]
) -> None:
    with logged_in(server, FIRST, UNKNOWN):
        (finding,) = find(server)
    assert (finding.is_blocking, finding.error.code) == (False, "UnknownSessions")
    assert f"maybe those of {CLIENT.key}" in finding.error.seen


def test_sessions_from_where_keyturn_is_need_no_look_at_the_cluster(server: Server, listings: list[object]) -> None:
    with logged_in(server, FIRST, OWN):
        assert find(server) == []
    assert listings == []


def test_sessions_from_the_poolers_host_are_the_poolers(server: Server, listings: list[object]) -> None:
    with logged_in(server, FIRST, UNKNOWN):
        assert find(server, change(IN_PLACE, pooler=HostEndpoint(kind="host", host=UNKNOWN))) == []
        (finding,) = find(server, change(IN_PLACE, pooler=HostEndpoint(kind="host", host="127.0.77.9")))
    assert (finding.is_blocking, finding.error.code) == (False, "UnknownSessions")


def test_a_workload_that_was_found_to_read_the_credential_is_told_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "list_places", lambda *_: (PodPlace("deployment a/b", frozenset({UNKNOWN})),))
    with logged_in(server, FIRST, UNKNOWN):
        assert [finding.error.name for finding in find(server)] == ["deployment a/b"]
        assert find(server, told=["deployment a/b"]) == []


def test_the_other_logins_sessions_are_shown_to_an_administrator_and_counted_by_the_login(
    server: Server, listings: list[object]
) -> None:
    with logged_in(server, FIRST, CLIENTS), logged_in(server, SECOND, UNKNOWN, "report"):
        assert find(server, IN_PLACE) == [], "in place, another login is none of the credential's"
        (hidden,) = find(server, ALTERNATING)
        (found,) = find(server, ALTERNATING, ADMIN)
    assert (hidden.is_blocking, hidden.error.code, hidden.error.seen) == (False, "SessionsHidden", "1 session")
    assert (found.is_blocking, found.error.code) == (True, "UnknownSessions")
    assert found.error.seen.startswith(f"1 session from {UNKNOWN} (report) since")


def test_with_a_login_that_does_not_work_nothing_is_looked_at(server: Server, listings: list[object]) -> None:
    opened: Any = None
    refused: Any = Observation((), None, Logins(LoginState.REFUSED), ())
    assert list(sessions.find_unknown_sessions(Question(opened, RotationOptions(), refused, opened), ())) == []
