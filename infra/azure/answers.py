"""Answers of Azure's services as `curl` printed them on a machine or in a pod. Pure.

An error body becomes the product's error, as infra.azure.errors does for the SDKs. A body that is not an error is the
caller's, and is never repeated in an error.
"""

import json
import re
from typing import Any
from xml.etree import ElementTree

from infra.azure.errors import UNUSABLE, explain_403
from infra.errors import (
    AuthenticationFailed,
    Code,
    KeyturnError,
    NotFound,
    ServiceFailed,
    Unverified,
)


def read_secret_answer(body: str, name: str) -> str:
    """Return the value in Key Vault's answer to GET secret.

    Args:
        body: what was printed; empty if nothing answered.
        name: VAULT/SECRET, for the error.

    Raises:
        KeyturnError: what the vault refused.
    """
    answer = _read_json(body)
    if answer is None:
        raise NotFound(Code.NO_ANSWER, name=name)
    if "value" in answer:
        return str(answer["value"])
    error = answer.get("error") or {}
    code = str((error.get("innererror") or {}).get("code") or error.get("code") or "")
    raise make_error("The machine cannot read the secret", name, code, str(error.get("message") or ""))


def read_blob_answer(body: str, name: str) -> str:
    """Return a blob's text, or raise what the storage account's error body says.

    Args:
        body: what was printed; empty if nothing answered.
        name: ACCOUNT/CONTAINER/BLOB, for the error.

    Raises:
        KeyturnError: what the account refused.
    """
    if not body:
        raise NotFound(Code.NO_ANSWER, name=name)
    code, message = _read_xml_error(body)
    if code:
        raise make_error("The machine cannot read the blob", name, code, message)
    return body


def read_pod_answer(body: str, status: int, name: str) -> str:
    """Return a blob's text as the pod that serves it answered, or raise what it says.

    Args:
        body: the answer's body.
        status: its HTTP status; 0 if nothing answered.
        name: ACCOUNT/CONTAINER/BLOB, for the error.

    Raises:
        KeyturnError: what the pod, Entra ID or the account refused.
    """
    if status == 200:
        return body
    answer = _read_json(body)
    if answer is None:
        raise ServiceFailed(
            "The pod does not answer as it should",
            name=name,
            seen=f"HTTP {status}" if status else "no answer",
            fix="Look at the pod's log",
        )
    error = answer.get("error") or {}
    raise make_error("The pod cannot read the blob", name, str(error.get("code")), str(error.get("message")))


def make_error(what: str, name: str, code: str, message: str) -> KeyturnError:
    """Return the product's error for a code of Key Vault, Blob Storage or Entra ID."""
    kind: type[KeyturnError]
    fix = ""
    if code.startswith("AADSTS"):
        kind = AuthenticationFailed
        fix = "Compare issuer, subject and audience of the federated credential with the service account's token"
    elif code in UNUSABLE or code.startswith(("Forbidden", "Authorization", "RequestDisallowed", "DenyAssignment")):
        kind, code, fix = explain_403(code, message)
    elif code in ("SecretNotFound", "BlobNotFound", "ContainerNotFound", "ResourceNotFound"):
        kind, fix = NotFound, "Provision it"
    else:
        kind = {"Unauthorized": AuthenticationFailed, "InvalidAuthenticationInfo": AuthenticationFailed}.get(
            code, ServiceFailed
        )
    return kind(what, name=name, seen=message.splitlines()[0][:300] if message else "", fix=fix, code=code)


def verify_same(what: str, name: str, seen: str, expected: str) -> None:
    """Raise unless two texts are the same; says only their lengths.

    Raises:
        Unverified: they differ.
    """
    if seen != expected:
        raise Unverified(
            what,
            name=name,
            seen=f"{len(seen)} characters instead of {len(expected)}, or others",
            fix="Run this again; somebody may have changed it in the meantime",
        )


def _read_json(body: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _read_xml_error(body: str) -> tuple[str, str]:
    """Return code and message of an error body of Blob Storage; empty ones for any other text."""
    if not re.match(r"\ufeff?\s*<\?xml", body):
        return "", ""
    try:
        root = ElementTree.fromstring(body.lstrip("\ufeff"))  # noqa: S314 - Azure's own answer, without entities
    except ElementTree.ParseError:
        return "", ""
    if root.tag != "Error":
        return "", ""
    return root.findtext("Code") or "", root.findtext("Message") or ""
