"""The application: every request is authenticated, authorised and led to the room that answers it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from lab.cluster.api.errors import ApiError, method_not_allowed, no_such_resource
from lab.cluster.api.kinds.kind import Kind, Registry
from lab.cluster.api.requests import RequestInfo, understand
from lab.cluster.api.routes.call import Call, failure
from lab.cluster.api.routes.documents import Documents, no_page
from lab.cluster.api.routes.resources import Resources
from lab.cluster.api.routes.reviews import Reviews
from lab.cluster.api.routes.subresources import Subresources
from lab.cluster.api.routes.watches import Watches
from lab.cluster.api.security.authentication import Authenticator, impersonated
from lab.cluster.api.security.rbac import Authorizer
from lab.cluster.api.security.users import ANONYMOUS, User

BODY_LIMIT_BYTES = 3 * 1024 * 1024
_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")

Handler = Callable[[Call, Kind], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Rooms:
    """Who answers what."""

    registry: Registry
    authenticator: Authenticator
    authorizer: Authorizer
    documents: Documents
    resources: Resources
    reviews: Reviews
    subresources: Subresources
    watches: Watches

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        try:
            return await self._dispatch(request)
        except ApiError as error:
            return failure(error)
        except web.HTTPRequestEntityTooLarge:
            limit = f"limit is {BODY_LIMIT_BYTES}"
            return failure(ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {limit}"))

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        info = understand(request.method, request.path, request.query)
        user = self._user(request)
        call = Call(request, info, user)
        if not info.is_resource:
            if user is not ANONYMOUS or not info.path.startswith(_OPEN_PATHS):
                self.authorizer.check(user, info)
            return await self.documents.answer(call)
        self.authorizer.check(user, info)
        if info.subresource:
            return await self.subresources.answer(call)
        kind = self.registry.find(info.group, info.version, info.resource)
        if kind is None:
            if self.documents.has_group(info.group, info.version):
                raise no_such_resource()
            return no_page()
        if not kind.stored:
            return await self.reviews.answer(call, kind)
        if info.verb not in kind.verbs or not _fits_address(info):
            raise method_not_allowed()
        if kind.deprecation:
            call.warnings.append(kind.deprecation)
        return await self._handler(info.verb)(call, kind)

    def _user(self, request: web.Request) -> User:
        user = self.authenticator.authenticate(request.headers.get("Authorization", ""))
        other = impersonated(request.headers, request.headers.getall("Impersonate-Group", []))
        if other is None:
            return user
        self.authorizer.check(user, RequestInfo("impersonate", request.path, True, resource="users", name=other.name))
        return other

    def _handler(self, verb: str) -> Handler:
        if verb == "watch":
            return self.watches.watch
        handler: Handler = getattr(self.resources, verb)
        return handler


def _fits_address(info: RequestInfo) -> bool:
    """Collections are posted to, objects are put and patched."""
    if info.verb == "create":
        return not info.name
    return bool(info.name) or info.verb not in ("update", "patch")
