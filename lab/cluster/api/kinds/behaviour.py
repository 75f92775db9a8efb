"""What a kind does beyond being stored: defaults, what a create or update may not touch, and its rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.cluster.api.errors import FieldError
from lab.cluster.api.objects import Json

Rules = Callable[[Json], list[FieldError]]
Changes = Callable[[Json, Json], list[FieldError]]


def _nothing(_: Json) -> None:
    """No defaults."""


def _no_rules(_: Json) -> list[FieldError]:
    return []


def _no_changes(_: Json, __: Json) -> list[FieldError]:
    return []


@dataclass(frozen=True)
class Behaviour:
    """The rules of one kind.

    Args:
        default: fills in what a client may leave out; called on every write, before anything else.
        prepare_create: sets what a new object starts with, its status above all.
        prepare_update: carries over what an update may not change; called with new and old.
        validate: findings about an object.
        validate_change: findings about a change, called with new and old.
        keeps_status: whether create keeps the status that the client sent, as for nodes.
        name: which rule names follow: "subdomain", "label" or "path".
    """

    default: Callable[[Json], None] = _nothing
    prepare_create: Callable[[Json], None] = _nothing
    prepare_update: Callable[[Json, Json], None] = lambda new, old: None
    validate: Rules = _no_rules
    validate_change: Changes = _no_changes
    keeps_status: bool = False
    name: str = "subdomain"


def fill(obj: Json, **values: Any) -> None:
    """Set the fields that are absent."""
    for key, value in values.items():
        if obj.get(key) is None:
            obj[key] = value
