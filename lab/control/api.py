"""The daemon's control API on loopback: status, faults, and applications of the tenant.

Plain JSON over HTTP on 127.0.0.1; a token that only the owner of the state folder can read keeps others out.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from aiohttp import web

from lab.control.faults import Fault, Faults

Status = Callable[[], Mapping[str, Any]]
AddApplication = Callable[[str], Mapping[str, str]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlServer:
    """Answers status and fault requests.

    Args:
        status: what the lab has just now, as JSON.
        faults: the faults that it adds to and clears.
        token: what a client must show.
        ports: candidates for the port.
        add_application: makes an application and returns its ids and its secret.
    """

    def __init__(
        self, status: Status, faults: Faults, token: str, ports: range, add_application: AddApplication
    ) -> None:
        self._status, self._faults, self._ports = status, faults, ports
        self._add_application = add_application
        self.token = token
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Begin to listen on the first free port."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/status", self._get_status),
                web.post("/applications", self._make_application),
                web.get("/faults", self._list_faults),
                web.post("/faults", self._add_fault),
                web.put("/switches/{name}", self._switch),
                web.delete("/faults", self._clear_faults),
                web.delete("/faults/{number}", self._clear_faults),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        self.url = await _listen(self._runner, self._ports)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), self.token.encode()):
            return web.json_response({"error": "not the owner of this lab"}, status=401)
        return await handler(request)

    async def _get_status(self, _request: web.Request) -> web.Response:
        return web.json_response({**self._status(), **self._present_faults()})

    async def _make_application(self, request: web.Request) -> web.Response:
        return web.json_response(self._add_application(str((await request.json())["name"])))

    def _present_faults(self) -> dict[str, Any]:
        return {
            "faults": {str(number): asdict(fault) for number, fault in self._faults.list().items()},
            "switches": sorted(self._faults.switches()),
        }

    async def _list_faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._present_faults())

    async def _add_fault(self, request: web.Request) -> web.Response:
        rule = await request.json()
        unknown = set(rule) - {field.name for field in fields(Fault)}
        if unknown:
            return web.json_response({"error": f"unknown: {', '.join(sorted(unknown))}"}, status=400)
        return web.json_response({"number": self._faults.add(Fault(**rule))})

    async def _switch(self, request: web.Request) -> web.Response:
        try:
            self._faults.switch(request.match_info["name"], bool((await request.json())["on"]))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self._present_faults())

    async def _clear_faults(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        self._faults.clear(int(number) if number else None)
        return web.json_response(self._present_faults())


async def _listen(runner: web.AppRunner, ports: range) -> str:
    for port in ports:
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
        except OSError:
            continue
        host, bound = runner.addresses[-1][:2]
        return f"http://{host}:{bound}"
    raise OSError(f"no port is free in {ports.start}-{ports.stop - 1}")
