"""Killed anywhere and run again, a rotation ends well: `kill -9` around every write, and by the shell's own command."""

import re
import signal
import subprocess
import sys

import pytest
from killing import kill

from infra.errors import KeyturnError
from testing.labs import ROOT
from testing.rotating import World, rotate


def assert_somebody_knows_the_login(world: World) -> None:
    """If a database runs, its login is among what the vault still tells; the newest versions are enabled."""
    for name in ("username", "password"):
        assert world.vault.get_latest(name).enabled
    assert readable_logins(world)


def readable_logins(world: World) -> bool:
    if not world.pods():
        return True
    names = ("username", "password")
    enabled = [[one.version for one in world.vault.list_versions(name) if one.enabled] for name in names]
    values = [[world.vault.read(name, one) for one in versions] for name, versions in zip(names, enabled, strict=True)]
    try:
        return any(world.logs_in((username, password)) for username in values[0] for password in values[1])
    except KeyturnError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("nth", [2, 4, 6, 8, 10])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_killed_around_a_write_is_finished_by_the_next_run(world: World, when: str, nth: int) -> None:
    before = world.values()
    kill(when, str(nth))
    assert_somebody_knows_the_login(world)
    ended = rotate(sync="express")
    assert ended.name == "Rotated", ended.message
    assert world.values() != before
    world.assert_well()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 3, 5, 7, 9, 11, 12, 13, 14])
def test_a_rotation_killed_around_any_other_write_is_finished_too(world: World, when: str, nth: int) -> None:
    said = kill(when, str(nth), rotation_id=f"{when}-{nth}")
    assert_somebody_knows_the_login(world)
    ended = rotate(sync="express", rotation_id=f"{when}-{nth}")
    assert ended.name in ("Rotated", "NothingToDo"), said
    world.assert_well()


def test_the_shells_command_is_killed_after_publishing_and_goes_on(world: World) -> None:
    argv = [sys.executable, "-m", "flows.rotate", "--no-options.dry-run", "--options.data-loss", "I accept data loss"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    published = ""
    for line in process.stdout:
        if found := re.search(r"dexterkeyvault/password has the new version (\w+)", line):
            published = found[1]
            process.kill()
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert world.vault.get_latest("password").version == published
    assert rotate(sync="express").name == "Rotated"
    assert world.vault.get_latest("password").version == published, "the same rotation was taken up"
    world.assert_well()
