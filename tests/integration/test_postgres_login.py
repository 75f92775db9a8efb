"""Logins to a real PostgreSQL: proofs, refusals by SQLSTATE, TLS with its name verified."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.credentials import Login
from infra.errors import (
    DatabaseStarting,
    DatabaseUnreachable,
    InvalidInput,
    KeyturnError,
    LoginRefused,
    NotFound,
    Unverified,
)
from infra.postgres.addresses import Address, Tls, find_route, get_tls_facts
from infra.postgres.database import Database
from infra.settings import Settings
from lab.control.certificates import Authority
from lab.databases.tls_front import Backend, TlsFront
from lab.errors import Conflict
from testing.postgres_process import ADMIN, PASSWORD, USER, Server, free_port, running_server

SERVER = "sonarqube-postgresql3"
HOST = f"{SERVER}.postgres.database.azure.com"
WRONG = Login(USER, "wrong")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@dataclass(frozen=True)
class Front:
    """The server behind TLS, under a Flexible Server's name, at two addresses."""

    database: Database
    elsewhere: Database
    authority: Authority


@pytest.fixture
async def front(server: Server, tmp_path: Path) -> AsyncIterator[Front]:
    authority, port = Authority.create(tmp_path), free_port()
    gateway = TlsFront(("127.0.0.1", "127.0.0.2"), port, authority.server_context)
    gateway.add(SERVER, Backend("127.0.0.1", server.port))
    await gateway.start()

    def at(address: str) -> Database:
        resolve = f"*.postgres.database.azure.com:5432:{address}:{port}"
        settings = Settings(resolve=resolve, postgres_ca_file=authority.pem_path, connect_timeout_seconds=5)
        return Database(Address(HOST), settings)

    yield Front(at("127.0.0.1"), at("127.0.0.2"), authority)
    await gateway.stop()


@pytest.fixture
def nowhere() -> Database:
    return Database(Address("127.0.0.1", free_port(), tls=Tls.DISABLE), Settings())


def test_a_login_reports_who_it_is_and_lists_the_databases(server: Server) -> None:
    seen = server.database().inspect(ADMIN)
    assert seen.user == USER
    assert seen.server_version.split(".")[0].isdigit()
    assert seen.tls is None
    assert [database.name for database in seen.databases] == ["postgres", "template0", "template1"]
    template = seen.databases[1]
    assert (template.owner, template.encoding, template.collate, template.ctype) == (USER, "UTF8", "C", "C")
    assert template.access == f"=c/{USER}, {USER}=CTc/{USER}"
    assert 0 < seen.took_seconds < 10


@pytest.mark.parametrize(("username", "password"), [(USER, "Mashroof123"), ("therema", PASSWORD)])
def test_a_wrong_login_is_refused_with_its_sqlstate_and_without_its_values(
    server: Server, username: str, password: str
) -> None:
    with pytest.raises(LoginRefused) as caught:
        server.database().prove(Login(username, password))
    assert caught.value.code == "28P01"
    assert password not in str(caught.value)
    assert username not in str(caught.value)
    assert not caught.value.retryable


def test_a_right_login_to_a_database_that_is_not_there_says_so(server: Server) -> None:
    with pytest.raises(NotFound) as caught:
        server.database("sonarqube").prove(ADMIN)
    assert caught.value.code == "3D000"
    assert 'database "sonarqube" does not exist' in str(caught.value)


def test_a_server_that_asks_for_no_password_proves_nothing(server: Server) -> None:
    with pytest.raises(Unverified) as caught:
        server.database("trusting").prove(Login(USER, "whatever"))
    assert caught.value.code == "NoPasswordProof"


def test_nobody_at_the_address_is_told_from_a_refusal(nowhere: Database) -> None:
    with pytest.raises(DatabaseUnreachable, match="Connection refused"):
        nowhere.prove(ADMIN)


def test_a_login_to_a_server_that_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = Address("127.0.0.1", silent.getsockname()[1], tls=Tls.DISABLE)
        with pytest.raises(DatabaseUnreachable, match="no answer in time"):
            Database(address, Settings(connect_timeout_seconds=1)).prove(ADMIN)


