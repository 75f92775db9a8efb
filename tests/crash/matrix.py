"""The crash matrix: all kills of each strategy and a few of each layout and delivery, shared among labs; and its table.

A run resumes where the last one ended, as long as the product's code stays the same.

Usage: python -m tests.crash.matrix [--labs 2] [--minutes 600] [--only TEXT] [--write docs/crash-matrix.md]
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Self
from zlib import crc32

from infra.errors import KeyturnError
from infra.rotation.execution import Verdict
from tests.crash.cases import Case
from tests.crash.kept import Kept, describe_code
from tests.crash.killing import Kill, in_turns, kill_and_resume, list_kills
from tests.crash.layouts import MATRIX_CASES
from tests.crash.scene import Scene, running_scene
from tests.crash.table import Result, write_table


@dataclass(frozen=True)
class Share:
    """What one of several labs does. A kill's name decides whose it is, since no two labs find quite the same kills.

    Args:
        number: which lab this is.
        of: how many there are.
        minutes: how long it may take; the cases share it.
        only: what the names of the cases match, as a regular expression.
        made: case and kill, for those that were made already.
    """

    number: int
    of: int
    minutes: float
    only: str
    made: set[tuple[str, str]] = field(default_factory=set)

    def cases(self) -> list[Case]:
        """Return its cases. Those of which few kills are made come first, and leave their time to the others."""
        found = [case for case in MATRIX_CASES if re.search(self.only, str(case))]
        return sorted(found, key=lambda case: not case.most_kills)

    def rotation_id(self, case: Case, number: int) -> str:
        """Name the rotation of a kill, unlike any other's."""
        return f"k{self.number}-{MATRIX_CASES.index(case)}-{number}"

    def kills(self, case: Case, found: Sequence[Kill]) -> list[Kill]:
        """Return what is left to this lab of a case's kills, or of the few that are made of it, the most telling first.

        A kill that was started is not left any more, whatever comes of it.
        """
        turns = in_turns(found)[: case.most_kills or None]
        own = [kill for kill in turns if crc32(str(kill).encode()) % self.of == self.number]
        return [kill for kill in own if (str(case), str(kill)) not in self.made]


class Lost(Exception):
    """A kill was not recovered from: the lab cannot be used any more."""


class Labs:
    """The lab in use, started when it is needed. Use it in a `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._scene: Scene | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def get(self) -> Scene:
        """Return the running one, or start one."""
        self._scene = self._scene or self._stack.enter_context(running_scene())
        return self._scene

    def stop(self) -> None:
        """Stop it."""
        self._scene = None
        self._stack.close()


def make_kills(share: Share) -> Iterator[Result]:
    """Make the kills of a lab's share. After a kill that was not recovered from, a new lab is started."""
    end, cases = time.monotonic() + share.minutes * 60, share.cases()
    with Labs() as labs:
        for number, case in enumerate(cases):
            now = time.monotonic()
            yield from _make_kills_of_case(share, case, labs, now + (end - now) / (len(cases) - number))


def _make_kills_of_case(share: Share, case: Case, labs: Labs, end: float) -> Iterator[Result]:
    numbers = count(1)
    while time.monotonic() < end:
        try:
            with case.prepared(labs.get()):
                found = _find_kills(labs.get(), case)
                of = min(len(found), case.most_kills or len(found))
                for kill in share.kills(case, found):
                    if time.monotonic() > end:
                        return
                    share.made.add((str(case), str(kill)))
                    rotation_id = share.rotation_id(case, next(numbers))
                    yield (result := _make_kill(labs.get(), case, kill, rotation_id, of))
                    if not result.recovered:
                        raise Lost
                return
        except (Lost, KeyturnError):
            labs.stop()


def _find_kills(scene: Scene, case: Case) -> list[Kill]:
    before = scene.newest(case.credential)
    ended = scene.zygote.run(case.credential, case.options())
    assert ended.verdict == Verdict.ROTATED, ended.message
    case.check_after_rotation(scene, before)
    return list(list_kills(ended.calls))


def _make_kill(scene: Scene, case: Case, kill: Kill, rotation_id: str, of: int) -> Result:
    scene.forget_old_versions(case.credential)
    started = time.monotonic()
    try:
        kill_and_resume(scene, case, kill, rotation_id)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
    else:
        detail = ""
    took = time.monotonic() - started
    return Result(str(case), kill.point.step, str(kill), str(kill.next_id), not detail, detail, took, of)


def run_share(share: Share, kept: Kept) -> None:
    """Make the kills of a share and write each result at once."""
    for result in make_kills(share):
        kept.add(share.number, result)
        if not result.recovered:
            print(f"NOT RECOVERED: {result.case}: {result.kill}: {result.detail}", flush=True)


def run_all(arguments: argparse.Namespace) -> None:
    """Run the shares side by side, each in a process and a lab of its own."""
    common = ["--minutes", str(arguments.minutes), "--only", arguments.only, "--labs", str(arguments.labs)]
    workers = [
        subprocess.Popen([sys.executable, "-m", "tests.crash.matrix", *common, "--share", str(number)])
        for number in range(arguments.labs)
    ]
    try:
        statuses = [worker.wait() for worker in workers]
    finally:
        for worker in workers:
            worker.terminate()
    if any(statuses):
        sys.exit("a lab did not complete its share")


def main() -> int:
    """Run the matrix, print the table, and return whether every kill was recovered from, as an exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, default=2, help="how many labs run side by side (default: 2)")
    parser.add_argument("--minutes", type=float, default=600, help="how long it may take (default: 600)")
    parser.add_argument("--only", default="", help="cases whose name matches this (default: all)")
    parser.add_argument("--write", type=Path, help="file that the table is written to")
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # labs and workers are stopped on the way out
    kept = Kept()
    if arguments.share is not None:
        made = {(result.case, result.kill) for result in kept.read()}
        run_share(Share(arguments.share, arguments.labs, arguments.minutes, arguments.only, made), kept)
        return 0
    run_all(arguments)
    results = kept.read()
    text = write_table(results, describe_code())
    print(text)
    if arguments.write:
        arguments.write.write_text(text)
    return 0 if results and all(result.recovered for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
