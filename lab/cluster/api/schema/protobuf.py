"""Reading protobuf bodies: what kubectl's imperative commands send (`create secret`, `auth whoami`, ...).

Types come from the schemas, the numbers of their fields from numbers.json. Answers are always JSON, which clients
accept. https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from lab.cluster.api.errors import bad_request
from lab.cluster.api.objects import Json, timestamp
from lab.cluster.api.schema.types import Schema

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_RAW = ("RawExtension", "FieldsV1", ".JSON")


@dataclass(frozen=True)
class _Field:
    """A field of a message.

    Args:
        name: in JSON; empty for a part that is inline there.
        inline: the type of that part.
        is_pointer: whether zero is a value of its own, rather than absence.
    """

    name: str
    inline: str
    is_pointer: bool


@cache
def _numbers() -> Mapping[str, str]:
    found: dict[str, str] = json.loads(Path(__file__).with_name("numbers.json").read_text())
    return found


@cache
def _fields(type_name: str) -> Mapping[int, _Field]:
    found = {}
    for part in _numbers().get(type_name, "").split():
        label, _, number = part.rstrip("*").partition("=")
        inline = label[1:] if label.startswith("+") else ""
        found[int(number)] = _Field("" if inline else label, inline, part.endswith("*"))
    return found


def decode(body: bytes, schema: Schema) -> Json:
    """The object in a protobuf body.

    Args:
        body: with its envelope.
        schema: the schema of the built-in kind that is expected.

    Raises:
        ApiError: 400 if it cannot be read.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = {number: value for number, _, value in _parts(body[len(_MAGIC) :])}
        head = {number: value.decode() for number, _, value in _parts(envelope.get(1, b""))}
        obj = _message(envelope.get(2, b""), schema.ref, schema)
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise bad_request(f"cannot read the protobuf message: {error}") from None
    return {key: head[number] for key, number in (("apiVersion", 1), ("kind", 2)) if head.get(number)} | obj


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _parts(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of every field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value - (1 << 64) if value >= 1 << 63 else value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(data):
            raise ValueError("unexpected end")
        yield number, wire, data[at : at + length]
        at += length


def _message(data: bytes, type_name: str, schema: Schema) -> Json:
    result: Json = {}
    known = _fields(type_name)
    for number, _, raw in _parts(data):
        field = known.get(number)
        if field is None:
            continue
        if field.inline:
            result |= _message(raw, field.inline, schema)
            continue
        child = schema.field(field.name)
        if child is not None:
            _take(result, field, child, raw)
    return result


def _take(result: Json, field: _Field, schema: Schema, raw: Any) -> None:
    if schema.type == "array" and schema.items is not None:
        result.setdefault(field.name, []).append(_value(schema.items, raw))
    elif schema.additional is not None:
        entry = {number: value for number, _, value in _parts(raw)}
        result.setdefault(field.name, {})[entry[1].decode()] = _value(schema.additional, entry.get(2, b""))
    else:
        value = _value(schema, raw)
        if field.is_pointer or value not in (None, "", 0, False, {}):
            result[field.name] = value


def _value(schema: Schema, raw: Any) -> Any:
    if schema.ref.startswith(_META) and schema.ref.endswith("Time"):
        return _time(raw)
    if schema.ref.endswith("IntOrString"):
        parts = {number: value for number, _, value in _parts(raw)}
        return parts.get(3, b"").decode() if parts.get(1) else parts.get(2, 0)
    if schema.ref.endswith("resource.Quantity"):
        return {number: value for number, _, value in _parts(raw)}.get(1, b"0").decode()
    if schema.ref.endswith(_RAW):
        return json.loads({number: value for number, _, value in _parts(raw)}.get(1, b"null"))
    if schema.type == "string":
        return base64.b64encode(raw).decode() if schema.raw.get("format") == "byte" else raw.decode()
    if schema.type == "boolean":
        return bool(raw)
    return raw if schema.type in ("integer", "number") else _message(raw, schema.ref, schema)


def _time(raw: bytes) -> str | None:
    parts = {number: value for number, _, value in _parts(raw)}
    if not parts:
        return None
    moment = datetime.fromtimestamp(parts.get(1, 0), UTC)
    if nanos := parts.get(2, 0):
        return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos // 1000:06d}Z"
    return timestamp(moment)
