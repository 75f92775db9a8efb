"""Small work on JSON bodies."""

from collections.abc import Collection, Mapping
from typing import Any


def merge(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with `patch` laid over it: objects member by member, null deletes (RFC 7396)."""
    merged = dict(old)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def without(body: Any, names: Collection[str]) -> Any:
    """A copy of `body` that has none of the members `names`, at any depth."""
    if isinstance(body, Mapping):
        return {name: without(value, names) for name, value in body.items() if name not in names}
    if isinstance(body, list):
        return [without(value, names) for value in body]
    return body


def dig(body: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The value at a dotted path, `default` where anything on the way is absent or null."""
    found: Any = body
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return default
        found = found.get(name)
    return default if found is None else found
