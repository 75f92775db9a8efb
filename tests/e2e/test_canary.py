"""No password is found where it must not be: databases, results, logs, artifacts, command lines, printed output.

The search itself is proven: a value that is deliberately written to such a place is found there.
"""

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect import flow, get_run_logger
from prefect_server import kept_by_prefect

from flows.migrate import migrate
from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import CONSENT, World, rotate, rotate_by_prefect
from testing.walkthrough import DEXTER, SERVER, change

SAMPLE_SECONDS, FOUND_SECONDS = 0.02, 30


class CommandLines:
    """All command lines of all processes that were seen while it watched."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stopped = threading.Event()

    def look(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.seen.add(path.read_bytes())
            except OSError:
                continue

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.look()

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()


def places(world: World, prefect_home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of everything that is kept: what Prefect keeps, and the lab's logs."""
    yield from kept_by_prefect(prefect_home)
    for path in world.lab.state_dir.rglob("*.log"):
        yield path.name, path.read_bytes()


def find_places(needle: str, world: World, prefect_home: Path) -> list[str]:
    """Name the places whose content has the needle."""
    return [name for name, content in places(world, prefect_home) if needle.encode() in content]


def wait_until_found(needle: str, world: World, prefect_home: Path, where: str = "table log") -> None:
    pause = threading.Event()
    for _ in range(FOUND_SECONDS * 4):
        if any(where in name and needle.encode() in content for name, content in places(world, prefect_home)):
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
    for password in (before[1], after[1]):
        assert len(password) == 32
        assert find_places(password, world, prefect_home) == []
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
    for password in passwords:
        assert find_places(password, world, prefect_home) == []
        assert password not in caplog.text
        assert not [line for line in commands.seen if password.encode() in line]
    assert rotate(sync="express").verdict is Verdict.ROTATED, "the database starts empty with one login"


def test_the_search_looks_into_prefects_database(world: World, prefect_home: Path) -> None:
    canary = f"canary-{uuid.uuid4().hex}"
    assert find_places(canary, world, prefect_home) == []
    log_canary(canary)
    wait_until_found(canary, world, prefect_home)
    assert "table log" in find_places(canary, world, prefect_home)


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
        assert find_places(canary, world, prefect_home) == ["canary.log"]
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
