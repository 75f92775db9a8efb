"""What bounded runs of the matrix found, kept until the product's code changes: together they are the whole.

Each lab appends to a file of its own, a line a kill, so a run that is ended at any moment loses nothing.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from testing.labs import ROOT
from tests.crash.table import Result

PRODUCT = ("flows", "tasks", "infra", "manifests")
LAB = ROOT / "lab"


class Kept:
    """The results for the product as it is.

    Args:
        folder: where they are kept, those for other versions of the product beside them.
    """

    def __init__(self, folder: Path = ROOT / ".keyturn/crash-matrix") -> None:
        self.folder = folder / _digest()

    def read(self) -> list[Result]:
        """Return them, each kill's last one."""
        lines = [line for file in sorted(self.folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
        results = [Result(**json.loads(line)) for line in lines]
        return list({(one.case, one.kill): one for one in results}.values())

    def add(self, lab: int, result: Result) -> None:
        """Write one down at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{lab}.jsonl").open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def _digest() -> str:
    found = hashlib.sha256()
    for path in sorted(_files()):
        found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def _files() -> Iterator[Path]:
    for name in PRODUCT:
        yield from (
            one for one in (ROOT / name).rglob("*") if one.suffix in (".py", ".yaml") and LAB not in one.parents
        )
