"""The kubelet's HTTP endpoint: exec and logs, asked by the API server alone."""

import hmac
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from aiohttp import web

from lab.cluster.node.containers import Container
from lab.cluster.node.exec import serve_exec
from lab.cluster.node.worker import PodWorker

Find = Callable[[str, str], PodWorker | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Kubelet:
    """Serves `/exec/NS/POD/CONTAINER` and `/containerLogs/NS/POD/CONTAINER`.

    Args:
        find: the worker of a pod.
        address: where to listen.
        token: bearer token that callers must show; empty for anybody.
        tls: to serve TLS.
    """

    def __init__(self, find: Find, address: str, token: str, tls: ssl.SSLContext | None) -> None:
        self._find, self._address, self._token, self._tls = find, address, token, tls
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen on a free port and return it."""
        app = web.Application(middlewares=[self._authenticate])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_route("*", "/exec/{namespace}/{pod}/{container}", self._exec)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, 0, ssl_context=self._tls)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Stop serving; streams are cut."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "")
        if self._token and not hmac.compare_digest(shown.encode(), f"Bearer {self._token}".encode()):
            return web.Response(status=401, text="Unauthorized")
        return await handler(request)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    def _container(self, request: web.Request) -> Container:
        namespace, pod, name = (request.match_info[part] for part in ("namespace", "pod", "container"))
        worker = self._find(namespace, pod)
        if worker is None:
            raise web.HTTPNotFound(text=f"pod does not exist: {pod}_{namespace}")
        container = worker.find(name)
        if container is None:
            raise web.HTTPNotFound(text=f"container {name} not found in pod {pod}_{namespace}")
        return container

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        container = self._container(request)
        if container.process is None:
            raise web.HTTPInternalServerError(text=f'container not found ("{container.state.name}")')
        return await serve_exec(request, container)

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        """Text, as `kubectl logs` prints it."""
        container, query = self._container(request), request.query
        log = container.previous_log if query.get("previous") in ("true", "1") else container.log
        if log is None:
            name = container.state.name
            previous = "previous terminated " if query.get("previous") in ("true", "1") else ""
            raise web.HTTPBadRequest(
                text=f'{previous}container "{name}" in pod "{request.match_info["pod"]}" not found'
            )
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        tail = query.get("tailLines")
        left = int(query["limitBytes"]) if "limitBytes" in query else None
        pieces = log.read(
            tail=int(tail) if tail is not None else None,
            follow=query.get("follow") in ("true", "1"),
            timestamps=query.get("timestamps") in ("true", "1"),
            since=_since(request),
        )
        async for piece in pieces:
            piece = piece if left is None else piece[:left]
            await response.write(piece)
            if left is not None and (left := left - len(piece)) <= 0:
                break
        return response


def _since(request: web.Request) -> datetime | None:
    if "sinceSeconds" in request.query:
        return datetime.now(UTC) - timedelta(seconds=int(request.query["sinceSeconds"]))
    if "sinceTime" in request.query:
        return datetime.fromisoformat(request.query["sinceTime"])
    return None
