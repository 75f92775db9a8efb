"""Prefect's API goes away in the middle of a rotation: the rotation ends as it would have, and so does the command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prefect_proxy import Way, way_to

from tasks.reports.history import read_history
from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import CONSENT, World, fault
from testing.walkthrough import DEXTER

ROTATION_SECONDS = 120
"""Less than Prefect's client needs to give up what it has not sent."""
REPORT_LOST = "cannot make the table dexter-sync: ConnectError"


@pytest.fixture
def way(prefect_api: str) -> Iterator[Way]:
    """A way to Prefect's API that only this test's command goes by."""
    with way_to(prefect_api) as opened:
        yield opened


class Command:
    """The shell's command, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.printed = process, list[str]()

    def read_until(self, words: str) -> None:
        """Read until a line with these words is printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line)
            if words in line:
                return
        pytest.fail("".join(self.printed)[-3000:])

    def end(self) -> tuple[int, str]:
        """Return the exit code and all that was printed."""
        rest, _ = self.process.communicate(timeout=ROTATION_SECONDS)
        return self.process.returncode, "".join(self.printed) + rest


@contextmanager
def rotating(way: Way) -> Iterator[Command]:
    """Rotate by the shell's command, which finds Prefect's API by the given way."""
    argv = [listed(DEXTER), "--no-dry-run", "--sync", "wait", "--data-loss", CONSENT]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.rotate", *argv],
        cwd=ROOT,
        env={**os.environ, "PREFECT_API_URL": way.url, "PREFECT_CLIENT_MAX_RETRIES": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Command(process)
    finally:
        process.kill()
        process.communicate()


def find_run(api: str, world: World) -> dict[str, Any]:
    """Find the run of the rotation that wrote the newest version: other tests' labs have runs of the same name."""
    rotation_id = world.vault.get_latest("password").tags["rotation_id"]
    [run_id] = [told["run"] for told in read_history("dexter", 100) if told["rotation"] == rotation_id]
    found: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run_id}", trust_env=False).json()
    return found


@pytest.mark.parametrize("comes_back", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_rotation_goes_on_while_prefects_api_is_away(
    world: World, way: Way, prefect_api: str, comes_back: bool
) -> None:
    before = world.values()
    with rotating(way) as command:
        with fault(world.lab, "sync-paused"):
            command.read_until(" s left)")
            way.close()
            command.read_until(REPORT_LOST)
            if comes_back:
                way.open()
        code, printed = command.end()
    assert code == 0, printed[-3000:]
    assert "dexter: rotated. " in printed
    assert world.values() != before
    world.assert_well()
    if comes_back:
        assert "Traceback" not in printed
        run = find_run(prefect_api, world)
        assert (run["name"], run["tags"], run["state_name"]) == ("dexter: rotated", ["rotated"], "Completed")


def test_without_prefects_api_nothing_is_begun_and_the_command_says_why(world: World, way: Way) -> None:
    before = world.snapshot()
    way.close()
    with rotating(way) as command:
        code, printed = command.end()
    assert code == 1
    assert "Prefect's API does not answer" in printed
    assert "nothing was begun" in printed
    assert "Traceback" not in printed
    assert world.snapshot() == before
