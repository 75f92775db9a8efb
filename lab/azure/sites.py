"""The one HTTP server behind all proxies: which application answers for which host, and what is logged of it."""

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.typedefs import Handler

from lab.azure.requests import Requests
from lab.azure.routes import IMDS_HOST
from lab.control.faults import Faults

MAX_BODY_BYTES = 64 * 2**20 + 1
_HTTPS_DOMAINS = (".microsoftonline.com", ".microsoft.com", ".azure.com", ".azure.net", ".windows.net")


class AccessLog(AbstractAccessLogger):
    """Logs method, host, path and status, and nothing else: queries, headers and bodies may hold secrets."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Log one request."""
        line = "%s %s%s -> %d (%.0f ms)"
        self.logger.info(line, request.method, request.host, request.rel_url.raw_path, response.status, time * 1000)


@web.middleware
async def keep_apart(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep tokens off plain HTTP, and IMDS on it."""
    host = request.url.host or ""
    encrypted = request.transport is not None and request.transport.get_extra_info("sslcontext") is not None
    if encrypted and host == IMDS_HOST:
        return web.Response(status=403, text=f"Host {host} answers to plain http only.\n")
    if not encrypted and host.endswith(_HTTPS_DOMAINS):
        return web.Response(status=403, text=f"Host {host} answers to https only.\n")
    return await handler(request)


def create_runner(applications: dict[str, web.Application], faults: Faults, requests: Requests) -> web.AppRunner:
    """The server for `applications`: host, or `*.` and domain, or `*` to application; the first that fits answers."""
    middlewares = [requests.middleware, faults.middleware, keep_apart]
    root = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=middlewares)
    for host, application in applications.items():
        root.add_domain(host, application)
    logger = logging.getLogger("lab.azure.access")
    return web.AppRunner(
        root, access_log_class=AccessLog, access_log=logger, handle_signals=False, shutdown_timeout=1.0
    )
