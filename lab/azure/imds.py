"""The instance metadata service: tokens for managed identities, given to whoever asks from the right machine.

https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from collections.abc import Callable, Mapping

from aiohttp import web

from lab.azure.aadsts import SignInRefused, unknown_resource
from lab.azure.audiences import is_resource
from lab.azure.backends import Origin
from lab.azure.directory import Directory, Principal
from lab.azure.json_answers import json_answer
from lab.azure.tokens import Tokens

TOKEN_PATH = "/metadata/identity/oauth2/token"  # noqa: S105
_IDENTITY_KEYS = ("client_id", "object_id", "principal_id", "msi_res_id", "mi_res_id")
_NOT_FOUND = "Identity not found"
_SEVERAL = (
    "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the "
    "token request"
)


class Imds:
    """The service at 169.254.169.254.

    Args:
        tokens: makes the access tokens.
        directory: the identities of machines.
        origin_of: tells which machine a request comes from.
    """

    def __init__(self, tokens: Tokens, directory: Directory, origin_of: Callable[[web.Request], Origin]) -> None:
        self._tokens, self._directory, self._origin_of = tokens, directory, origin_of

    def app(self) -> web.Application:
        """The application for 169.254.169.254, plain HTTP."""
        app = web.Application()
        app.router.add_get(TOKEN_PATH, self._token)
        return app

    async def _token(self, request: web.Request) -> web.Response:
        origin = self._origin_of(request)
        if origin.kind == "operator":
            # The text is what azure-identity takes for "not on a machine of Azure".
            return web.Response(status=403, text="IMDS is unreachable: this is not a virtual machine of Azure.\n")
        if request.headers.get("Metadata", "").lower() != "true":
            return _refuse("invalid_request", "Required metadata header not specified")
        query = request.query
        for name in ("api-version", "resource"):
            if not query.get(name):
                return _refuse("invalid_request", f"Required query variable '{name}' is missing")
        identity = self._find_identity(origin, query)
        if isinstance(identity, str):
            return _refuse("invalid_request", identity)
        try:
            return self._answer(identity, query["resource"])
        except SignInRefused as refusal:
            return _refuse(refusal.error, str(refusal))

    def _find_identity(self, origin: Origin, query: Mapping[str, str]) -> Principal | str:
        """The identity that is asked for, or why there is none."""
        system = self._directory.by_resource_id(origin.resource_id)
        users = self._directory.attached(origin.resource_id) if origin.resource_id else []
        if wanted := [key for key in _IDENTITY_KEYS if query.get(key)]:
            known = [*([system] if system else []), *users]
            return next((p for p in known if _is_named(p, wanted[0], query[wanted[0]])), _NOT_FOUND)
        if system:
            return system
        if len(users) > 1:
            return _SEVERAL
        return users[0] if users else _NOT_FOUND

    def _answer(self, identity: Principal, resource: str) -> web.Response:
        if not is_resource(resource):
            raise unknown_resource(resource, self._tokens.tenant_id)
        issued, seconds = self._tokens.issued_at(), int(self._tokens.lifetime.total_seconds())
        body = {
            "access_token": self._tokens.issue(identity, resource),
            "client_id": identity.client_id,
            "expires_in": str(seconds),
            "expires_on": str(issued + seconds),
            "ext_expires_in": str(seconds),
            "not_before": str(issued),
            "resource": resource,
            "token_type": "Bearer",
        }
        return json_answer(body)


def _is_named(principal: Principal, key: str, value: str) -> bool:
    if key == "client_id":
        return principal.client_id == value.lower()
    if key in ("object_id", "principal_id"):
        return principal.object_id == value.lower()
    return principal.resource_id.lower() == value.lower()


def _refuse(error: str, description: str) -> web.Response:
    return json_answer({"error": error, "error_description": description}, status=400)
