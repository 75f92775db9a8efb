"""What is wrong with an inventory, for the person who corrects it: file, line, field, what was seen, what to write.

A value is repeated only where no secret can be: in a number, a choice, a duration, a name. Everywhere else, and under
secrets, administrator, password and derived, it is described.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.credentials import schedule
from infra.credentials.documents import Location
from infra.credentials.fields import RULES

Schema = Mapping[str, Any]
_SECRETIVE = frozenset({"secrets", "administrator", "password", "derived"})
"""What is written under these names is never repeated: a value may stand where its secret's name belongs."""
_SHOWN = re.compile(r"[\w .,:+()-]{1,40}")
_WORDS = {**RULES, **schedule.WORDS}
_BOUNDS = {
    "minimum": "from",
    "maximum": "up to",
    "minLength": "of at least",
    "maxLength": "of at most",
    "minItems": "of at least",
    "maxItems": "of at most",
}


@dataclass(frozen=True, order=True)
class Problem:
    """Something in a file that cannot be used.

    Args:
        path: the file.
        line: where in it; 0 if it is about all of it.
        credential: whose field it is; empty if it is nobody's alone.
        field: which one; empty if several do not fit together.
        seen: what is there.
        fix: what to write instead.
    """

    path: Path
    line: int
    credential: str
    field: str
    seen: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.credential + ': ' if self.credential else ''}{self.what}"

    @property
    def what(self) -> str:
        """What is wrong and what to write, without the place."""
        return f"{self._seen}. Fix: {self.fix.rstrip('.')}." if self.fix else f"{self._seen}."

    @property
    def brief(self) -> str:
        """The same as a part of a sentence, with the line."""
        return f"line {self.line}, {self._seen}" + (f" ({self.fix.rstrip('.')})" if self.fix else "")

    @property
    def _seen(self) -> str:
        return f"{self.field}: {self.seen}" if self.field else self.seen


@dataclass(frozen=True)
class Mistake:
    """What a model says against a value.

    Args:
        location: where it is, without the kinds of unions.
        seen: what is there.
        fix: what to write instead.
    """

    location: Location
    seen: str
    fix: str

    @property
    def field(self) -> str:
        """The field as people write it: `consumers[0].workload.name`."""
        text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.location)
        return text.removeprefix(".")


def list_mistakes(model: type[BaseModel], error: ValidationError) -> Iterator[Mistake]:
    """Yield what a model refused, in words.

    Args:
        model: the model.
        error: what it raised.
    """
    for details in error.errors(include_url=False):
        location, schema, parent = _follow(model, details["loc"])
        location += ("kind",) if _is_about_kind(details, _kinds_of(schema_of(model), schema)) else ()
        kinds = _kinds_of(schema_of(model), schema)
        yield Mistake(location, *_explain(details, schema, parent, kinds, hides=bool(_SECRETIVE & set(location))))


@cache
def schema_of(model: type[BaseModel]) -> Schema:
    """Return the JSON schema of a model."""
    return model.model_json_schema()


def _follow(model: type[BaseModel], path: Location) -> tuple[Location, Schema, Schema]:
    """Return where a mistake is without the kinds of unions, the schema of its field, and of what the field is in."""
    root = schema_of(model)
    node, parent, location = root, root, list[str | int]()
    for step in path:
        parent = _resolve(root, node)
        if step in (kinds := _kinds_of(root, parent)):
            node = kinds[str(step)]
            continue
        location.append(step)
        inner = {step: parent.get("items", {})} if isinstance(step, int) else parent.get("properties", {})
        node = inner.get(step, {})
    return tuple(location), {**_resolve(root, node), **node}, parent


def _resolve(root: Schema, node: Schema) -> Schema:
    """Return the schema that a reference leads to, or the one that is not null."""
    while True:
        if reference := node.get("$ref"):
            node = root["$defs"][reference.rpartition("/")[2]]
        elif options := [option for option in node.get("anyOf", ()) if option.get("type") != "null"]:
            node = options[0]
        else:
            return node


