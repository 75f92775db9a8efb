"""Sets of fields: paths into an object, as managedFields spells them.

A path is a tuple of elements: `f:name` is a field or a map's key, `k:{...}` a list's element by its keys, `v:...` an
element of a set by its value. https://github.com/kubernetes-sigs/structured-merge-diff
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.cluster.api.objects import Json
from lab.cluster.api.schema.types import Schema

Path = tuple[str, ...]
Paths = set[Path]

_ABSENT: Any = object()
_UNNAMED = frozenset(
    f"f:{name}"
    for name in ("containers", "metadata", "resources", "spec", "status", "strategy", "template", "updateStrategy")
)
"""Fields that are always there in Go, so that nobody owns their being there."""
_SYSTEM = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
)
_STRIPPED = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{name}") for name in _SYSTEM)]
)


@dataclass
class Comparison:
    """How two versions of an object differ."""

    added: Paths = field(default_factory=set)
    modified: Paths = field(default_factory=set)
    removed: Paths = field(default_factory=set)

    @property
    def changed(self) -> Paths:
        """What is new or has another value."""
        return self.added | self.modified

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


def is_granular(schema: Schema | None, value: Any) -> bool:
    """Whether the parts of a value are owned one by one."""
    if schema is not None and schema.is_atomic:
        return False
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and schema is not None and bool(schema.list_keys or schema.is_set)


def elements(schema: Schema | None, value: Any) -> Iterator[tuple[str, Schema | None, Any]]:
    """The parts of a granular value: path element, schema and value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"f:{key}", schema.field(key) if schema else None, item
    elif schema is not None:
        for item in value:
            yield element_of(schema, item), schema.items, item


def element_of(schema: Schema, item: Any) -> str:
    """The path element of an item of a list."""
    if not schema.list_keys or not isinstance(item, dict):
        return "v:" + _json(item)
    keys = {key: item.get(key, _default_key(schema, key)) for key in schema.list_keys}
    return "k:" + _json({key: value for key, value in keys.items() if value is not None})


def _default_key(schema: Schema, key: str) -> Any:
    found = schema.items.field(key) if schema.items else None
    return found.raw.get("default") if found else None


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def paths_of(schema: Schema | None, obj: Json) -> Paths:
    """The fields that an applied configuration names, without those that only the system sets."""
    found: Paths = set()
    _collect(schema, obj, (), found)
    return found - _STRIPPED


def _collect(schema: Schema | None, value: Any, path: Path, found: Paths) -> None:
    if not is_granular(schema, value):
        found.add(path)
        return
    is_struct = schema is not None and bool(schema.properties)
    for element, child, item in elements(schema, value):
        here = (*path, element)
        _collect(child, item, here, found)
        is_field = is_struct and isinstance(value, dict) and element[2:] in (schema.properties if schema else {})
        if not is_field or item in ({}, None):
            found.add(here)


def compare(schema: Schema | None, old: Json, new: Json) -> Comparison:
    """How `new` differs from `old`, system fields left out."""
    result = Comparison()
    _compare(schema, old, new, (), result)
    for paths in (result.added, result.modified, result.removed):
        paths -= _STRIPPED
        inner = {path[:-1] for path in paths}
        paths -= {path for path in paths if path[-1] in _UNNAMED and path in inner}
    return result


def _compare(schema: Schema | None, old: Any, new: Any, path: Path, result: Comparison) -> None:
    if old == new:
        return
    granular = all(value is _ABSENT or is_granular(schema, value) for value in (old, new))
    if old is _ABSENT or new is _ABSENT:
        (result.added if old is _ABSENT else result.removed).add(path)
    elif not granular or type(old) is not type(new):
        result.modified.add(path)
    if granular:
        before = {} if old is _ABSENT else {e: (s, v) for e, s, v in elements(schema, old)}
        after = {} if new is _ABSENT else {e: (s, v) for e, s, v in elements(schema, new)}
        for element in {**before, **after}:
            was, now = before.get(element), after.get(element)
            child = (now or was or (None, None))[0]
            _compare(child, was[1] if was else _ABSENT, now[1] if now else _ABSENT, (*path, element), result)


def closed(paths: Iterable[Path]) -> Paths:
    """The paths with everything that they lie in."""
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def to_fields_v1(paths: Iterable[Path]) -> Json:
    """A set of fields as managedFields has it."""
    root: Json = {}
    whole = set(paths)
    inner = {path[:length] for path in whole for length in range(1, len(path))}
    for path in sorted(whole):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        if path in inner:
            node["."] = {}
    return root


def from_fields_v1(node: Json) -> Paths:
    """A set of fields as it is in managedFields."""
    found: Paths = set()
    _read(node, (), found)
    return found


def _read(node: Json, path: Path, found: Paths) -> None:
    for element, child in node.items():
        if element == ".":
            found.add(path)
        elif child:
            _read(child, (*path, element), found)
        else:
            found.add((*path, element))


def spell(path: Path) -> str:
    """A path as messages spell it: `.spec.containers[name="x"].image`."""
    text = ""
    for element in path:
        kind, value = element[:2], element[2:]
        if kind == "f:":
            text += f".{value}"
        elif kind == "k:":
            text += "[" + ",".join(f"{key}={_json(part)}" for key, part in json.loads(value).items()) + "]"
        else:
            text += f"[={value}]"
    return text
