"""Killed anywhere and run again, a rotation ends well: `kill -9` around every write, and of the shell's own command."""

import re
import signal
import subprocess
import sys

import pytest
from killing import kill

from infra.errors import KeyturnError
from infra.rotation.candidate import name_candidate
from infra.rotation.execution import Verdict
from infra.rotation.observation import ROTATION_ID
from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import CONSENT, World, rotate
from testing.walkthrough import DEXTER


def assert_a_known_login_works(world: World) -> None:
    """If the database runs, its login is among those that the vault still has; the newest versions are enabled."""
    for name in DEXTER.secrets.names:
        assert world.vault.get_latest(name).enabled
    assert has_readable_login(world)


def has_readable_login(world: World) -> bool:
    if not world.pods():
        return True
    usernames, passwords = (read_enabled(world, name) for name in DEXTER.secrets.names)
    try:
        return any(world.logs_in((username, password)) for username in usernames for password in passwords)
    except KeyturnError:
        return True


def read_enabled(world: World, name: str) -> list[str]:
    """The values of a secret's enabled versions."""
    return [world.vault.read(name, found.version) for found in world.vault.list_versions(name) if found.enabled]


@pytest.mark.slow
@pytest.mark.parametrize("nth", [2, 4, 6, 8, 10])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rotation_killed_around_a_write_is_finished_by_the_next_run(world: World, when: str, nth: int) -> None:
    before = world.values()
    kill(when, str(nth))
    assert_a_known_login_works(world)
    ended = rotate(sync="express")
    assert ended.verdict is Verdict.ROTATED, ended.message
    assert world.values() != before
    world.assert_well()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 3, 5, 7, 9, 11, 12, 13, 14])
def test_a_rotation_killed_around_any_other_write_is_finished_too(world: World, when: str, nth: int) -> None:
    said = kill(when, str(nth))
    assert_a_known_login_works(world)
    unfinished = world.vault.find_latest(name_candidate(DEXTER.secrets.names))
    ended = rotate(sync="express", rotation_id=unfinished.tags[ROTATION_ID] if unfinished else "")
    assert ended.verdict in (Verdict.ROTATED, Verdict.NOTHING_TO_DO), said
    world.assert_well()


@pytest.mark.slow
def test_the_shells_command_is_killed_after_publishing_and_resumes(world: World) -> None:
    argv = [sys.executable, "-m", "flows.rotate", listed(DEXTER), "--no-dry-run", "--data-loss", CONSENT]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    printed, published = [], ""
    for line in process.stdout:
        printed.append(line)
        if found := re.search(r"dexterkeyvault/password has the new version (\w+)", line):
            published = found[1]
            process.kill()
            break
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "".join(printed)
    assert world.vault.get_latest("password").version == published
    assert rotate(sync="express").verdict is Verdict.ROTATED
    assert world.vault.get_latest("password").version == published, "the same rotation was resumed"
    world.assert_well()
