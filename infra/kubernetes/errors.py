"""What the API server and the transport answer, in the terms of infra.errors.

Nothing outside this package sees an exception of the Kubernetes client, and only this module looks into one.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from infra.errors import (
    AccessDenied,
    AuthenticationFailed,
    Code,
    Conflict,
    InvalidInput,
    KeyturnError,
    NotFound,
    ServiceFailed,
)

_MESSAGE_LIMIT = 600

_NOBODY = 'User "system:anonymous"'
"""Whom the API server takes a request without a credential for; it answers 403."""

_UNTYPED = "failed to create typed patch object"
"""The API server answers 500 with this when an applied document has an unknown field."""

DENIED = "The cluster does not allow this"
"""What an AccessDenied of a cluster says that failed, and no other one."""

_BY_STATUS: dict[int, tuple[type[KeyturnError], str, str]] = {
    400: (InvalidInput, "The cluster rejects the request", "Correct the field that the message names"),
    401: (
        AuthenticationFailed,
        "The cluster does not recognise the caller: the sign-in failed",
        "A kubeconfig's token or certificate has probably expired: get a new one, or unset KEYTURN_KUBECONFIG to have "
        "AKS issue one for each run. A token of Entra ID must be of the cluster's tenant",
    ),
    403: (
        AccessDenied,
        DENIED,
        "Give the caller a role that allows the verb on the resource that the message names",
    ),
    404: (NotFound, "The cluster has no such object", "Check the name and the namespace, or run the flow deploy"),
    409: (Conflict, "Somebody else changed or created the object", "Run again; if it repeats, see who writes it"),
    410: (Conflict, "The requested version has expired", "List again"),
    422: (InvalidInput, "The cluster finds the object invalid", "Correct the field that the message names"),
}


class Expired(Exception):
    """A watch cannot resume from its version: list again. Never leaves this package."""


class Unreachable(ServiceFailed):
    """No answer from the API server: refused, timed out, cut off, or its certificate is not trusted."""


def make_error(status: int, body: bytes | str, name: str) -> KeyturnError:
    """Make the error for an answer of the API server.

    Args:
        status: the HTTP status.
        body: the body; usually a `Status` object, anything else is shortened.
        name: what the request was about.
    """
    message, reason = _parse_status(body)
    if _UNTYPED in message:
        status = 422
    if status == 403 and _NOBODY in message:
        return AuthenticationFailed(Code.ANONYMOUS, name=name, seen=message)
    kind, what, fix = _BY_STATUS.get(
        status, (ServiceFailed, "The cluster's API server failed", "See the API server's log, then run again")
    )
    return kind(what, name=name, seen=message, fix=fix, code=reason or str(status))


def _parse_status(body: bytes | str) -> tuple[str, str]:
    """Return message and reason of a `Status` object, shortened."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        status: Any = json.loads(text)
    except ValueError:
        status = {"message": text}
    if not isinstance(status, dict):
        return "", ""
    message = re.sub(r"\s+", " ", str(status.get("message") or "")).strip()
    return message[:_MESSAGE_LIMIT], str(status.get("reason") or "")


@contextmanager
def translated(name: str, server: str = "") -> Iterator[None]:
    """Turn the client library's errors into ours, `from None`: theirs may carry headers and bodies.

    Args:
        name: what the request is about.
        server: the API server, named when it cannot be reached.

    Raises:
        KeyturnError: the translation of whatever the client library raised.
    """
    try:
        yield
    except ApiException as error:
        if error.status:
            raise make_error(int(error.status), error.body or str(error.reason or ""), name) from None
        raise Unreachable(Code.UNREACHABLE, name=server or name, seen=str(error.reason or "")) from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(Code.UNREACHABLE, name=server or name, seen=_describe_reason(error)) from None


def _describe_reason(error: BaseException) -> str:
    """Name the innermost reason of a transport error without its object addresses."""
    reason = getattr(error, "reason", None) or error
    return re.sub(r"<[^>]* at 0x[0-9a-f]+>:?\s*", "", f"{type(reason).__name__}: {reason}")[:_MESSAGE_LIMIT]
