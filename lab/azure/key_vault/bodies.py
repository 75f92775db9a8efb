"""What Key Vault answers: secrets, items of lists, deleted secrets and errors, as JSON."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from lab.azure.errors import AzureError
from lab.azure.json_answers import json_answer
from lab.azure.key_vault.vault import DeletedSecret, SecretVersion, Vault

FIRST_API_VERSION = "2016-10-01"


def secret(vault: Vault, version: SecretVersion, api_version: str, *, value: bool = False) -> dict[str, Any]:
    """One version, with its value when `value` is set."""
    body: dict[str, Any] = {"value": version.value} if value else {}
    # The first version of the API answers with an empty content type where the later ones leave it out.
    if version.content_type is not None or api_version == FIRST_API_VERSION:
        body["contentType"] = version.content_type or ""
    body["id"] = f"{vault.url}/secrets/{version.name}/{version.version}"
    return {**body, "attributes": _attributes(vault, version, api_version), "tags": dict(version.tags)}


def secret_item(vault: Vault, version: SecretVersion, api_version: str, *, of_versions: bool) -> dict[str, Any]:
    """An item of a list; the id names the version in a list of versions only."""
    body = secret(vault, version, api_version)
    return body if of_versions else {**body, "id": f"{vault.url}/secrets/{version.name}"}


def deleted_secret(vault: Vault, deleted: DeletedSecret, api_version: str, *, item: bool = False) -> dict[str, Any]:
    """A secret in soft delete."""
    newest = deleted.newest
    body = secret_item(vault, newest, api_version, of_versions=not item)
    return {
        "recoveryId": f"{vault.url}/deletedsecrets/{newest.name}",
        "deletedDate": int(deleted.deleted_at.timestamp()),
        "scheduledPurgeDate": int(deleted.purge_at.timestamp()),
        **body,
    }


def _attributes(vault: Vault, version: SecretVersion, api_version: str) -> dict[str, Any]:
    given = version.attributes
    body: dict[str, Any] = {"enabled": given.enabled}
    if given.not_before is not None:
        body["nbf"] = given.not_before
    if given.expires is not None:
        body["exp"] = given.expires
    body |= {"created": version.created, "updated": version.updated, "recoveryLevel": vault.recovery_level}
    return body if api_version == FIRST_API_VERSION else {**body, "recoverableDays": vault.retention_days}


def error(refusal: AzureError) -> web.Response:
    """An error in Key Vault's form."""
    body: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.inner:
        body["innererror"] = {"code": refusal.inner}
    return json_answer({"error": body}, status=refusal.status, headers=refusal.headers)


def unauthorized(tenant_id: str, message: str) -> AzureError:
    """The challenge that tells a client where to get a token, and for what."""
    challenge = (
        f'Bearer authorization="https://login.microsoftonline.com/{tenant_id}", resource="https://vault.azure.net"'
    )
    return AzureError(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge})


def forbidden_by_rbac(vault: Vault, caller: str, action: str, resource: str) -> AzureError:
    """The refusal of a vault whose access role assignments decide."""
    lines = (
        "Caller is not authorized to perform action on resource.",
        "If role assignments, deny assignments or role definitions were changed recently, please observe propagation "
        "time.",
        f"Caller: {caller}",
        f"Action: '{action}'",
        f"Resource: '{resource.lower()}'",
        "Assignment: (not found)",
        "DenyAssignmentId: null",
        "DecisionReason: null ",
        f"Vault: {vault.name};location={vault.location}",
        "",
    )
    return AzureError(403, "Forbidden", "\r\n".join(lines), inner="ForbiddenByRbac")


def forbidden_by_policy(vault: Vault, caller: str, permission: str) -> AzureError:
    """The refusal of a vault whose access its policies decide."""
    message = (
        f"The user, group or application '{caller}' does not have secrets {permission} permission on key vault "
        f"'{vault.name};location={vault.location}'. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125287"
    )
    return AzureError(403, "Forbidden", message, inner="ForbiddenByPolicy")


def page(items: list[dict[str, Any]], request: web.Request, vault: Vault) -> Mapping[str, Any]:
    """One page of a list: at most `maxresults` items (25), and where the next page is.

    Raises:
        AzureError: 400 for a maxresults or skip token that cannot be.
    """
    size, start = _number(request, "maxresults", 25), _number(request, "$skiptoken", 0)
    if not 1 <= size <= 25:
        raise AzureError(400, "BadParameter", f"Invalid maxresults: {size}. It must be between 1 and 25.")
    link = None
    if start + size < len(items):
        query = {**request.query, "$skiptoken": str(start + size), "maxresults": str(size)}
        link = f"{vault.url}{request.rel_url.with_query(query)}"
    return {"value": items[start : start + size], "nextLink": link}


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit():
        raise AzureError(400, "BadParameter", f"Invalid {name}.")
    return int(text)
