"""Translates the errors of the Azure SDKs into the product's own, at the border of infra.azure.

A message has Azure's code and the first line of its text, never the body of a request or an answer: a body may hold
a secret's value.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)

from infra.errors import (
    MISSING_ROLE,
    AccessDenied,
    AuthenticationFailed,
    Code,
    Conflict,
    InvalidInput,
    KeyturnError,
    NotFound,
    NotYetPropagated,
    SecretUnusable,
    ServiceFailed,
)

SEEN_LIMIT = 300
UNRESOLVED = re.compile(
    r"failed to resolve|name resolution|getaddrinfo|name or service not known|tunnel connection", re.I
)
FIXES = {
    Code.HOST_NOT_FOUND.value: Code.HOST_NOT_FOUND.fix,
    "ObjectIsDeletedButRecoverable": "Recover the deleted one or purge it",
    "ConflictError": "Recover the deleted one, purge it, or choose another name",
    Code.OBJECT_IS_BEING_DELETED.value: Code.OBJECT_IS_BEING_DELETED.fix,
    "MissingSubscriptionRegistration": "Register the resource provider that is named: az provider register --namespace",
    "VaultAlreadyExists": "Choose another name: a vault's name is unique in all of Azure",
    "StorageAccountAlreadyTaken": "Choose another name: a storage account's name is unique in all of Azure",
    "ServerNameAlreadyExists": "Choose another name: a server's name is unique in all of Azure",
}

DENIALS = (
    Code.ADDRESS_REFUSED,
    Code.DENY_ASSIGNMENT,
    Code.FORBIDDEN_BY_CONNECTION,
    Code.FORBIDDEN_BY_FIREWALL,
    Code.FORBIDDEN_BY_POLICY,
    Code.REQUEST_DISALLOWED_BY_POLICY,
)
"""What else than a missing role is answered by 403."""
UNUSABLE = (Code.SECRET_DISABLED, Code.SECRET_EXPIRED, Code.SECRET_NOT_YET_VALID)
"""What Key Vault answers by 403 when the secret itself is the cause."""
AZURE_POLICY = re.compile(r"disallowed by (azure )?policy|policyAssignment|policyDefinition", re.I)
"""What every denial by Azure Policy says. In Key Vault its code may be the one of a missing access policy."""


@contextmanager
def translated(
    what: str, *, name: str, role: str = "", scope: str = "", propagating: Collection[str] = ()
) -> Iterator[None]:
    """Translate SDK errors in a block: each becomes one of infra.errors, without its cause.

    Args:
        what: what is being done, as the error will say that it failed: "Cannot read the secret".
        name: the resource it is done to.
        role: the role that allows it, for the fix when it is denied.
        scope: the scope that the role is needed on.
        propagating: codes that, for this call, mean that something new is not effective yet.

    Raises:
        KeyturnError: the translation.
    """
    try:
        yield
    except AzureError as error:
        raise translate(error, what, name=name, role=role, scope=scope, propagating=propagating) from None


def translate(
    error: AzureError, what: str, *, name: str, role: str = "", scope: str = "", propagating: Collection[str] = ()
) -> KeyturnError:
    """Return the product's error for an SDK's; see `translated` for the arguments."""
    kind: type[KeyturnError]
    code, seen = get_code(error), get_text(error)
    status = getattr(error, "status_code", None)
    if code in propagating:
        kind, fix = NotYetPropagated, "Wait: it takes effect within minutes"
    elif code.startswith("AADSTS") or isinstance(error, ClientAuthenticationError):
        kind, fix = AuthenticationFailed, _authentication_fix(code)
    elif status == 403:
        kind, code, fix = explain_403(code, seen, role, scope)
    else:
        kind, fix = _by_status(error, status), FIXES.get(code, "")
    return kind(what, name=name, seen=seen, fix=fix, code=code)


def explain_403(code: str, text: str, role: str = "", scope: str = "") -> tuple[type[KeyturnError], str, str]:
    """Return the error's class, its code and its fix for what Azure answered by 403.

    Args:
        code: Azure's most specific code.
        text: what it said.
        role: the role that allows what was asked for.
        scope: the scope that the role is needed on.
    """
    if AZURE_POLICY.search(text):
        code = Code.REQUEST_DISALLOWED_BY_POLICY.value
    known = next((member for member in (*UNUSABLE, *DENIALS) if member == code), None)
    if known is not None:
        return SecretUnusable if known in UNUSABLE else AccessDenied, known.value, known.fix
    if code in MISSING_ROLE:
        return AccessDenied, code, _access_fix(role, scope)
    return AccessDenied, code, f"See what Azure says. If a right is missing: {_access_fix(role, scope)}"


def get_code(error: AzureError) -> str:
    """Return the most specific code that an error carries: inner error, header, AADSTS number; else its status."""
    if found := re.search(r"AADSTS\d+", str(error)):
        return found.group()
    if isinstance(error, ServiceRequestError) and UNRESOLVED.search(str(error)):
        return Code.HOST_NOT_FOUND.value
    if not isinstance(error, HttpResponseError):
        return type(error).__name__
    inner = getattr(error.error, "innererror", None) or {}
    candidates = (inner.get("code"), getattr(error, "error_code", None), getattr(error.error, "code", None))
    return next((str(getattr(code, "value", code)) for code in candidates if code), str(error.status_code or ""))


def get_text(error: AzureError) -> str:
    """Return the first line of what Azure said, at most 300 characters."""
    said = getattr(getattr(error, "error", None), "message", None) or error.message or type(error).__name__
    return str(said).strip().splitlines()[0][:SEEN_LIMIT] if str(said).strip() else type(error).__name__


def _by_status(error: AzureError, status: int | None) -> type[KeyturnError]:
    if get_code(error) == Code.HOST_NOT_FOUND:
        return NotFound
    return {400: InvalidInput, 401: AuthenticationFailed, 404: NotFound, 409: Conflict}.get(status or 0, ServiceFailed)


def _access_fix(role: str, scope: str) -> str:
    if not role:
        return "Give the caller a role that allows it, usually Contributor on the resource group"
    return f"Assign the role {role}" + (f" on {scope}" if scope else "") + "; a new assignment takes some minutes"


def _authentication_fix(code: str) -> str:
    if code in ("AADSTS7000215", "AADSTS7000222"):
        return "Check AZURE_CLIENT_SECRET: it is wrong or expired"
    if code == "AADSTS700016":
        return "Check AZURE_CLIENT_ID and AZURE_TENANT_ID: the tenant does not know this client"
    if code.startswith("AADSTS7002"):
        return "Compare issuer, subject and audience of the federated credential with the token's"
    return "Provide a credential that DefaultAzureCredential finds: AZURE_* variables, a managed identity or `az login`"
