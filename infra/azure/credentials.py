"""Who the product is to Azure: the credential, the clients made with it, and the caller that its token names."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from azure.core.credentials import TokenCredential
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential

from infra.azure.errors import translated
from infra.errors import InvalidInput
from infra.settings import Settings

ARM_SCOPE = "https://management.azure.com/.default"
POLL_SECONDS = 5
"""Between two looks at a long-running operation, where Azure does not say how long."""


class Closing(Protocol):
    """What every client and credential of the SDKs can do."""

    def close(self) -> None:
        """Release sockets."""


C = TypeVar("C", bound=Closing)


@dataclass
class _Shared:
    """What the calls of a block share.

    Args:
        owner: the credential.
        connections: the kept connections by thread, since a session of requests belongs to one.
    """

    owner: TokenCredential
    connections: dict[int, RequestsTransport] = field(default_factory=dict)

    def transport(self, settings: Settings) -> RequestsTransport:
        """Return a transport that closes with its client and leaves its connections to the next one."""
        kept = self.connections.setdefault(threading.get_ident(), RequestsTransport(**timeouts(settings)))
        kept.open()
        return RequestsTransport(session=kept.session, session_owner=False, **timeouts(settings))

    def close(self) -> None:
        """Close all connections."""
        for kept in self.connections.values():
            kept.close()


_shared: ContextVar[_Shared | None] = ContextVar("shared credential", default=None)
"""What the enclosing `signed_in` opened; each task has its own context."""


@dataclass(frozen=True)
class Caller:
    """Whom an access token names.

    Args:
        tenant_id: the tenant that issued it.
        object_id: the principal's object id, which role assignments are made to.
        kind: "User" or "ServicePrincipal", as role assignments call it.
    """

    tenant_id: str
    object_id: str
    kind: str


def credential(settings: Settings) -> DefaultAzureCredential:
    """Return the credential that the environment gives, never one that opens a window.

    See https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential
    """
    return DefaultAzureCredential(
        exclude_interactive_browser_credential=True,
        exclude_broker_credential=True,
        exclude_visual_studio_code_credential=True,
        **timeouts(settings),
    )


def timeouts(settings: Settings) -> dict[str, Any]:
    """Return the bounds on connecting and reading that every client of the SDKs takes."""
    return {
        "connection_timeout": settings.connect_timeout_seconds,
        "read_timeout": settings.request_timeout_seconds,
    }


def connection(settings: Settings) -> dict[str, Any]:
    """Return what a client inside `signed_in` is made with: the bounds, and the connections of those before it."""
    shared = _shared.get()
    return timeouts(settings) | ({"transport": shared.transport(settings)} if shared else {})


@contextmanager
def signed_in(settings: Settings) -> Iterator[TokenCredential]:
    """Open the credential for a block of calls: those within share it, and so its tokens, and their connections.

    A token costs several requests; without a block around them, each call gets its own.
    """
    if (shared := _shared.get()) is not None:
        yield shared.owner
        return
    with credential(settings) as owner:
        shared = _Shared(owner)
        mark = _shared.set(shared)
        try:
            yield owner
        finally:
            _shared.reset(mark)
            shared.close()


@contextmanager
def managed(kind: Callable[..., C], settings: Settings) -> Iterator[C]:
    """Open a management client of `kind` and close it with its credential.

    Args:
        kind: the client's class.
        settings: subscription and timeouts.

    Raises:
        InvalidInput: no subscription is set.
    """
    if not settings.subscription_id:
        raise InvalidInput(
            "No subscription is given",
            name="AZURE_SUBSCRIPTION_ID",
            fix="set AZURE_SUBSCRIPTION_ID or KEYTURN_SUBSCRIPTION_ID where the flow runs",
        )
    with signed_in(settings) as owner:
        client = kind(owner, settings.subscription_id, polling_interval=POLL_SECONDS, **connection(settings))
        try:
            yield client
        finally:
            client.close()


def get_caller(settings: Settings) -> Caller:
    """Return whom the credential's own ARM token names: object id and tenant are looked up, never typed.

    Raises:
        AuthenticationFailed: no credential, or Entra ID refuses it.
    """
    with signed_in(settings) as owner, translated("Cannot get a token", name=ARM_SCOPE):
        claims = _read_claims(owner)
    return Caller(
        tenant_id=str(claims.get("tid", "")),
        object_id=str(claims.get("oid", "")),
        kind="User" if claims.get("idtyp", "user" if "scp" in claims else "app") == "user" else "ServicePrincipal",
    )


def _read_claims(owner: TokenCredential) -> dict[str, Any]:
    """Read a token's claims without checking its signature: it is ours, straight from Entra ID."""
    payload = owner.get_token(ARM_SCOPE).token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
