"""What every Kubernetes object has: helpers for JSON objects, their metadata and times."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Clock = Callable[[], datetime]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def clone(value: Any) -> Any:
    """A deep copy of a JSON value; stored objects are never changed in place."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """A metav1.Time: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """The moment of a metav1.Time or MicroTime.

    Raises:
        ValueError: if the text is not RFC 3339.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def random_suffix() -> str:
    """Five letters as generateName appends them."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def metadata(obj: Mapping[str, Any]) -> Json:
    """The metadata of an object; an empty one for an object without."""
    found: Json = obj.get("metadata") or {}
    return found


def name_of(obj: Mapping[str, Any]) -> str:
    """The object's name, empty when it has none."""
    return str(metadata(obj).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """The object's namespace, empty when it has none."""
    return str(metadata(obj).get("namespace") or "")


def dig(obj: Any, *path: str) -> Any:
    """The value at a path of keys; None when any part of it is missing."""
    for key in path:
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(key)
    return obj
