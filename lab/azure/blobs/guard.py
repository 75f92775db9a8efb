"""Who asks for blobs, and whether they may. Bearer tokens alone: no account keys, no signatures, no public access."""

from dataclasses import dataclass
from enum import Enum

from aiohttp import web

from lab.azure.access import Access
from lab.azure.audiences import storage_audiences
from lab.azure.blobs.store import Account
from lab.azure.errors import AzureError
from lab.azure.tokens import TokenRejected, Tokens

FIRST_VERSION_WITH_TOKENS = "2017-11-09"
_CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"


class Right(Enum):
    """What may be done: the action, and whether it is a data action."""

    LIST_CONTAINERS = (f"{_CONTAINERS}/read", False)
    READ_CONTAINER = (f"{_CONTAINERS}/read", False)
    CREATE_CONTAINER = (f"{_CONTAINERS}/write", False)
    DELETE_CONTAINER = (f"{_CONTAINERS}/delete", False)
    LIST_BLOBS = (f"{_CONTAINERS}/blobs/read", True)
    READ_BLOB = (f"{_CONTAINERS}/blobs/read", True)
    WRITE_BLOB = (f"{_CONTAINERS}/blobs/write", True)
    DELETE_BLOB = (f"{_CONTAINERS}/blobs/delete", True)


@dataclass(frozen=True)
class Guard:
    """Stands before every operation of an account."""

    tokens: Tokens
    access: Access

    def verify(self, request: web.Request, account: Account, right: Right, container: str = "") -> None:
        """Let the caller pass.

        Raises:
            AzureError: 401 with a challenge; 403 for a version of the API without tokens; 403
                AuthorizationPermissionMismatch.
        """
        if "Authorization" in request.headers and request.headers.get("x-ms-version", "") < FIRST_VERSION_WITH_TOKENS:
            raise AzureError(
                403,
                "AuthenticationFailed",
                "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
                "correctly including the signature. Authentication scheme Bearer is not supported in this version.",
            )
        try:
            caller = self.tokens.verify(request, storage_audiences(account.name))
        except TokenRejected as rejected:
            raise self._unauthorized(rejected) from None
        action, data = right.value
        scope = account.scope_of(container) if container else account.resource_id
        if not self.access.is_allowed(caller.object_id, action, scope, data=data):
            raise AzureError(
                403,
                "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.",
            )

    def _unauthorized(self, rejected: TokenRejected) -> AzureError:
        code, message = "InvalidAuthenticationInfo", "Server failed to authenticate the request. Please refer to the "
        message += "information in the www-authenticate header."
        if rejected.reason == "missing":
            code = "NoAuthenticationInformation"
        authorize = f"https://login.microsoftonline.com/{self.tokens.tenant_id}/oauth2/authorize"
        challenge = f"Bearer authorization_uri={authorize} resource_id=https://storage.azure.com"
        return AzureError(401, code, message, headers={"WWW-Authenticate": challenge})
