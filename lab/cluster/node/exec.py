"""exec over WebSocket: v4.channel.k8s.io and v5.channel.k8s.io.

The first byte of a message is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 terminal size; in v5
channel 255 closes the channel that it names.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import termios
from typing import Any

from aiohttp import WSMsgType, web

from lab.cluster.node.containers import Container
from lab.cluster.node.place import describe_failure
from lab.sandbox.sandboxes import Process, SandboxFailed

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io")
CHUNK = 32768


async def serve_exec(request: web.Request, container: Container) -> web.StreamResponse:
    """Run what the query asks for in the container and carry its streams."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
    await socket.prepare(request)
    query = request.query
    wanted = {name: query.get(name) in ("true", "1") for name in ("stdin", "stdout", "stderr", "tty")}
    wanted["stdin"] |= query.get("input") == "1"
    wanted["stdout"] |= query.get("output") == "1"
    wanted["stderr"] |= query.get("error") == "1"
    argv = query.getall("command", [])
    try:
        code = await _Session(socket, container, wanted).run(argv)
        status = _status(code)
    except SandboxFailed as error:
        status = _failure(error)
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
        await socket.close()
    return socket


class _Session:
    """One command and its socket."""

    def __init__(self, socket: web.WebSocketResponse, container: Container, wanted: dict[str, bool]) -> None:
        self._socket, self._container, self._wanted = socket, container, wanted
        self._master = -1

    async def run(self, argv: list[str]) -> int:
        """Run the command; returns its exit code. A caller that leaves ends it."""
        process = await (self._start_terminal(argv) if self._wanted["tty"] else self._start_plain(argv))
        outputs = asyncio.gather(*self._outputs(process))
        inputs = asyncio.create_task(self._read_socket(process), name="exec input")
        ended = asyncio.create_task(process.wait(), name="exec")
        try:
            await asyncio.wait({inputs, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await process.kill()
            code = await ended
            with contextlib.suppress(ConnectionError):
                await outputs
            return code
        finally:
            inputs.cancel()
            outputs.cancel()
            if self._master >= 0:
                os.close(self._master)

    async def _start_plain(self, argv: list[str]) -> Process:
        pipe = asyncio.subprocess.PIPE
        streams: dict[str, Any] = {name: pipe for name in ("stdin", "stdout", "stderr") if self._wanted[name]}
        return await self._container.enter(argv, **streams)

    async def _start_terminal(self, argv: list[str]) -> Process:
        self._master, slave = os.openpty()
        try:
            os.set_blocking(self._master, False)
            return await self._container.enter(argv, terminal=True, stdin=slave, stdout=slave, stderr=slave)
        finally:
            os.close(slave)

    def _outputs(self, process: Process) -> list[Any]:
        if self._wanted["tty"]:
            return [self._copy_terminal()]
        pairs = ((STDOUT, process.stdout), (STDERR, process.stderr))
        return [self._copy(channel, stream) for channel, stream in pairs if stream is not None]

    async def _copy(self, channel: int, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(CHUNK):
            await self._socket.send_bytes(bytes([channel]) + data)

    async def _copy_terminal(self) -> None:
        """Until the last process on the other side has closed it, which reads as EIO."""
        loop = asyncio.get_running_loop()
        while True:
            readable = asyncio.Event()
            loop.add_reader(self._master, readable.set)
            try:
                await readable.wait()
                data = os.read(self._master, CHUNK)
            except OSError:
                return
            finally:
                loop.remove_reader(self._master)
            await self._socket.send_bytes(bytes([STDOUT]) + data)

    async def _read_socket(self, process: Process) -> None:
        """Input and sizes, until the caller leaves."""
        async for message in self._socket:
            data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
            if not data:
                continue
            channel, payload = data[0], data[1:]
            if channel == STDIN:
                await self._feed(process, payload)
            elif channel == RESIZE and self._master >= 0:
                self._resize(payload)
            elif channel == CLOSE and payload[:1] == bytes([STDIN]) and process.stdin is not None:
                process.stdin.close()

    async def _feed(self, process: Process, data: bytes) -> None:
        if self._master >= 0:
            while data:
                try:
                    data = data[os.write(self._master, data) :]
                except BlockingIOError:
                    await asyncio.sleep(0.01)
        elif process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(data)
                await process.stdin.drain()

    def _resize(self, payload: bytes) -> None:
        size = json.loads(payload)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))


def _status(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    text = f"command terminated with non-zero exit code: error executing command, exit code {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": text,
        "details": {"causes": causes},
    }


def _failure(error: SandboxFailed) -> dict[str, Any]:
    text = (
        "Internal error occurred: error executing command in container: failed to exec in container: failed to start "
        "exec: OCI runtime exec failed: exec failed: unable to start container process: "
        f"{describe_failure(error)}: unknown"
    )
    return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": text, "code": 500}
