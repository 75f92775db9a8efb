"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

import json
from typing import Any

import jsonpatch

from lab.cluster.api.errors import ApiError, bad_request
from lab.cluster.api.objects import Json, clone


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch and return the result."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Json, body: bytes) -> Json:
    """Apply a JSON patch and return the result.

    Raises:
        ApiError: 400 if the body is no patch; 422 if it cannot be applied, a failed test included.
    """
    try:
        operations = json.loads(body)
        patch = jsonpatch.JsonPatch(operations)
    except (ValueError, TypeError, jsonpatch.JsonPatchException) as error:
        raise bad_request(f"error decoding patch: {error}") from None
    try:
        result: Json = patch.apply(clone(target))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException):
        raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {}) from None
    return result
