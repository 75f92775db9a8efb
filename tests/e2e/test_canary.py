"""No password is found where it must not be: databases, results, logs, artifacts, command lines, printed output.

The search itself is proven: a value that is deliberately written to such a place is found there.
"""

import base64
import subprocess
import sys
import threading
import uuid
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from clients import DEPLOYMENTS, SECONDS, manifest
from prefect import flow, get_run_logger
from prefect_server import kept_by_prefect
from reports import verdict
from test_rotate_consumers import class_of
from test_rotate_kinds import created

from flows.audit import audit
from flows.fleet import RotateIn, fleet
from flows.history import history
from flows.live_check import check
from flows.migrate import migrate
from infra.credentials import Consumer, CsiDelivery, ExternalSecretDelivery, Login, Reload, Strategy
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.manifests import apply
from infra.kubernetes.workloads import open_workload
from infra.postgres.database import make_verifier
from infra.rotation.execution import Verdict
from infra.rotation.new_logins import generate_password
from infra.rotation.options import Sync
from testing.external_secrets import API, STORE, external_secret, install_operator, store
from testing.inventory import listed, unlisted
from testing.labs import ROOT
from testing.reading import let_read
from testing.rotating import CONSENT, NAMESPACE, World, rotate, rotate_by_prefect
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like

SAMPLE_SECONDS, FOUND_SECONDS = 0.02, 30
NAME = "canary"
"""The credential of a layout with further secrets, its role, and what brings it to its clients."""
KEYS = {"LOGIN": "canary-json", "URL": "canary-url", "ENCODED": "canary-encoded"}
"""Key of a Secret -> the vault's secret."""
OPERATED = consumer_like(
    DATABASE,
    name=NAME,
    is_database=False,
    delivery=ExternalSecretDelivery(kind="external-secret", external_secret=NAME),
)
RELOADED = consumer_like(
    DATABASE,
    name=f"{NAME}-reader",
    is_database=False,
    delivery=CsiDelivery(secret_provider_class=NAME, synced_secret=f"{NAME}-reader"),
    reload=Reload(container="client", command=("sh", "-c", "cat /credential/*; cat /credential/* >&2")),
)
"""Its command prints everything."""
CANARY = change(
    DEXTER,
    name=NAME,
    strategy=Strategy.IN_PLACE,
    every="90d",
    secrets={"kind": "json", "secret": KEYS["LOGIN"]},
    derived=(
        {"secret": KEYS["URL"], "template": "postgresql://{username:uri}:{password:uri}@{host}:{port}/{database}"},
        {"secret": KEYS["ENCODED"], "template": "{password:base64}"},
    ),
    password={"symbols": "+/"},
    consumers=(OPERATED, RELOADED),
)


class CommandLines:
    """All command lines of all processes that were seen while it watched.

    Those that run already are looked at when it begins and when it ends, those that come meanwhile all the time.
    """

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stopped = threading.Event()

    def look(self, known: Container[Path] = ()) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            if process not in known:
                try:
                    self.seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue

    def _watch(self, known: Container[Path]) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.look(known)

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, args=(frozenset(Path("/proc").glob("[0-9]*")),))
        self.look()
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
            self.look()


