"""What Key Vault asks of a request before it looks at a secret: a version of its API that it has, and types.

https://learn.microsoft.com/rest/api/keyvault/secrets/set-secret/set-secret
"""

from collections.abc import Mapping
from typing import Any

from lab.azure.errors import AzureError

API_VERSIONS = (
    *("2015-06-01", "2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6"),
    *("7.6-preview.1", "7.6-preview.2", "2025-06-01-preview", "2025-07-01", "2026-01-01-preview"),
    *("2026-03-01-preview", "2026-04-01", "2026-05-01-preview", "2026-07-01-preview"),
)
NEWEST = "2026-04-01"
_ATTRIBUTES = {"enabled": "enabled", "nbf": "not_before", "exp": "expires"}
_TYPES = {"enabled": (bool, "a boolean"), "nbf": (int, "a whole number"), "exp": (int, "a whole number")}


def check_version(version: str) -> None:
    """Raise a 400 unless the vault has a version of the API."""
    if not version:
        raise AzureError(400, "BadParameter", "api-version must be specified")
    if version.lower() not in API_VERSIONS:
        text = f"The specified version ({version}) is not recognized. Consider using the latest supported version "
        raise AzureError(400, "BadParameter", f"{text}({NEWEST}).")


def check_types(body: Mapping[str, Any]) -> None:
    """Raise a 400 unless what is given of a secret beside its value has the right types."""
    for name in ("tags", "attributes"):
        if not isinstance(body.get(name) or {}, dict):
            raise AzureError(400, "BadParameter", f"Property {name} must be an object.")
    if not all(isinstance(value, str) for value in (body.get("tags") or {}).values()):
        raise AzureError(400, "BadParameter", "The values of property tags must be strings.")
    if not isinstance(body.get("contentType") or "", str):
        raise AzureError(400, "BadParameter", "Property contentType must be a string.")
    for name, value in (body.get("attributes") or {}).items():
        kind, noun = _TYPES.get(name, (object, ""))
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise AzureError(400, "BadParameter", f"Property attributes.{name} must be {noun}.")


def attributes_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that a body gives, by the names that they have in a vault."""
    given = body.get("attributes") or {}
    return {ours: given[theirs] for theirs, ours in _ATTRIBUTES.items() if given.get(theirs) is not None}
