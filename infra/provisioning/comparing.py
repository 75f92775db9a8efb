"""How a wanted resource and the found one compare, field by field. Pure.

The fields say it themselves: `free` ones can be changed in place, `fixed` ones cannot, `at_least` ones may be
higher than wanted, `one_of` ones allow several values. All others are details of creation, or facts that are
looked up, and do not compare. None means: anything, when wanted; not known, when found.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class Difference:
    """One field that is not as wanted.

    Args:
        field: its name, as a person would say it.
        wanted: the wanted value, as text.
        found: the value found, as text.
        fixed: whether it cannot be changed in place.
    """

    field: str
    wanted: str
    found: str
    fixed: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.found} -> {self.wanted}"


def free(default: Any = None) -> Any:
    """Declare a field that can be changed in place."""
    return field(default=default, metadata={"compare": "free"})


def fixed(default: Any = None) -> Any:
    """Declare a field that cannot be changed in place."""
    return field(default=default, metadata={"compare": "fixed"})


def at_least(default: Any = None) -> Any:
    """Declare a numeric field that cannot be changed in place, and may be higher than wanted."""
    return field(default=default, metadata={"compare": "at least"})


def one_of(default: Any = None) -> Any:
    """Declare a field that cannot be changed in place: a tuple of the values that are all right."""
    return field(default=default, metadata={"compare": "one of"})


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Base of all kinds.

    Args:
        name: its name in Azure; with KIND and `parent` it is unique in a stack.
        parent: the name of its parent, for secrets, containers and the like.
    """

    KIND: ClassVar[str] = "resource"
    TYPE: ClassVar[str] = ""
    """Its type in Azure Resource Manager, of kinds whose id is needed."""
    PARENT: ClassVar["type[Resource] | None"] = None
    """The kind that it is nested in."""
    IS_RECOVERED_WITH_PARENT: ClassVar[bool] = True
    """Whether it comes back when its softly deleted parent is recovered."""
    name: str
    parent: str = ""

    @property
    def label(self) -> str:
        """Its name as a person would write it."""
        return f"{self.parent}/{self.name}" if self.parent else self.name

    @property
    def key(self) -> str:
        """What identifies it in a plan: kind and label."""
        return f"{self.KIND} {self.label}"

    @property
    def parent_key(self) -> str:
        """The key of what it is nested in; empty for none."""
        return f"{self.PARENT.KIND} {self.parent.split('/')[0]}" if self.PARENT else ""

    @property
    def accepts_losses(self) -> bool:
        """Whether what exists may lose something by a change; see `losses`."""
        return True

    def losses(self, found: "Resource") -> str:
        """Return what loses its effect when `found` is changed to this resource; empty for nothing."""
        return ""

    def differences(self, found: "Resource") -> tuple[Difference, ...]:
        """Return where `found` is not as this resource wants it."""
        compared = [(field, field.metadata["compare"]) for field in fields(self) if "compare" in field.metadata]
        pairs = ((field, rule, getattr(self, field.name), getattr(found, field.name)) for field, rule in compared)
        return tuple(
            Difference(field.name.replace("_", " "), _text(wanted), _text(seen), fixed=rule != "free")
            for field, rule, wanted, seen in pairs
            if _differs(rule, wanted, seen)
        )


def _differs(rule: str, wanted: Any, seen: Any) -> bool:
    if wanted is None or seen is None:
        return False
    if rule == "at least":
        return float(seen) < float(wanted)
    if rule == "one of":
        return not set(seen) <= set(wanted)
    return bool(wanted != seen)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " or ".join(dict.fromkeys(map(str, value)))
    return "(none)" if value in (None, "") else str(value)
