"""Reading a body: JSON or YAML to an object of a kind, with unknown, duplicate and ill-typed fields found.

What the kind's schema does not name is dropped and told, as `fieldValidation` asks for it.
https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from infra.lab.cluster.api.errors import ApiError, bad_request
from infra.lab.cluster.api.objects import Json
from infra.lab.cluster.api.schema.types import Schema

_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64"}
_PYTHON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: a date is a string."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass
class _DuplicateWatch:
    """Collects keys that occur twice in one JSON object."""

    found: list[str] = field(default_factory=list)

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            self.found += [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        return result


def parse(body: bytes, media_type: str, duplicates: list[str] | None = None) -> Json:
    """The JSON object in a body.

    Args:
        body: what was sent.
        media_type: as "application/json" or "application/yaml".
        duplicates: keys that occur twice are appended here.

    Raises:
        ApiError: 400 if it is not an object.
    """
    watch = _DuplicateWatch()
    try:
        if "yaml" in media_type and not body.lstrip().startswith(b"{"):
            value = yaml.load(body, Loader=_Loader)  # noqa: S506 (a safe loader)
        else:
            value = json.loads(body, object_pairs_hook=None if duplicates is None else watch.pairs)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"error decoding the body: {error}") from None
    if duplicates is not None:
        duplicates += watch.found
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized (must be of type Object)")
    return value


@dataclass
class _Walk:
    """One pass over an object."""

    unknown: list[str] = field(default_factory=list)
    mismatches: list[str] = field(default_factory=list)

    def value(self, schema: Schema, value: Any, path: str, parent: str) -> Any:
        expected = _PYTHON_TYPES.get(schema.type)
        if expected is not None and not _fits(value, expected):
            self.mismatches.append(_mismatch(schema, value, path, parent))
            return value
        if isinstance(value, dict):
            return self.fields(schema, value, path)
        if isinstance(value, list) and schema.items is not None:
            return [self.value(schema.items, item, f"{path}[{i}]", parent) for i, item in enumerate(value)]
        return value

    def fields(self, schema: Schema, value: Json, path: str) -> Json:
        known, additional = schema.properties, schema.additional
        result: Json = {}
        for key, item in value.items():
            child = known.get(key) or additional
            here = f"{path}.{key}" if path else key
            if child is None:
                if schema.is_open:
                    result[key] = item
                else:
                    self.unknown.append(here)
            elif item is None:
                if child.raw.get("nullable"):
                    result[key] = None
            elif not _is_dropped(schema, child, key, item):
                result[key] = self.value(child, item, here, _short(schema.ref))
        return result


def _fits(value: Any, expected: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return expected is bool
    return isinstance(value, expected) or (expected is int and isinstance(value, float) and value.is_integer())


def _is_dropped(parent: Schema, child: Schema, key: str, value: Any) -> bool:
    """Empty lists and maps that are optional vanish in Go's encoding of built-in kinds."""
    if value or not isinstance(value, list | dict) or not parent.ref or key in parent.raw.get("required", ()):
        return False
    return child.type == "array" or child.additional is not None


def _short(ref: str) -> str:
    return ref.rsplit(".", 1)[-1]


def _mismatch(schema: Schema, value: Any, path: str, parent: str) -> str:
    shown = {bool: "bool", str: "string", dict: "object", list: "array"}.get(type(value), "number")
    wanted = _GO_TYPES.get(schema.type) or str(schema.raw.get("format", schema.type))
    if schema.type in ("object", "array"):
        wanted = (
            "v1." + _short(schema.ref)
            if schema.ref
            else {"array": "[]", "object": "map[string]"}[schema.type] + "string"
        )
    return f"json: cannot unmarshal {shown} into Go struct field {parent}.{path} of type {wanted}"


@dataclass(frozen=True)
class Decoded:
    """An object that fits its schema, and what was dropped to make it fit."""

    obj: Json
    problems: tuple[str, ...]


def conform(schema: Schema, obj: Json, kind: str, version: str, duplicates: list[str] | None = None) -> Decoded:
    """Keep what the schema knows.

    Raises:
        ApiError: 400 if a field has another type than the schema says.
    """
    walk = _Walk()
    fitted = walk.fields(schema, obj, "")
    if walk.mismatches:
        raise _unreadable(kind, version, walk.mismatches[0])
    problems = [f'unknown field "{path}"' for path in walk.unknown]
    problems += [f'duplicate field "{key}"' for key in duplicates or ()]
    return Decoded(fitted, tuple(problems))


def refuse(problems: tuple[str, ...], kind: str, version: str) -> None:
    """What fieldValidation=Strict does with problems.

    Raises:
        ApiError: 400 if there are any.
    """
    if problems:
        raise _unreadable(kind, version, "strict decoding error: " + ", ".join(problems))


def _unreadable(kind: str, version: str, why: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
