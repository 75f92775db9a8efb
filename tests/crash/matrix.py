"""The whole crash matrix: every kill of every case, shared out to labs that run side by side; and its table.

A run goes on where the last one ended, as long as the product's code stays the same.

Usage: python -m tests.crash.matrix [--labs 2] [--minutes 600] [--only TEXT] [--write docs/crash-matrix.md]
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count, zip_longest
from pathlib import Path
from typing import Self
from zlib import crc32

from infra.errors import KeyturnError
from tests.crash.cases import CASES, Case
from tests.crash.kept import Kept
from tests.crash.killing import Kill, kill_and_go_on, list_kills
from tests.crash.scene import Scene, made_scene
from tests.crash.table import Result, write_table


@dataclass(frozen=True)
class Share:
    """What one of several labs does: the kills whose names fall to it, since no two labs find quite the same ones.

    Args:
        number: which lab this is.
        of: how many there are.
        minutes: how long it may take; the cases share it.
        only: what the names of the cases that are run match, as a regular expression.
        made: case and kill, for those that were made already.
    """

    number: int
    of: int
    minutes: float
    only: str
    made: set[tuple[str, str]] = field(default_factory=set)

    def cases(self) -> list[Case]:
        return [case for case in CASES if re.search(self.only, str(case))]

    def name(self, case: Case, number: int) -> str:
        """Name the rotation of a kill, unlike any other's."""
        return f"k{self.number}-{CASES.index(case)}-{number}"

    def kills(self, case: Case, found: Sequence[Kill]) -> list[Kill]:
        """Those that are left to this lab: of each step one after the other, so that a short run has been everywhere.

        A kill that is taken on is not left any more, whatever comes of it.
        """
        by_step = defaultdict[str, list[Kill]](list)
        for kill in sorted(found, key=lambda one: one.is_in_read):
            by_step[kill.cut.step].append(kill)
        turns = [kill for turn in zip_longest(*by_step.values()) for kill in turn if kill]
        mine = [kill for kill in turns if crc32(str(kill).encode()) % self.of == self.number]
        return [kill for kill in mine if (str(case), str(kill)) not in self.made]


class Lost(Exception):
    """A kill was not recovered from: the lab is no good any more."""


class Labs:
    """The lab in use, made when it is needed. Use it in a `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._scene: Scene | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def get(self) -> Scene:
        """The present one, or a new one."""
        self._scene = self._scene or self._stack.enter_context(made_scene())
        return self._scene

    def drop(self) -> None:
        """Take it down."""
        self._scene = None
        self._stack.close()


def carry_out(share: Share) -> Iterator[Result]:
    """Carry a lab's share out. After a kill that was not recovered from, a new lab is made."""
    end, cases = time.monotonic() + share.minutes * 60, share.cases()
    with Labs() as labs:
        for number, case in enumerate(cases):
            now = time.monotonic()
            yield from _carry_out_case(share, case, labs, now + (end - now) / (len(cases) - number))


def _carry_out_case(share: Share, case: Case, labs: Labs, end: float) -> Iterator[Result]:
    numbers = count(1)
    while time.monotonic() < end:
        try:
            with case.prepared(labs.get()):
                found = _find_kills(labs.get(), case)
                for kill in share.kills(case, found):
                    if time.monotonic() > end:
                        return
                    share.made.add((str(case), str(kill)))
                    yield (result := _kill(labs.get(), case, kill, share.name(case, next(numbers)), len(found)))
                    if not result.recovered:
                        raise Lost
                return
        except (Lost, KeyturnError):
            labs.drop()


def _find_kills(scene: Scene, case: Case) -> list[Kill]:
    ended = scene.zygote.run(case.target, case.options(""))
    assert ended.verdict == "Rotated", ended.message
    return list(list_kills(ended.calls))


def _kill(scene: Scene, case: Case, kill: Kill, name: str, of: int) -> Result:
    scene.forget_old_versions(case.target)
    started = time.monotonic()
    try:
        kill_and_go_on(scene, case, kill, name)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
    else:
        detail = ""
    took = time.monotonic() - started
    return Result(str(case), kill.cut.step, str(kill), str(kill.next_id), not detail, detail, took, of)


def run_share(share: Share, kept: Kept) -> None:
    """Carry a share out and write each result down at once."""
    for result in carry_out(share):
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
        sys.exit("a lab's share was not carried out")


def main() -> int:
    """Run the matrix, print the table, and tell by the status whether every kill was recovered from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, default=2, help="how many labs run side by side (default: 2)")
    parser.add_argument("--minutes", type=float, default=600, help="how long it may take (default: 600)")
    parser.add_argument("--only", default="", help="cases whose name matches this (default: all)")
    parser.add_argument("--write", type=Path, help="file that the table is written to")
    parser.add_argument("--share", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # labs and workers are taken down on the way out
    kept = Kept()
    if arguments.share is not None:
        made = {(one.case, one.kill) for one in kept.read()}
        run_share(Share(arguments.share, arguments.labs, arguments.minutes, arguments.only, made), kept)
        return 0
    run_all(arguments)
    results = kept.read()
    text = write_table(results)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)
    return 0 if results and all(one.recovered for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
