"""Holds the slots of a credential as a rotation of the fleet does, until it is killed. Not a test.

Usage: slot_holder.py NAME VAULT. Its lease is the shortest that Prefect gives, a minute, so that a test can wait for
its end; a rotation's is five minutes.
"""

import signal
import sys
from functools import partial

from prefect import flow, tags
from prefect.concurrency.sync import concurrency

from tasks.fleet import runs, slots
from testing.walkthrough import SERVER, change

SECONDS = 60


@flow(name="hold slots")
def hold(name: str, vault: str) -> None:
    with slots.slots_held(change(SERVER, name=name, vault=vault)):
        signal.pause()


if __name__ == "__main__":
    slots.concurrency = partial(concurrency, lease_duration=SECONDS)  # type: ignore[attr-defined]
    with tags(runs.FLEET):
        hold(sys.argv[1], sys.argv[2])
