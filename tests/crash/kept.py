"""The results of bounded runs of the matrix, kept until the product's code changes: together they are the whole.

Each lab appends to a file of its own, a line for each kill, so a run that is ended at any moment loses nothing.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from testing.labs import ROOT
from tests.crash.table import Result

PRODUCT = ("flows", "tasks", "infra", "manifests", "credentials.yaml")
"""The folders and files that a result depends on."""


class Kept:
    """The results for the product as it is.

    Args:
        folder: where they are kept, those for other versions of the product beside them.
    """

    def __init__(self, folder: Path = ROOT / ".keyturn/crash-matrix") -> None:
        self.folder = folder / _fingerprint()

    def read(self) -> list[Result]:
        """Return the last result of each kill."""
        lines = [line for file in sorted(self.folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
        results = [Result(**json.loads(line)) for line in lines]
        return list({(result.case, result.kill): result for result in results}.values())

    def add(self, lab: int, result: Result) -> None:
        """Write a result at once.

        Args:
            lab: the number of the lab that it comes from.
            result: the result.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{lab}.jsonl").open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def describe_code() -> str:
    """Say of which code the results are: the last commit that changed the product, and whether it was changed since."""
    subject = _git("log", "-1", "--first-parent", "--format=“%s” of %cs", "--", *PRODUCT)
    changed = _git("status", "--porcelain", "--", *PRODUCT)
    return f"the code of {subject or 'no commit'}{', changed since' if changed else ''} ({_fingerprint()})"


def _git(*arguments: str) -> str:
    """Return what git prints; nothing outside a repository."""
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _files() -> Iterator[Path]:
    for name in PRODUCT:
        path = ROOT / name
        found = [path] if path.is_file() else path.rglob("*")
        yield from (file for file in found if file.suffix in (".py", ".yaml"))
