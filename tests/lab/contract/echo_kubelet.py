"""A node without containers: its kubelet endpoint echoes what exec and logs ask for."""

from typing import Any

from aiohttp import web

STDOUT, STDERR, ERROR = 1, 2, 3
_SUCCESS = b'{"metadata":{},"status":"Success"}'
_CODE_3 = (
    b'{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 3",'
    b'"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}'
)


class EchoKubelet:
    """Prints the command to stdout and what it reads; `fail` as command ends with code 3.

    Args:
        token: the bearer token that it expects.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        app = web.Application()
        app.router.add_get("/exec/{namespace}/{pod}/{container}", self._exec)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def node(self, name: str) -> dict[str, Any]:
        """The node that this is the kubelet of."""
        addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
        endpoints = {"kubeletEndpoint": {"Port": self.port}}
        return {"metadata": {"name": name}, "status": {"addresses": addresses, "daemonEndpoints": endpoints}}

    def _check(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise web.HTTPUnauthorized(text="Unauthorized")

    async def _log(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.match_info["container"] == "none":
            return web.Response(status=404, text='container "none" not found')
        lines = [f"line {number}\n" for number in range(10)]
        return web.Response(text="".join(lines[-int(request.query.get("tailLines", 10)) :]))

    async def _exec(self, request: web.Request) -> web.WebSocketResponse:
        self._check(request)
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
        await socket.prepare(request)
        command = request.query.getall("command")
        if command == ["fail"]:
            await socket.send_bytes(bytes([STDERR]) + b"bad\n")
            await socket.send_bytes(bytes([ERROR]) + _CODE_3)
        else:
            await socket.send_bytes(bytes([STDOUT]) + " ".join(command).encode() + b"\n")
            if request.query.get("stdin") in ("true", "1"):
                typed = (await socket.receive()).data
                # kubectl sends binary messages, the Python client text.
                data = typed if isinstance(typed, bytes) else typed.encode()
                await socket.send_bytes(bytes([STDOUT]) + data[1:])
            await socket.send_bytes(bytes([ERROR]) + _SUCCESS)
        await socket.close()
        return socket
