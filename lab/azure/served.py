"""What the local Azure serves: the name of every operation, and which one a request is about.

Each service's application says which operations it has. Where that is told by more than the path, it also says how to
name a request.
"""

from collections.abc import Callable

from aiohttp import web

SERVICE = web.AppKey("SERVICE", str)
OPERATIONS = web.AppKey("OPERATIONS", list[str])
NAME_OF: "web.AppKey[Callable[[web.Request], str]]" = web.AppKey("NAME_OF")
CATCH_ALL = "*"


def operations_of(app: web.Application) -> list[str]:
    """The operations of a service, as "GET /secrets/{name}"."""
    if OPERATIONS in app:
        told = app[OPERATIONS]
        return sorted(told)
    routes = [route for route in app.router.routes() if route.resource and route.method != CATCH_ALL]
    return sorted(
        {f"{route.method} {route.resource.canonical}" for route in routes if route.resource and route.method != "HEAD"}
    )


def describe(request: web.Request) -> tuple[str, str]:
    """The service and the operation of a request; either is empty when there is none."""
    app, resource = request.match_info.apps[-1], request.match_info.route.resource
    if NAME_OF in app:
        return app.get(SERVICE, ""), app[NAME_OF](request)
    is_served = resource is not None and request.match_info.route.method != CATCH_ALL
    operation = f"{request.method} {resource.canonical}" if is_served and resource else ""
    return app.get(SERVICE, ""), operation
