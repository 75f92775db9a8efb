"""Logs of containers: one file for each start, a time on every line, and readers that wait for more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

MAX_LINE = 16384


class ContainerLog:
    """The log of one start of a container, in the CRI's form: time, stream, F or P, text.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._grown = asyncio.Event()
        self.ended = False

    def write(self, stream: str, line: bytes, *, partial: bool = False) -> None:
        """Add a line."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        self._file.write(f"{now} {stream} {'P' if partial else 'F'} ".encode() + line.rstrip(b"\n") + b"\n")
        self._announce()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self._file.close()
        self._announce()

    def _announce(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    async def copy(self, stream: str, reader: asyncio.StreamReader) -> None:
        """Take in a stream to its end."""
        rest = b""
        while chunk := await reader.read(MAX_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.write(stream, line)
            if len(rest) > MAX_LINE:
                self.write(stream, rest, partial=True)
                rest = b""
        if rest:
            self.write(stream, rest)

    async def read(
        self, *, tail: int | None = None, follow: bool = False, timestamps: bool = False, since: datetime | None = None
    ) -> AsyncIterator[bytes]:
        """What was logged, in pieces.

        Args:
            tail: only the last lines.
            follow: go on until the container has ended.
            timestamps: each line with its time.
            since: only what is newer.
        """
        lines = self.path.read_bytes().splitlines(keepends=True)
        position = sum(map(len, lines))
        if tail is not None:
            lines = lines[len(lines) - tail :] if tail else []
        yield b"".join(_format(line, timestamps, since) for line in lines)
        while follow:
            grown, ended = self._grown, self.ended
            with self.path.open("rb") as file:
                file.seek(position)
                more = file.read()
            if more:
                position += len(more)
                yield b"".join(_format(line, timestamps, since) for line in more.splitlines(keepends=True))
            elif ended:
                return
            else:
                await grown.wait()


def _format(line: bytes, timestamps: bool, since: datetime | None) -> bytes:
    time, _, tag, text = line.split(b" ", 3)
    if since is not None and datetime.fromisoformat(time.decode()[:26] + "+00:00") < since:
        return b""
    text = text if tag == b"F" else text.removesuffix(b"\n")
    return time + b" " + text if timestamps else text
