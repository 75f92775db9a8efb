"""Who asks a vault, and whether they may: tokens, role assignments, access policies."""

from dataclasses import dataclass
from enum import Enum

from aiohttp import web

from lab.azure.access import Access
from lab.azure.audiences import VAULT_AUDIENCES
from lab.azure.errors import AzureError
from lab.azure.key_vault import bodies
from lab.azure.key_vault.vault import Vault
from lab.azure.tokens import TokenRejected, Tokens

_PREFIX = "Microsoft.KeyVault/vaults/secrets"
_REJECTED = {
    "missing": "AKV10000: Request is missing a Bearer or PoP token.",
    "audience": "AKV10022: Invalid audience. Expected https://vault.azure.net, found: {detail}.",
    "issuer": "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{tenant}/, found {detail}.",
    "expired": "[TokenExpired] Error validating token: IDX10223: Lifetime validation failed. The token is expired.",
    "signature": "[BearerReadAccessTokenFailed] Error validating token: IDX10511: Signature validation failed.",
    "malformed": "[BearerReadAccessTokenFailed] Error validating token: IDX12741: JWT must have three segments.",
    "principal": "Error validating token: the identity was deleted.",
}


class Right(Enum):
    """What may be done with secrets: the data action of RBAC and the permission of access policies."""

    GET = (f"{_PREFIX}/getSecret/action", "get")
    LIST = (f"{_PREFIX}/readMetadata/action", "list")
    SET = (f"{_PREFIX}/setSecret/action", "set")
    UPDATE = (f"{_PREFIX}/update/action", "set")
    DELETE = (f"{_PREFIX}/delete", "delete")
    READ_DELETED = (f"{_PREFIX}/readMetadata/action", "get")
    RECOVER = (f"{_PREFIX}/recover/action", "recover")
    BACKUP = (f"{_PREFIX}/backup/action", "backup")
    RESTORE = (f"{_PREFIX}/restore/action", "restore")
    PURGE = (f"{_PREFIX}/purge/action", "purge")


@dataclass(frozen=True)
class Guard:
    """Stands before every operation of a vault."""

    tokens: Tokens
    access: Access

    def verify(self, request: web.Request, vault: Vault, right: Right, secret: str = "") -> None:
        """Let the caller pass.

        Args:
            request: the request.
            vault: the vault that is asked.
            right: what the caller wants to do.
            secret: the secret that it concerns; empty for lists.

        Raises:
            AzureError: 401 with a challenge, or 403 ForbiddenByRbac or ForbiddenByPolicy.
        """
        try:
            caller = self.tokens.verify(request, VAULT_AUDIENCES)
        except TokenRejected as rejected:
            message = _REJECTED[rejected.reason].format(detail=rejected.detail, tenant=self.tokens.tenant_id)
            raise bodies.unauthorized(self.tokens.tenant_id, message) from None
        action, permission = right.value
        described = f"appid={caller.client_id};oid={caller.object_id};iss={self.tokens.issuer}"
        if not vault.rbac:
            self._verify_policy(vault, caller.object_id, permission, described)
            return
        resource = f"{vault.resource_id}/secrets/{secret}" if secret else vault.resource_id
        if not self.access.is_allowed(caller.object_id, action, resource, data=True):
            raise bodies.forbidden_by_rbac(vault, described, action, resource)

    def _verify_policy(self, vault: Vault, object_id: str, permission: str, described: str) -> None:
        if not vault.policies.get(object_id, frozenset()) & {permission, "all"}:
            raise bodies.forbidden_by_policy(vault, described, permission)


def vault_not_found(name: str) -> AzureError:
    """A vault that went away while its connection was open."""
    return AzureError(404, "VaultNotFound", f"The vault '{name}' was not found.")
