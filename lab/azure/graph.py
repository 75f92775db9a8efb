"""Microsoft Graph, as far as `az ad sp show` and `az role assignment list --assignee` ask it: service principals.

https://learn.microsoft.com/graph/api/resources/serviceprincipal
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from lab.azure.audiences import GRAPH_AUDIENCES
from lab.azure.directory import Directory, Principal
from lab.azure.errors import AzureError
from lab.azure.json_answers import json_answer
from lab.azure.tokens import TokenRejected, Tokens

HOST = "graph.microsoft.com"
TYPE = "#microsoft.graph.servicePrincipal"
_FILTERS = (
    re.compile(r"servicePrincipalNames/any\(c:c eq '(?P<appId>[^']*)'\)"),
    re.compile(r"appId eq '(?P<appId>[^']*)'"),
    re.compile(r"id eq '(?P<id>[^']*)'"),
    re.compile(r"displayName eq '(?P<displayName>[^']*)'"),
)
Operation = Callable[[web.Request], Awaitable[web.Response]]


class Graph:
    """The directory's service principals. The operator is its reader; others have no permission of Graph's.

    Args:
        tokens: checks who asks.
        directory: the principals.
    """

    def __init__(self, tokens: Tokens, directory: Directory) -> None:
        self._tokens, self._directory = tokens, directory

    def app(self) -> web.Application:
        """The application for graph.microsoft.com."""
        app = web.Application()
        add = app.router.add_route
        add("GET", "/v1.0/servicePrincipals", self._operation(self._list))
        add("GET", "/v1.0/servicePrincipals/{id}", self._operation(self._get))
        add("POST", "/v1.0/directoryObjects/getByIds", self._operation(self._get_by_ids))
        add("*", "/{path:.*}", self._operation(_refuse))
        return app

    def _operation(self, operation: Operation) -> Operation:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._verify(request)
                return await operation(request)
            except AzureError as refusal:
                inner = {"request-id": str(uuid.uuid4())}
                body = {"code": refusal.code, "message": refusal.message, "innerError": inner}
                return json_answer({"error": body}, status=refusal.status)

        return handle

    def _verify(self, request: web.Request) -> None:
        try:
            caller = self._tokens.verify(request, GRAPH_AUDIENCES)
        except TokenRejected as rejected:
            text = f"Access token validation failure: {rejected.reason}."
            raise AzureError(401, "InvalidAuthenticationToken", text) from None
        if caller.object_id != self._directory.operator.object_id:
            text = "Insufficient privileges to complete the operation."
            raise AzureError(403, "Authorization_RequestDenied", text)

    async def _list(self, request: web.Request) -> web.Response:
        only = request.query.get("$filter", "")
        found = [_present(principal) for principal in self._directory.principals()]
        matched = [match.groupdict() for match in (form.fullmatch(only) for form in _FILTERS) if match]
        if only and not matched:
            raise AzureError(400, "Request_UnsupportedQuery", f"The lab does not know the filter {only}.")
        for name, value in matched[0].items() if matched else ():
            found = [shown for shown in found if shown[name].lower() == value.lower()]
        return json_answer({"value": found})

    async def _get(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"].lower()
        found = self._directory.by_object_id(wanted)
        if found is None:
            text = f"Resource '{wanted}' does not exist or one of its queried reference-property objects are not "
            raise AzureError(404, "Request_ResourceNotFound", text + "present.")
        return json_answer(_present(found))

    async def _get_by_ids(self, request: web.Request) -> web.Response:
        wanted = (await request.json()).get("ids") or []
        found = [principal for object_id in wanted if (principal := self._directory.by_object_id(object_id))]
        return json_answer({"value": [{"@odata.type": TYPE, **_present(principal)} for principal in found]})


async def _refuse(request: web.Request) -> web.Response:
    text = f"Resource not found for the segment '{request.path}': the lab's Graph has service principals only."
    raise AzureError(400, "BadRequest", text)


def _present(principal: Principal) -> dict[str, Any]:
    is_application = principal.kind == "application"
    return {
        "id": principal.object_id,
        "appId": principal.client_id,
        "displayName": principal.name,
        "accountEnabled": True,
        "servicePrincipalType": "Application" if is_application else "ManagedIdentity",
        "servicePrincipalNames": [principal.client_id],
        "alternativeNames": [] if is_application else [principal.resource_id],
    }
