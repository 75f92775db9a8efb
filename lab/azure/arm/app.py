"""ARM's front door: who asks, for what, and may they.

https://learn.microsoft.com/azure/azure-resource-manager/management/overview
"""

import json
import uuid
from typing import Any

from aiohttp import web

from lab.azure.arm import errors
from lab.azure.arm.api_versions import check_api_version
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path, parse
from lab.azure.arm.operations import Operation, Reply
from lab.azure.arm.routing import OPERATION_SEGMENTS, Routing
from lab.azure.audiences import ARM_AUDIENCES
from lab.azure.directory import Principal
from lab.azure.errors import AzureError
from lab.azure.tokens import TokenRejected, Tokens
from lab.control.options import SUBSCRIPTION_ID


class FrontDoor:
    """Answers all requests to management.azure.com.

    Args:
        context: the lab's parts.
        tokens: checks who asks.
        routing: finds who answers.
    """

    def __init__(self, context: Context, tokens: Tokens, routing: Routing) -> None:
        self._context, self._tokens, self._routing = context, tokens, routing

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request; refusals are put into ARM's form."""
        try:
            caller = self._tokens.verify(request, ARM_AUDIENCES)
            reply = await self._answer(request, caller)
        except TokenRejected as rejected:
            reply = _unauthorized(rejected, self._tokens.tenant_id)
        except AzureError as error:
            reply = Reply(error.status, {"error": errors.detail(error)}, error.headers)
        return _respond(request, reply)

    async def _answer(self, request: web.Request, caller: Principal) -> Reply:
        path, query = parse(request.rel_url.raw_path), {name.lower(): item for name, item in request.query.items()}
        if "api-version" not in query:
            text = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", text)
        check_api_version(path, query["api-version"], request.method)
        if path.subscription and path.subscription.lower() != SUBSCRIPTION_ID:
            text = f"The subscription '{path.subscription}' could not be found."
            raise ArmError(404, "SubscriptionNotFound", text)
        if path.last.lower() in OPERATION_SEGMENTS and not path.is_collection:
            wants_result = "monitor" in query or path.last.lower() == "operationresults"
            return self._follow(path, wants_result, request, caller)
        call = Call(request.method, path, query, await _read(request), caller, f"https://{request.host}")
        route = self._routing.find(call)
        if route.action and not self._context.access.is_allowed(caller.object_id, route.action, route.scope):
            raise errors.not_authorized(caller.client_id, caller.object_id, route.action, route.scope)
        if path.namespace and request.method != "GET" and path.last.lower() != "register":
            self._context.registrations.require(path.namespace)
        return await route.handler(call)

    def _follow(self, path: Path, wants_result: bool, request: web.Request, caller: Principal) -> Reply:
        operations = self._context.operations
        operation = operations.find(path.name)
        if operation is None:
            raise ArmError(404, "NotFound", f"The entity was not found: no operation has the id {path.name}.")
        self._check_follower(path, operation, caller)
        headers = {} if operation.is_done else operations.retry_header
        if not wants_result:
            return Reply(200, operation.describe(), headers)
        if not operation.is_done:
            return Reply(202, None, {"Location": f"https://{request.host}{request.rel_url}", **headers})
        if operation.error:
            raise operation.error
        return operation.reply()

    def _check_follower(self, path: Path, operation: Operation, caller: Principal) -> None:
        """Whoever began an operation may follow it: its URL is signed for them. Others need the right to read it."""
        scope, kind = f"/subscriptions/{path.subscription}", "/".join(path.types)
        action = f"{path.namespace}/{kind}/read" if path.namespace else f"Microsoft.Resources/{kind}/read"
        if operation.caller_id == caller.object_id:
            return
        if not self._context.access.is_allowed(caller.object_id, action, scope):
            raise errors.not_authorized(caller.client_id, caller.object_id, action, scope)


async def _read(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        # What it was is not repeated: it may hold a password.
        text = "The request content was invalid and could not be deserialized: it is not a JSON object."
        raise ArmError(400, "InvalidRequestContent", text)
    return body


def _unauthorized(rejected: TokenRejected, tenant_id: str) -> Reply:
    codes = {
        "missing": ("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."),
        "expired": ("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."),
        "audience": (
            "InvalidAuthenticationTokenAudience",
            f"The access token has been obtained for wrong audience or resource '{rejected.detail}'. It should exactly "
            f"match with one of the allowed audiences '{','.join(ARM_AUDIENCES)}'.",
        ),
        "issuer": (
            "InvalidAuthenticationTokenTenant",
            f"The access token is from the wrong issuer '{rejected.detail}'. It must match one of the tenants "
            f"'https://sts.windows.net/{tenant_id}/' associated with this subscription.",
        ),
    }
    code, message = codes.get(rejected.reason, ("InvalidAuthenticationToken", "The access token is invalid."))
    challenge = f'Bearer authorization_uri="https://login.microsoftonline.com/{tenant_id}", error="invalid_token", '
    challenge += f'error_description="{message}"'
    return Reply(401, {"error": {"code": code, "message": message}}, {"WWW-Authenticate": challenge})


def _respond(request: web.Request, reply: Reply) -> web.Response:
    request_id = str(uuid.uuid4())
    headers = {"x-ms-request-id": request_id, "x-ms-correlation-request-id": request_id, "Cache-Control": "no-cache"}
    headers |= reply.headers
    if client_id := request.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client_id
    if reply.body is None or request.method == "HEAD":
        return web.Response(status=reply.status, headers=headers)
    return web.json_response(reply.body, status=reply.status, headers=headers)