def places(world: World, prefect_home: Path, named: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of what is kept, if its name holds a word: what Prefect keeps, and the lab's logs."""
    yield from kept_by_prefect(prefect_home, named)
    for path in world.lab.state_dir.rglob("*.log"):
        if named in path.name:
            yield path.name, path.read_bytes()


def find_places(needles: Iterable[str], world: World, prefect_home: Path) -> list[str]:
    """Name the places whose content has one of the needles."""
    wanted = [needle.encode() for needle in needles]
    return [name for name, content in places(world, prefect_home) if any(needle in content for needle in wanted)]


def wait_until_found(needle: str, world: World, prefect_home: Path, where: str = "table log") -> None:
    pause = threading.Event()
    for _ in range(FOUND_SECONDS * 4):
        if any(needle.encode() in content for _, content in places(world, prefect_home, where)):
            return
        pause.wait(0.25)
    pytest.fail(f"not found within {FOUND_SECONDS} s")


def log_canary(value: str) -> None:
    """Log a value in a run: it arrives at the server after everything that was logged before."""

    @flow(name="log a canary")
    def tell() -> None:
        get_run_logger().info("canary %s", value)

    tell()


@pytest.mark.parametrize("sync", ["wait", pytest.param("express", marks=pytest.mark.slow)])
def test_no_password_is_left_anywhere_by_a_rotation(world: World, prefect_home: Path, sync: str) -> None:
    before, commands = world.values(), CommandLines()
    given = [listed(DEXTER), "--no-dry-run", "--data-loss", CONSENT, "--sync", sync]
    argv = [sys.executable, "-m", "flows.rotate", *given]
    with commands.watched():
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    printed, after = done.stdout + done.stderr, world.values()
    assert "\ndexter: rotated. " in printed
    assert "dexterkeyvault/password has the new version" in printed
    assert any(b"flows.rotate" in line for line in commands.seen)
    version = world.vault.get_latest("password").version
    wait_until_found(version, world, prefect_home)
    assert find_places((before[1], after[1]), world, prefect_home) == []
    for password in (before[1], after[1]):
        assert len(password) == 32
        assert password not in printed
        assert not [line for line in commands.seen if password.encode() in line]


def test_no_password_is_left_anywhere_by_the_strategies_that_change_a_login_in_its_database(
    world: World, prefect_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alternating, in_place = (change(DEXTER, strategy=each) for each in (Strategy.ALTERNATING, Strategy.IN_PLACE))
    passwords, commands = {world.values()[1], world.values(SERVER)[1]}, CommandLines()
    with commands.watched():
        assert migrate(listed(alternating), dry_run=False, return_state=True).is_completed()
        for credential in (alternating, in_place, SERVER):
            ended = rotate_by_prefect(credential, sync="express", data_loss="no")
            assert ended.verdict is Verdict.ROTATED, ended.message
            passwords.add(world.values(credential)[1])
    version = world.vault.get_latest("server-password").version
    assert version in caplog.text, "what is logged is seen"
    wait_until_found(version, world, prefect_home)
    assert len(passwords) == 5
    assert find_places(passwords, world, prefect_home) == []
    for password in passwords:
        assert password not in caplog.text
        assert not [line for line in commands.seen if password.encode() in line]
    assert rotate(sync="express").verdict is Verdict.ROTATED, "the database starts empty with one login"


def deployment_of(consumer: Consumer) -> dict[str, Any]:
    """Return a client that has the credential by its ExternalSecret in its environment, or by its class in files."""
    made, name = manifest(["true"], has_environment=False), consumer.workload.name
    made["metadata"]["name"] = name
    made["spec"]["selector"]["matchLabels"] = {"app": name}
    made["spec"]["template"]["metadata"]["labels"]["app"] = name
    pod = made["spec"]["template"]["spec"]
    if isinstance(consumer.delivery, CsiDelivery):
        pod["volumes"][0]["csi"]["volumeAttributes"] = {"secretProviderClass": NAME}
        return made
    pod.pop("volumes")
    pod["containers"][0].pop("volumeMounts")
    pod["containers"][0]["envFrom"] = [{"secretRef": {"name": NAME}}]
    return made


def write_first_login(world: World) -> None:
    """Make the role, and write its secrets."""
    login, address = Login(NAME, generate_password(CANARY.password)), world.database.address
    with world.session() as superuser:
        verifier = make_verifier(superuser, login)
        superuser.execute(f"CREATE ROLE {NAME} LOGIN PASSWORD '{verifier}'")
    world.vault.write(KEYS["LOGIN"], f'{{"username": "{NAME}", "password": "{login.password}"}}')
    for derived in CANARY.derived:
        world.vault.write(derived.secret, derived.render(login, address.host, address.port, address.database))


def remove_login(world: World) -> None:
    with world.session() as superuser:
        superuser.execute(f"DROP ROLE {NAME}")
    for secret in KEYS.values():
        world.vault.delete(secret)
        world.vault.purge(secret)


@contextmanager
def delivered(world: World) -> Iterator[None]:
    """Run both clients for a block."""
    cluster, like = world.cluster, world.cluster.get(path_of(NAMESPACE, "postgresql-kvname"))
    install_operator(cluster)
    apply(cluster, [store(NAMESPACE, DEXTER.vault, "dexter-sa"), external_secret(NAMESPACE, NAME, KEYS)])
    classes = path_of(NAMESPACE, NAME).rpartition("/")[0]
    try:
        with ExitStack() as running:
            running.enter_context(created(world, classes, class_of(RELOADED, KEYS, like)))
            for consumer in CANARY.consumers:
                running.enter_context(created(world, DEPLOYMENTS, deployment_of(consumer)))
                open_workload(cluster, consumer.workload).wait_for_ready(SECONDS)
            yield
    finally:
        for kind, name in (("externalsecrets", NAME), ("secretstores", STORE)):
            cluster.delete(f"/apis/{API}/namespaces/{NAMESPACE}/{kind}/{name}")


def forms(world: World) -> set[str]:
    """Return the newest values of the credential with further secrets, its password, and both as others write them."""
    values = [world.vault.read(secret) for secret in KEYS.values()]
    raw = {*values, CANARY.secrets.parse({KEYS["LOGIN"]: values[0]}).password}
    return raw | {quote(text, safe="") for text in raw} | {base64.b64encode(text.encode()).decode() for text in raw}


@pytest.mark.slow
def test_no_value_of_further_secrets_is_left_anywhere_by_the_fleet_and_by_what_only_looks(
    world: World, prefect_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_first_login(world)
    let_read(CANARY, world.azure)
    listed(CANARY)
    commands, before = CommandLines(), forms(world)
    try:
        with delivered(world), commands.watched():
            given = {"rotate_in": RotateIn.THIS_PROCESS, "sync": Sync.EXPRESS, "dry_run": False}
            state = fleet(requested=(NAME,), **given, return_state=True)  # type: ignore[call-overload]
            assert verdict(state) == "all well", state.message
            after, version = forms(world), world.vault.get_latest(KEYS["URL"]).version
            assert audit((NAME,), return_state=True).is_completed()  # type: ignore[call-overload]
            assert check(NAME, return_state=True).is_completed()  # type: ignore[call-overload]
            assert history(NAME, return_state=True).is_completed()  # type: ignore[call-overload]
        assert not after & before
        assert len(after | before) == 2 * (4 + 4 + 3), "the password in base64 is one of the values"
        last = f"last-{uuid.uuid4().hex}"
        log_canary(last)
        wait_until_found(last, world, prefect_home)
        assert version in caplog.text, "what is logged is seen"
        assert f"{RELOADED.key} was reloaded in 1 pods" in caplog.text
        assert find_places(before | after, world, prefect_home) == []
        for value in before | after:
            assert value not in caplog.text
            assert not [line for line in commands.seen if value.encode() in line]
    finally:
        unlisted(NAME)
        remove_login(world)


def test_the_search_looks_into_prefects_database(world: World, prefect_home: Path) -> None:
    canary = f"canary-{uuid.uuid4().hex}"
    assert find_places([canary], world, prefect_home) == []
    log_canary(canary)
    wait_until_found(canary, world, prefect_home)
    assert "table log" in find_places([canary], world, prefect_home)


@pytest.mark.parametrize("place", ["prefect", "lab", "postgres"])
def test_the_search_looks_into_files(world: World, prefect_home: Path, place: str) -> None:
    canary = f"canary-{uuid.uuid4().hex}"
    if place == "postgres":
        assert not world.logs_in((canary, "wrong")), "PostgreSQL logs the name that it refuses"
        wait_until_found(canary, world, prefect_home, where=".log")
        return
    folder = prefect_home / "storage" if place == "prefect" else world.lab.state_dir / "logs"
    folder.mkdir(exist_ok=True)
    path = folder / "canary.log"
    path.write_text(canary)
    try:
        assert find_places([canary], world, prefect_home) == ["canary.log"]
    finally:
        path.unlink()


def test_the_search_looks_at_command_lines() -> None:
    canary, commands = f"canary-{uuid.uuid4().hex}", CommandLines()
    argv = [sys.executable, "-c", "input('begun\\n')", canary]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"  # a process that is only just starting shows no command line
        commands.look()
    finally:
        process.communicate("\n", timeout=10)
    assert [line for line in commands.seen if canary.encode() in line]
