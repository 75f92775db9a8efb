"""Custom resources against their own schema: defaults filled in, rules checked.

The findings are those of a structural schema's validation.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation
"""

import re
from collections.abc import Mapping
from typing import Any

from lab.cluster.api.errors import FieldError, bad_value, not_supported, required
from lab.cluster.api.objects import clone
from lab.cluster.api.schema.types import Schema

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}
_SYSTEM = ("apiVersion", "kind", "metadata")


def fill_defaults(schema: Schema, value: Any) -> None:
    """Fill in what the schema has defaults for, in place; absent objects are not made."""
    if isinstance(value, dict):
        for name, field in schema.properties.items():
            if name not in value and "default" in field.raw:
                value[name] = clone(field.raw["default"])
        for name, item in value.items():
            child = schema.field(name)
            if child is not None:
                fill_defaults(child, item)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            fill_defaults(schema.items, item)


def validate_custom(schema: Schema, obj: Mapping[str, Any]) -> list[FieldError]:
    """The findings about a custom object."""
    findings = []
    for name in sorted(schema.properties):
        if name in obj and name not in _SYSTEM:
            findings += _validate(schema.properties[name], obj[name], name)
    return [required(name) for name in schema.raw.get("required", ()) if name not in obj] + findings


def _validate(schema: Schema, value: Any, path: str) -> list[FieldError]:
    if schema.raw.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) and not isinstance(value, bool) else [_ill_typed(schema, value, path)]
    expected = _TYPES.get(schema.type)
    if expected is not None and (not isinstance(value, expected) or isinstance(value, bool) != (expected is bool)):
        return [_ill_typed(schema, value, path)]
    if isinstance(value, dict):
        return _validate_fields(schema, value, path)
    if isinstance(value, list):
        items = enumerate(value) if schema.items is not None else ()
        return [found for i, item in items for found in _validate(schema.items or schema, item, f"{path}[{i}]")]
    return _validate_scalar(schema, value, path)


def _validate_fields(schema: Schema, value: Mapping[str, Any], path: str) -> list[FieldError]:
    findings = [required(f"{path}.{name}") for name in schema.raw.get("required", ()) if name not in value]
    for name in sorted(value):
        child = schema.field(name)
        if child is not None:
            findings += _validate(child, value[name], f"{path}.{name}")
    return findings


def _validate_scalar(schema: Schema, value: Any, path: str) -> list[FieldError]:
    raw = schema.raw
    findings = []
    if isinstance(value, str):
        if len(value) > raw.get("maxLength", len(value)):
            text = f"Too long: may not be more than {raw['maxLength']} bytes"
            findings.append(FieldError("FieldValueTooLong", path, text))
        elif len(value) < raw.get("minLength", 0):
            text = f"{path} in body should be at least {raw['minLength']} chars long"
            findings.append(bad_value(path, value, text))
        elif "pattern" in raw and not re.search(raw["pattern"], value):
            findings.append(bad_value(path, value, f"{path} in body should match '{raw['pattern']}'"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < raw.get("minimum", value):
            text = f"{path} in body should be greater than or equal to {raw['minimum']}"
            findings.append(bad_value(path, value, text))
        if value > raw.get("maximum", value):
            findings.append(bad_value(path, value, f"{path} in body should be less than or equal to {raw['maximum']}"))
    if "enum" in raw and value not in raw["enum"]:
        findings.append(not_supported(path, value, [str(choice) for choice in raw["enum"]]))
    return findings


def _ill_typed(schema: Schema, value: Any, path: str) -> FieldError:
    kinds = {bool: "boolean", str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    seen = kinds.get(type(value), "null")
    wanted = "integer or string" if schema.raw.get("x-kubernetes-int-or-string") else schema.type
    text = f'Invalid value: "{seen}": {path} in body must be of type {wanted}: "{seen}"'
    return FieldError("FieldValueTypeInvalid", path, text)
