"""Plain HTTP through the proxy to anything but IMDS: forwarded into the lab's network, or refused by name."""

from collections.abc import Mapping

from aiohttp import ClientConnectionError, ClientSession, ClientTimeout, web
from multidict import CIMultiDict

from lab.azure.gateway import Gateway
from lab.azure.routes import Address, Refusal

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SESSION = web.AppKey("session", ClientSession)


def create_app(gateway: Gateway) -> web.Application:
    """The application for all hosts that are none of the lab's services."""
    app = web.Application(client_max_size=0)

    async def session(app: web.Application):  # type: ignore[no-untyped-def]
        app[_SESSION] = ClientSession(auto_decompress=False, timeout=ClientTimeout(total=None, sock_connect=5))
        yield
        await app[_SESSION].close()

    async def handle(request: web.Request) -> web.StreamResponse:
        host, port = request.url.host or "", request.url.port or 80
        route = gateway.routes.find(gateway.origin_of(request), host, port)
        if isinstance(route, Address):
            return await _forward(request, route)
        reason = route.reason if isinstance(route, Refusal) else f"Host {host} answers to https only"
        return web.Response(status=route.status if isinstance(route, Refusal) else 403, text=f"{reason}.\n")

    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


async def _forward(request: web.Request, address: Address) -> web.StreamResponse:
    url = request.url.with_scheme("http").with_host(address.host).with_port(address.port)
    headers = _end_to_end(request.headers)
    body = request.content if request.body_exists else None
    try:
        async with request.app[_SESSION].request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(
                status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers)
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
    except ClientConnectionError:
        return web.Response(status=502, text=f"No connection to {address.host}:{address.port}.\n")


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
