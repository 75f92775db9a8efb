"""The lab's command line in a process of its own, and what is left of a lab's processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from testing.labs import ROOT
from testing.waiting import eventually

WAIT_SECONDS, START_SECONDS = 20.0, 90.0


def lab_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lab", *arguments]


def call(*arguments: str, code: int = 0, **variables: str) -> str:
    """Run the command line and return what it printed; its exit code must be `code`."""
    done = subprocess.run(
        lab_command(*arguments), capture_output=True, text=True, timeout=90, cwd=ROOT, env={**os.environ, **variables}
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def processes_of(state: Path) -> list[str]:
    """Command lines of all processes that know the state folder, or have a file of it open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            knows = str(state).encode() in command + (process / "environ").read_bytes()
            if knows or any(place.startswith(str(state)) for place in places_of(process)):
                found.append(command.decode().replace("\0", " "))
    return found


def places_of(process: Path) -> Iterator[str]:
    """Where a process is and what it has open; it may close a file meanwhile."""
    for link in (process / "cwd", *(process / "fd").iterdir()):
        with suppress(FileNotFoundError):
            yield str(link.readlink())


def wait_for_process(part: str, state: Path) -> None:
    """Wait until a process of the lab has `part` in its command line."""
    eventually(lambda: [command for command in processes_of(state) if part in command], part, START_SECONDS)


def wait_until_gone(state: Path) -> None:
    """Wait until no process knows the state folder."""
    eventually(lambda: not processes_of(state), f"the end of all processes of {state}", WAIT_SECONDS)