class StartingDoor:
    """Answers 57P03 to the first callers and passes the later ones through."""

    def __init__(self, refusals: int, behind: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.refusals, self.behind = refusals, behind
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0Fpostmaster.c\0\0"
        for _ in range(self.refusals):
            with self.listener.accept()[0] as caller:
                caller.recv(1024)
                caller.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
        with self.listener.accept()[0] as caller, socket.create_connection(("127.0.0.1", self.behind)) as behind:
            answers = threading.Thread(target=self._pass, args=(behind, caller))
            answers.start()
            self._pass(caller, behind)
            answers.join()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.thread.join(10)
        self.listener.close()


def test_a_login_is_waited_for_while_the_database_starts(server: Server) -> None:
    door, seen = StartingDoor(3, server.port), list[KeyturnError]()
    database = Database(Address("127.0.0.1", door.port, tls=Tls.DISABLE), Settings())
    database.wait_for(ADMIN, 20, lambda error, left_seconds: seen.append(error))
    door.close()
    assert [type(error) for error in seen] == [DatabaseStarting], "the same failure is reported once"
    assert seen[0].code == "57P03"
    assert seen[0].retryable


def test_a_refused_login_is_not_waited_for(server: Server) -> None:
    pauses = list[float]()
    with pytest.raises(LoginRefused):
        server.database().wait_for(WRONG, 20, pause=pauses.append)
    assert not pauses


def test_the_wait_ends_with_what_it_saw_last(nowhere: Database) -> None:
    ticks = iter(range(100))
    with pytest.raises(DatabaseUnreachable):
        nowhere.wait_for(ADMIN, 5, clock=lambda: next(ticks), pause=lambda _: None)


def look_at_tls(database: Database) -> None:
    get_tls_facts(database.address, database.settings)


def log_in(database: Database) -> None:
    database.prove(ADMIN)


USES = [look_at_tls, log_in]


async def test_tls_is_verified_for_the_name_although_the_address_is_another(front: Front) -> None:
    seen = await asyncio.to_thread(front.database.inspect, ADMIN)
    assert seen.tls is not None
    assert seen.tls.protocol == "TLSv1.3"
    assert seen.tls.cipher == "TLS_AES_256_GCM_SHA384"
    assert seen.tls.bits == 256
    assert seen.tls.verified_name == HOST
    assert "Keyturn lab" in seen.tls.issuer
    assert seen.tls.expires_at > datetime.now(UTC) + timedelta(hours=1)


async def test_a_server_answers_at_each_address_that_its_gateway_listens_at(front: Front) -> None:
    seen = await asyncio.to_thread(front.elsewhere.inspect, ADMIN)
    assert seen.tls is not None
    assert seen.tls.verified_name == HOST


async def test_an_address_that_is_taken_is_named_when_the_gateway_starts(front: Front, tmp_path: Path) -> None:
    _, _, taken, port = front.database.settings.resolve.rsplit(":", 3)
    second = TlsFront((taken,), int(port), Authority.create(tmp_path / "second").server_context)
    with pytest.raises(Conflict) as caught:
        await second.start()
    assert (caught.value.name, caught.value.seen) == (f"{taken}:{port}", "Address already in use")


async def test_a_refused_login_over_tls_has_the_same_code(front: Front) -> None:
    with pytest.raises(LoginRefused) as caught:
        await asyncio.to_thread(front.database.prove, WRONG)
    assert caught.value.code == "28P01"


@pytest.mark.parametrize("use", USES)
async def test_a_certificate_of_an_unknown_authority_is_refused(
    front: Front, tmp_path: Path, use: Callable[[Database], None]
) -> None:
    unknown = Authority.create(tmp_path / "other")
    settings = front.database.settings.model_copy(update={"postgres_ca_file": unknown.pem_path})
    with pytest.raises(Unverified) as caught:
        await asyncio.to_thread(use, replace(front.database, settings=settings))
    assert caught.value.code == "TlsFailed"
    assert "certificate" in str(caught.value)


@pytest.mark.parametrize("use", USES)
async def test_a_certificate_of_another_name_is_refused(front: Front, use: Callable[[Database], None]) -> None:
    address = Address("other.postgres.database.azure.com")
    with pytest.raises(Unverified) as caught:
        await asyncio.to_thread(use, replace(front.database, address=address))
    assert caught.value.code == "TlsFailed"


async def test_a_plain_connection_to_a_server_that_demands_tls_is_refused(front: Front) -> None:
    with pytest.raises(Unverified) as caught:
        await asyncio.to_thread(replace(front.database, address=Address(HOST, tls=Tls.DISABLE)).prove, ADMIN)
    assert caught.value.code == "TlsDemanded"


@pytest.mark.parametrize("use", USES)
def test_a_server_without_tls_is_never_spoken_to_in_plain_text(server: Server, use: Callable[[Database], None]) -> None:
    with pytest.raises(Unverified) as caught:
        use(server.database(tls=Tls.VERIFY_FULL))
    assert caught.value.code == "TlsFailed"


def test_passwords_stay_out_of_the_servers_log(server: Server) -> None:
    server.database().prove(ADMIN)
    assert PASSWORD not in server.log.read_text()


def test_a_route_is_found_by_host_and_port_and_an_empty_part_stays_as_it_is() -> None:
    settings = Settings(resolve="db.example:5432:10.0.0.4:6432, *.corp.example::tunnel:,")
    assert find_route("DB.example", 5432, settings) == ("10.0.0.4", 6432)
    assert find_route("db.example", 5433, settings) == ("db.example", 5433)
    assert find_route("a.corp.example", 1, settings) == ("tunnel", 1)


def test_a_route_that_cannot_be_used_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput) as caught:
        find_route("db", 5432, Settings(resolve="db:5432"))
    assert caught.value.name == "KEYTURN_RESOLVE"


