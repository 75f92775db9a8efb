"""Reading a body: JSON or YAML to an object of a kind, with unknown, duplicate and ill-typed fields found.

What the kind's schema does not name is dropped and told, as `fieldValidation` asks for it.
https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from lab.cluster.api.errors import ApiError, bad_request
from lab.cluster.api.objects import Json
from lab.cluster.api.schema.types import Schema

_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64"}
_KEEP_EMPTY = frozenset(
    ("storageClassName", "volumeAttributesClassName", "holderIdentity", "service", "name", "type", "nodeName")
)
"""Optional strings that are pointers in Go: there, empty is not the same as absent."""
_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_PYTHON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """YAML as Kubernetes reads it: a date is a string."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Repeating(dict[str, Any]):
    """An object in which keys occurred twice."""

    repeated: tuple[str, ...] = ()


def _from_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    marked = _Repeating(result)
    keys = [key for key, _ in pairs]
    marked.repeated = tuple(key for key in result if keys.count(key) > 1)
    return marked


def parse(body: bytes, media_type: str, kind: str = "Object") -> Json:
    """The JSON object in a body; `conform` finds the keys that occur twice.

    Args:
        body: what was sent.
        media_type: as "application/json" or "application/yaml".
        kind: what was expected, for the message.

    Raises:
        ApiError: 400 if it is not an object.
    """
    what = f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error"
    try:
        if "yaml" in media_type and not body.lstrip().startswith(b"{"):
            value = yaml.load(body, Loader=_Loader)  # noqa: S506 (a safe loader)
        else:
            value = json.loads(body, object_pairs_hook=_from_pairs)
    except (ValueError, yaml.YAMLError):
        raise bad_request(f"{what}: unexpected end of JSON input") from None
    if not isinstance(value, dict):
        raise bad_request(f"{what}: json: cannot unmarshal a value that is no object")
    return value


class Unfit(ApiError):
    """400: an object that its kind cannot hold.

    Args:
        why: the reason alone, without the kind.
    """

    def __init__(self, kind: str, version: str, why: str) -> None:
        super().__init__(400, "BadRequest", f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
        self.why = why


@dataclass(frozen=True)
class _Place:
    """Where a value is: its path, and how Go's decoder would name it."""

    path: str
    struct: str
    fields: str

    def inside(self, schema: Schema, key: str) -> "_Place":
        path = f"{self.path}.{key}" if self.path else key
        if key not in schema.properties:
            return _Place(path, self.struct, self.fields)
        struct = schema.ref.rsplit(".", 1)[-1] or self.struct
        return _Place(path, struct, f"{self.fields}.{key}" if self.fields else key)


@dataclass
class _Walk:
    """One pass over an object."""

    problems: list[str] = field(default_factory=list)
    mismatches: list[tuple[str, str]] = field(default_factory=list)

    def value(self, schema: Schema, value: Any, place: _Place) -> Any:
        expected = _PYTHON_TYPES.get(schema.type)
        if expected is not None and not _fits(value, expected):
            self.mismatches.append((place.path, _mismatch(schema, value, place)))
        elif isinstance(value, dict):
            return self.fields(schema, value, place)
        elif isinstance(value, list) and schema.items is not None:
            items = enumerate(value)
            return [self.value(schema.items, entry, replace(place, path=f"{place.path}[{i}]")) for i, entry in items]
        elif (wrong := _bad_format(schema, value)) is not None:
            self.mismatches.append((place.path, wrong))
        return value

    def fields(self, schema: Schema, value: Json, place: _Place) -> Json:
        if isinstance(value, _Repeating):
            self.problems += [f'duplicate field "{place.inside(schema, key).path}"' for key in value.repeated]
        result: Json = {}
        for key, item in value.items():
            child = schema.field(key)
            here = place.inside(schema, key)
            if child is None:
                if schema.is_open:
                    result[key] = item
                else:
                    self.problems.append(f'unknown field "{here.path}"')
            elif item is None:
                if child.raw.get("nullable"):
                    result[key] = None
            elif not _is_dropped(schema, child, key, item):
                result[key] = self.value(child, item, here)
        return result


def _fits(value: Any, expected: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return expected is bool
    return isinstance(value, expected) or (expected is int and isinstance(value, float) and value.is_integer())


def _is_dropped(parent: Schema, child: Schema, key: str, value: Any) -> bool:
    """Empty lists, maps and strings that are optional vanish in Go's encoding of built-in kinds."""
    if value or not parent.ref or key in parent.raw.get("required", ()):
        return False
    if value == "":
        return child.type == "string" and key not in _KEEP_EMPTY
    return isinstance(value, list | dict) and (child.type == "array" or child.additional is not None)


def _bad_format(schema: Schema, value: Any) -> str | None:
    form = schema.raw.get("format") if isinstance(value, str) else None
    if form == "byte" and not _BASE64.fullmatch(value):
        good = re.match("[A-Za-z0-9+/]*", value)
        return f"illegal base64 data at input byte {good.end() if good else 0}"
    if form == "date-time" and not _TIME.fullmatch(value):
        return f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"'
    return None


def _mismatch(schema: Schema, value: Any, place: _Place) -> str:
    shown = {bool: "bool", str: "string", dict: "object", list: "array"}.get(type(value), "number")
    if isinstance(value, float):
        shown = f"number {value}"
    return f"json: cannot unmarshal {shown} into Go struct field {place.struct}.{place.fields} of type {_go(schema)}"


def _go(schema: Schema) -> str:
    """The type of a field in Go's words."""
    if schema.type == "array":
        return "[]" + (_go(schema.items) if schema.items else "string")
    if schema.type == "object":
        return "v1." + schema.ref.rsplit(".", 1)[-1] if schema.ref else "map[string]string"
    if schema.raw.get("format") == "byte":
        return "[]uint8"
    return _GO_TYPES.get(schema.type) or str(schema.raw.get("format", schema.type))


@dataclass(frozen=True)
class Decoded:
    """An object that fits its schema, and what was dropped to make it fit."""

    obj: Json
    problems: tuple[str, ...]


def conform(schema: Schema, obj: Json, kind: str, version: str) -> Decoded:
    """Keep what the schema knows. Ill-typed fields of custom resources are left to validation.

    Raises:
        Unfit: if a field has another type than the schema says.
    """
    walk = _Walk()
    fitted = walk.fields(schema, obj, _Place("", kind, ""))
    mismatch = next((why for path, why in walk.mismatches if schema.ref or path.startswith("metadata")), None)
    if mismatch is not None:
        raise Unfit(kind, version, mismatch)
    # Go reads a custom resource into a map, so there the fields come sorted.
    return Decoded(fitted, tuple(walk.problems if schema.ref else sorted(walk.problems)))


def refuse(problems: tuple[str, ...], kind: str, version: str) -> None:
    """What fieldValidation=Strict does with problems.

    Raises:
        Unfit: if there are any.
    """
    if problems:
        raise Unfit(kind, version, "strict decoding error: " + ", ".join(problems))
