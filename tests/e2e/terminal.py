"""A terminal that the tests type into: a command in the lab with a tty of its own, and what it leaves on the screen."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.commands.run import command_environment
from testing.labs import ROOT, RunningLab

ROWS, COLUMNS = 200, 240
PATIENCE_SECONDS = 60.0
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
"""psql asks for a password on the controlling terminal, so the command needs one."""
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class Screen:
    """What a command left on the screen.

    Args:
        text: everything that was printed, line ends as newlines.
        code: the exit code.
    """

    text: str
    code: int


@dataclass(frozen=True)
class Terminal:
    """Types commands in a lab.

    Args:
        lab: the lab.
        home: where commands are typed; histories and caches go there too.
    """

    lab: RunningLab
    home: Path

    def type(self, command: str, answers: Sequence[tuple[str, str]] = (), *, by_lab_run: bool = False) -> Screen:
        """Run a shell's line and return the screen.

        Args:
            command: the line, as people type it.
            answers: prompt -> what is typed at it, in order.
            by_lab_run: whether by `lab run`, which finds database servers by name, or in a shell with `lab env`.
        """
        argv = [sys.executable, "-m", "lab", "run", "--state", str(self.lab.state_dir), "--"] if by_lab_run else []
        base = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(self.home), "TERM": "dumb", "PSQL_PAGER": "cat"}
        env = command_environment(self.lab.info, base)
        ours, theirs = os.openpty()
        try:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", OWN_TERMINAL, *argv, "/bin/sh", "-c", command],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=env,
                cwd=self.home,
                start_new_session=True,
            )
            os.close(theirs)
            try:
                text = _converse(ours, answers)
            except BaseException:
                process.kill()
                raise
            finally:
                code = process.wait()
        finally:
            os.close(ours)
        return Screen(CONTROLS.sub("", text).replace("\r\n", "\n"), code)


def _converse(terminal: int, answers: Sequence[tuple[str, str]]) -> str:
    """Read until the other side hangs up; type each answer when its prompt stands there."""
    text, seen, left = "", 0, list(answers)
    deadline = time.monotonic() + PATIENCE_SECONDS
    raw = b""
    while select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0]:
        part = b""
        with suppress(OSError):
            part = os.read(terminal, 65536)
        if not part:
            assert not left, f"never asked {left[0][0]!r}: {text!r}"
            return text
        raw += part
        text = raw.decode(errors="replace")
        while left and (found := text.find(left[0][0], seen)) >= 0:
            seen = found + len(left[0][0])
            os.write(terminal, left.pop(0)[1].encode() + b"\n")
    raise AssertionError(f"no end within {PATIENCE_SECONDS:.0f} s: {text!r}")
