"""Files of a volume that change all at once, as the kubelet's AtomicWriter does it.

The names a program opens are links to `..data/NAME`; `..data` is a link that is swapped by one rename.
https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/volume/util/atomic_writer.go
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

DATA = "..data"


@dataclass(frozen=True)
class Content:
    """A file: its bytes and its mode."""

    data: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True)
class AtomicWriter:
    """Writes one volume.

    Args:
        folder: the volume.
        owner: uid and gid that the files shall have; only root can give them away.
    """

    folder: Path
    owner: tuple[int, int]

    def write(self, files: Mapping[str, Content]) -> bool:
        """Make the volume hold exactly `files`, by relative path; False when it did already."""
        if self.read() == dict(files):
            return False
        before = self._current()
        fresh = self.folder / f"..{datetime.now(UTC):%Y_%m_%d_%H_%M_%S}.{secrets.randbelow(10**9):09d}"
        self._fill(fresh, files)
        self._link(DATA, fresh.name)
        tops = {name.split("/", 1)[0] for name in files}
        for top in tops:
            if not (self.folder / top).is_symlink():
                self._link(top, f"{DATA}/{top}")
        for entry in list(self.folder.iterdir()):
            if entry.name not in tops and not entry.name.startswith(".."):
                entry.unlink()
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)
        return True

    def read(self) -> dict[str, Content]:
        """What the volume holds."""
        current = self._current()
        if current is None:
            return {}
        paths = [path for path in current.rglob("*") if path.is_file()]
        return {
            str(path.relative_to(current)): Content(path.read_bytes(), path.stat().st_mode & 0o7777) for path in paths
        }

    def _current(self) -> Path | None:
        link = self.folder / DATA
        return self.folder / link.readlink() if link.is_symlink() else None

    def _fill(self, fresh: Path, files: Mapping[str, Content]) -> None:
        self._make(fresh)
        for name, content in files.items():
            path = fresh / name
            for parent in reversed([folder for folder in path.parents if fresh in folder.parents]):
                if not parent.exists():
                    self._make(parent)
            path.touch(mode=0o600)
            path.write_bytes(content.data)
            self._give(path)
            path.chmod(content.mode)

    def _make(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        self._give(folder)

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, *self.owner)

    def _link(self, name: str, target: str) -> None:
        draft = self.folder / f"{name}_tmp"
        with suppress(FileNotFoundError):
            draft.unlink()
        draft.symlink_to(target)
        draft.rename(self.folder / name)
