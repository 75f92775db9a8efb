"""`python -m flows.check --live`: what a preflight would say of each credential, and nothing changes."""

import subprocess
import sys

from clients import IN_PLACE

from flows.live_check import look
from testing.bare import without_prefect
from testing.inventory import listed
from testing.labs import ROOT
from testing.rotating import World
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like


def test_every_finding_of_every_credential_is_told_and_nothing_changes(world: World) -> None:
    before = world.snapshot()
    broken = change(IN_PLACE, name="broken", vault="nosuchvault")
    for credential in (IN_PLACE, broken):
        listed(credential)
    argv = [sys.executable, "-m", "flows.check", "--live"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{IN_PLACE.name}: could rotate" in done.stdout
    assert "broken: would be refused" in done.stdout
    assert "nosuchvault" in done.stdout
    assert "refused would be broken" in done.stdout.replace("\n", " ")
    assert world.snapshot() == before


def test_a_look_lists_what_blocks_without_asking_for_consent(world: World) -> None:
    before = world.snapshot()
    unlisted = change(IN_PLACE, consumers=[consumer_like(DATABASE, name="nosuch")])
    with without_prefect():
        assert not look(DEXTER).is_blocked, "consent to data loss is given with the rotation"
        found = look(unlisted)
    assert found.is_blocked
    assert "nosuch" in str(found.findings[0])
    assert world.snapshot() == before