def by(front: Front, tls: Tls, ca_file: Path | None = None) -> Database:
    """The database by its IP address, which its certificate does not name."""
    settings = front.database.settings
    port = int(settings.resolve.rpartition(":")[2])
    without = settings.model_copy(update={"resolve": "", "postgres_ca_file": None})
    return Database(Address("127.0.0.1", port, tls=tls, ca_file=ca_file), without)


async def test_each_tls_mode_verifies_what_it_says_and_no_more(front: Front, tmp_path: Path) -> None:
    unknown, known = Authority.create(tmp_path / "other").pem_path, front.authority.pem_path
    outcomes = {}
    for tls in (Tls.REQUIRE, Tls.VERIFY_CA, Tls.VERIFY_FULL):
        for whose, ca_file in (("known", known), ("unknown", unknown)):
            database = by(front, tls, ca_file)
            if await asyncio.to_thread(succeeds, log_in, database):
                outcomes[tls.value, whose] = await asyncio.to_thread(database.inspect, ADMIN)
            assert await asyncio.to_thread(succeeds, look_at_tls, database) is ((tls.value, whose) in outcomes)
    assert set(outcomes) == {("require", "known"), ("require", "unknown"), ("verify-ca", "known")}
    seen = {key: report.tls for key, report in outcomes.items()}
    assert all(tls and tls.protocol == "TLSv1.3" and not tls.verified_name for tls in seen.values())
    assert seen["require", "known"].expires_at is None, "what was not verified is not told"
    assert "Keyturn lab" in seen["verify-ca", "known"].issuer


def succeeds(use: Callable[[Database], None], database: Database) -> bool:
    try:
        use(database)
    except Unverified as error:
        assert error.code == "TlsFailed"
        return False
    return True


@pytest.mark.parametrize("tls", [Tls.REQUIRE, Tls.VERIFY_CA])
@pytest.mark.parametrize("use", USES)
def test_no_mode_falls_back_to_plain_text(server: Server, tls: Tls, use: Callable[[Database], None]) -> None:
    with pytest.raises(Unverified) as caught:
        use(server.database(tls=tls))
    assert caught.value.code == "TlsFailed"


def test_authorities_that_are_not_there_are_no_reason_to_trust_others(server: Server, tmp_path: Path) -> None:
    address = Address("127.0.0.1", server.port, tls=Tls.VERIFY_CA, ca_file=tmp_path / "nosuch.pem")
    with pytest.raises(Unverified) as caught:
        Database(address, Settings()).prove(ADMIN)
    assert caught.value.code == "TlsFailed"


async def test_a_login_is_proven_by_the_pooler_as_well(server: Server, front: Front) -> None:
    pooler = by(front, Tls.VERIFY_CA, front.authority.pem_path).address
    database = replace(server.database(), pooler=pooler)
    await asyncio.to_thread(database.prove, ADMIN)
    assert not await asyncio.to_thread(database.takes, WRONG)
    assert database.beside("template1").pooler is None, "changes are made at the database itself"


def test_a_login_that_the_pooler_does_not_take_is_not_proven(server: Server, nowhere: Database) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        replace(server.database(), pooler=nowhere.address).prove(ADMIN)
    assert caught.value.name == str(nowhere.address)
