"""A command that runs in a sandbox, and how one is started by the sandbox's own program."""

import asyncio
import contextlib
import marshal
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.errors import ServiceFailed

PROGRAM = "from lab.sandbox.child import main; main()"
"""Without `-m`, which imports more than the program."""
CHECKOUT = Path(__file__).parents[2]


class SandboxFailed(ServiceFailed):
    """A command could not be started in its sandbox; `code` is "not-found", "not-executable" or "setup"."""


class Process:
    """A command that runs in a sandbox; the first one is the sandbox.

    Args:
        outer: the process that we started; it mirrors the command's end.
        pid: the command's pid on the machine.
    """

    def __init__(self, outer: asyncio.subprocess.Process, pid: int) -> None:
        self._outer, self.pid = outer, pid
        self.stdin, self.stdout, self.stderr = outer.stdin, outer.stdout, outer.stderr
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1

    async def wait(self) -> int:
        """The exit code, 128 + signal when a signal ended it."""
        code = await self._outer.wait()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        return code if code >= 0 else 128 - code

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._outer.returncode is None

    def send(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._handle >= 0 and self.running:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    async def communicate(self, given: bytes = b"") -> bytes:
        """Feed standard input, and return all of standard output when it has ended."""
        answer, _ = await self._outer.communicate(given if self.stdin else None)
        return answer or b""

    async def kill(self) -> int:
        """End it, and with it everything in its sandbox; returns the exit code."""
        self.send(signal.SIGKILL)
        return await self.wait()


async def spawn(spec: dict[str, Any], streams: Mapping[str, Any]) -> Process:
    """Start the sandbox's program with what it is to do, and return when the command has begun.

    Raises:
        SandboxFailed: it could not begin.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        outer = await _start_program(spec, write, streams)
    except OSError:
        os.close(read)
        raise
    finally:
        os.close(write)
    try:
        reports = await _read_reports(read)
    except BaseException:
        outer.terminate()
        await outer.wait()
        raise
    failure = next((report for report in reports if report[0] != "pid"), None)
    if failure is not None or not reports:
        await outer.wait()
        code, detail = failure or ("setup", "the sandbox ended before it began")
        raise SandboxFailed(
            "a command could not be started in its sandbox",
            name=" ".join(spec["argv"][:1]),
            seen=detail,
            code=code,
        )
    return Process(outer, int(reports[0][1]))


async def _start_program(spec: dict[str, Any], report: int, streams: Mapping[str, Any]) -> asyncio.subprocess.Process:
    """The program reads its orders from memory: no argument and no file holds the command's environment."""
    handle = os.memfd_create("sandbox")
    try:
        os.write(handle, marshal.dumps(spec))
        os.lseek(handle, 0, os.SEEK_SET)
        defaults = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.DEVNULL)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-s", "-S", "-c", PROGRAM, str(handle), str(report)),
            pass_fds=(handle, report),
            env={"PYTHONPATH": str(CHECKOUT)},
            **(defaults | dict(streams)),
        )
    finally:
        os.close(handle)


async def _read_reports(handle: int) -> list[tuple[str, str]]:
    """The first word and the rest of every report: the pipe ends when the command has begun, since exec closes it."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(handle, "rb"))
    try:
        words = [line.decode().partition(" ") for line in (await reader.read()).splitlines()]
        return [(first, rest) for first, _, rest in words]
    finally:
        transport.close()
