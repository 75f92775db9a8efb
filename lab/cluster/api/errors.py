"""Failures as the API server says them: an HTTP code, a reason and a Status object.

Texts follow k8s.io/apimachinery/pkg/api/errors, since clients and people match on them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One finding of validation.

    Args:
        reason: the cause's reason, as "FieldValueInvalid".
        field: path of the field, as "spec.selector".
        text: what is wrong with it, without the path.
    """

    reason: str
    field: str
    text: str

    @property
    def message(self) -> str:
        """Path and finding, as kubectl prints them."""
        return f"{self.field}: {self.text}"

    def cause(self) -> dict[str, str]:
        """The finding as a cause of a Status."""
        return {"reason": self.reason, "message": self.text, "field": self.field}


class ApiError(Exception):
    """A request that is answered with a Status of failure."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> dict[str, Any]:
        """The Status object of this failure."""
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    parts = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in parts.items() if value}


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no credential, or one that is not known or has expired."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def internal(message: str) -> ApiError:
    """500 without a reason, as the storage layer of a real server answers."""
    return ApiError(500, "", message)


def bad_patch(why: str) -> ApiError:
    """422: a patch whose result is no object of the kind. The patch itself is not repeated: it may hold secrets."""
    text = f'Invalid value: "...": {why}'
    cause = {"reason": "FieldValueInvalid", "message": text, "field": "patch"}
    return ApiError(422, "Invalid", f' "" is invalid: patch: {text}', {"causes": [cause]})


def precondition_failed(kind: str, group: str, name: str, why: str) -> ApiError:
    """409: what a delete was to hold does not."""
    message = f'Operation cannot be fulfilled on {_qualified(kind, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, kind))


def forbidden(resource: str, group: str, name: str, why: str) -> ApiError:
    """403: the user may not, or the state of the cluster forbids it."""
    subject = f'{_qualified(resource, group)} "{name}"' if name else _qualified(resource, group)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(name, group, resource))


def not_found(resource: str, group: str, name: str) -> ApiError:
    """404: no such object."""
    message = f'{_qualified(resource, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(name, group, resource))


def no_such_resource() -> ApiError:
    """404: no such kind of object."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """405: the resource has no such verb."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def already_exists(resource: str, group: str, name: str) -> ApiError:
    """409: the name is taken."""
    message = f'{_qualified(resource, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, resource))


def conflict(resource: str, group: str, name: str, why: str = "") -> ApiError:
    """409: somebody else was faster, or a precondition does not hold."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, resource))


def expired(message: str) -> ApiError:
    """410: the resourceVersion asked for has been compacted."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(supported: Sequence[str]) -> ApiError:
    """415: the body is in a format that is not read here."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(supported)
    return ApiError(415, "UnsupportedMediaType", message)


def unsupported_patch() -> ApiError:
    """415: a patch in a format that is not known."""
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def invalid(kind: str, group: str, name: str, findings: Sequence[FieldError]) -> ApiError:
    """422: the object breaks rules; every finding is a cause."""
    texts = list(dict.fromkeys(finding.message for finding in findings))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(name, group, kind) | {"causes": [finding.cause() for finding in findings]}
    return ApiError(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {text}', details)


def required(field: str, detail: str = "") -> FieldError:
    """A field that must be given."""
    return FieldError("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def bad_value(field: str, value: object, detail: str) -> FieldError:
    """A field whose value breaks a rule."""
    shown = _shown(value)
    return FieldError("FieldValueInvalid", field, f"Invalid value: {shown}: {detail}")


def not_supported(field: str, value: object, supported: Sequence[str]) -> FieldError:
    """A field whose value is not one of a set."""
    choices = ", ".join(f'"{choice}"' for choice in supported)
    return FieldError(
        "FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {choices}"
    )


def not_found_value(field: str, value: object) -> FieldError:
    """A field that names what isn't there."""
    return FieldError("FieldValueNotFound", field, f"Not found: {_shown(value)}")


def duplicate(field: str, value: object) -> FieldError:
    """A value that may occur once only."""
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")


def not_allowed(field: str, detail: str) -> FieldError:
    """A field that may not be set, or not be changed."""
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def _shown(value: object) -> str:
    return str(value) if isinstance(value, int | float) else json.dumps(value, separators=(",", ":"))
