"""The whole crash matrix: every kill of every case, shared out to labs that run side by side; and its table.

Usage: python -m tests.crash.matrix [--labs 2] [--reads 1] [--only TEXT] [--write docs/crash-matrix.md]
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.crash.cases import CASES, Case
from tests.crash.killing import Kill, kill_and_go_on, list_kills
from tests.crash.scene import Scene, made_scene
from tests.crash.table import Result, write_table


@dataclass(frozen=True)
class Share:
    """What one of several labs does: every `of`th kill from `number` on.

    Args:
        number: which lab this is.
        of: how many there are.
        every: 1 for all kills in reads, n for each nth of them.
        only: part of the names of the cases that are run.
    """

    number: int
    of: int
    every: int
    only: str

    def cases(self) -> list[tuple[int, Case]]:
        return [(number, case) for number, case in enumerate(CASES) if self.only in str(case)]

    def kills(self, case: int, found: Sequence[Kill]) -> list[Kill]:
        """Those of a case that are this lab's; each case begins with another read, so that a part is not the same."""
        reads = [one for one in found if one.is_in_read][case % self.every :: self.every]
        return [one for one in found if one in reads or not one.is_in_read][self.number :: self.of]


def carry_out(share: Share) -> Iterator[Result]:
    """Carry a lab's share out. After a kill that was not recovered from, a new lab is made."""
    left = [(number, case, -1) for number, case in share.cases()]
    while left:
        with made_scene() as scene:
            while left:
                number, case, done = left.pop(0)
                with suppress(Exception), case.prepared(scene):
                    kills = share.kills(number, _find_kills(scene, case))
                    for index in range(done + 1, len(kills)):
                        result = _kill(scene, case, kills[index], f"k{share.number}-{number}-{index}")
                        done = index
                        yield result
                        if not result.recovered:
                            break
                    else:
                        continue
                left.insert(0, (number, case, done))
                break


def _find_kills(scene: Scene, case: Case) -> list[Kill]:
    ended = scene.zygote.run(case.target, case.options(""))
    assert ended.verdict == "Rotated", ended.message
    return list(list_kills(ended.calls))


def _kill(scene: Scene, case: Case, kill: Kill, name: str) -> Result:
    scene.forget_old_versions(case.target)
    started = time.monotonic()
    try:
        kill_and_go_on(scene, case, kill, name)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
    else:
        detail = ""
    return Result(
        str(case), kill.cut.step, str(kill), str(kill.next_id), not detail, detail, time.monotonic() - started
    )


def run_share(share: Share, into: Path) -> None:
    """Carry a share out and write each result down at once."""
    with into.open("w") as file:
        for result in carry_out(share):
            print(json.dumps(asdict(result)), file=file, flush=True)
            if not result.recovered:
                print(f"NOT RECOVERED: {result.case}: {result.kill}: {result.detail}", flush=True)


def run_all(arguments: argparse.Namespace) -> list[Result]:
    """Run the shares side by side, each in a process and a lab of its own."""
    with tempfile.TemporaryDirectory(prefix="keyturn-matrix-") as folder:
        files = [Path(folder) / f"{number}.jsonl" for number in range(arguments.labs)]
        common = ["--reads", str(arguments.reads), "--only", arguments.only, "--labs", str(arguments.labs)]
        workers = [
            subprocess.Popen([sys.executable, "-m", "tests.crash.matrix", *common, "--share", str(number), str(file)])
            for number, file in enumerate(files)
        ]
        try:
            statuses = [worker.wait() for worker in workers]
        finally:
            for worker in workers:
                worker.terminate()
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    if any(statuses):
        sys.exit("a lab's share was not carried out")
    return [Result(**json.loads(line)) for line in lines]


def main() -> int:
    """Run the matrix, print the table, and tell by the status whether every kill was recovered from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, default=2, help="how many labs run side by side (default: 2)")
    parser.add_argument("--reads", type=int, default=1, help="each nth kill in a read alone (default: 1, all)")
    parser.add_argument("--only", default="", help="cases whose name contains this (default: all)")
    parser.add_argument("--write", type=Path, help="file that the table is written to")
    parser.add_argument("--share", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # labs and workers are taken down on the way out
    if arguments.share:
        number, into = arguments.share
        run_share(Share(int(number), arguments.labs, arguments.reads, arguments.only), Path(into))
        return 0
    started = time.monotonic()
    results = run_all(arguments)
    text = write_table(results, time.monotonic() - started, arguments.labs, arguments.reads)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)
    return 0 if results and all(one.recovered for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