def _kinds_of(root: Schema, union: Schema) -> dict[str, Schema]:
    """Return kind -> schema of a union that is told apart by a field of that name."""
    options = [_resolve(root, option) for option in union.get("oneOf", ())]
    kinds = [option.get("properties", {}).get("kind", {}).get("const") for option in options]
    return {str(kind): option for kind, option in zip(kinds, options, strict=True) if kind}


def _is_about_kind(details: ErrorDetails, kinds: Schema) -> bool:
    return bool(kinds) and isinstance(details["input"], dict) and details["type"] not in ("missing", "value_error")


def _explain(details: ErrorDetails, schema: Schema, parent: Schema, kinds: Schema, *, hides: bool) -> tuple[str, str]:
    """Say what was seen, and what to write."""
    kind, value, help_text = details["type"], details["input"], str(schema.get("description", ""))
    field = str(details["loc"][-1]) if details["loc"] else ""
    if kind == "extra_forbidden":
        known = sorted(parent.get("properties", {}))
        nearest = difflib.get_close_matches(field, known, 1)
        return "there is no such field", f"write {nearest[0]}" if nearest else f"use one of {', '.join(known)}"
    if kind == "missing":
        return "it is missing", f"add {field}" + (f" ({help_text.rstrip('.')})" if help_text else "")
    if kind == "value_error":
        seen, _, fix = details["msg"].removeprefix("Value error, ").partition(": ")
        return (seen, fix) if fix else (seen, "")
    written = value
    if is_about_kind := _is_about_kind(details, kinds):
        written = value.get("kind")
        if written is None:
            return "it is missing", f"add kind: one of {', '.join(kinds)}"
    choices = list(kinds) if is_about_kind else _list_choices(details, schema)
    if choices:
        nearest = difflib.get_close_matches(str(written), choices, 1)
        meant = f"; {nearest[0]} was probably meant" if nearest else ""
        return f"{_tell(written, hides)} is none of its values", f"write one of {', '.join(choices)}{meant}"
    if kind == "string_pattern_mismatch":
        return f"{_tell(value, hides)} does not fit", _say_rule(schema, help_text)
    rule = str(details["msg"]).replace("Input should", "must").replace("String should", "must").partition(", ")[0]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{_describe(value)}, but it has fields", f"write them as {{name: value}}: {help_text.rstrip('.')}"
    hides = hides or (schema.get("type") not in ("integer", "number", "boolean") and "pattern" not in schema)
    return f"{_tell(value, hides)}, but it {rule[:1].lower() + rule[1:]}", _say_rule(schema, help_text)


def _say_rule(schema: Schema, help_text: str) -> str:
    """Say what to write: by its pattern or its bounds, with the field's help where they say too little."""
    if rule := _WORDS.get(str(schema.get("pattern"))):
        return f"write {rule}"
    kinds = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list"}
    wanted = kinds.get(str(schema.get("type")), "a text")
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    examples = ", ".join(map(str, schema.get("examples", ())))
    told = " ".join([wanted, *bounds, *([f"such as {examples}"] if examples else [])])
    return f"write {told}" + (f" ({help_text.rstrip('.')})" if help_text else "")


def _list_choices(details: ErrorDetails, schema: Schema) -> list[str]:
    """Return the values that a field may have, if they are few."""
    if details["type"] in ("enum", "literal_error"):
        return [str(choice) for choice in schema.get("enum", [schema["const"]] if "const" in schema else [])]
    return []


def _tell(value: Any, hides: bool) -> str:
    """Repeat a short word, a number or a name; describe everything else."""
    if hides or not isinstance(value, str | int | float) or not _SHOWN.fullmatch(str(value)):
        return _describe(value)
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def _describe(value: Any) -> str:
    """Say of which kind a value is, without it."""
    if value is None or value in ("", [], {}):
        return "nothing"
    if isinstance(value, str):
        return f"a text of {len(value)} character{'s' if len(value) > 1 else ''}"
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), "a date")


def describe_errors(error: ValidationError) -> str:
    """Say in one line which fields cannot be used and why, without their values."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in found)
