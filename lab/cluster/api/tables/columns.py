"""The columns of each kind's Table, as a real API server names them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lab.cluster.api.objects import Json

Cells = Callable[[Json, datetime], Sequence[Any]]
"""Makes the cells of an object's row; the second argument is the present time, for ages."""


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Json:
        """The column as a Table has it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True)
class Layout:
    """The columns of a kind, and how its rows are made."""

    columns: tuple[Column, ...]
    cells: Cells


NAME = Column("Name", format="name")


def layout(cells: Cells, *names: str, wide: Sequence[str] = (), types: Mapping[str, str] | None = None) -> Layout:
    """A layout that begins with the object's name.

    Args:
        names: columns that are always shown.
        wide: columns that `-o wide` adds.
        types: the types of columns that are not strings.
    """
    columns = [NAME, *(Column(name) for name in names), *(Column(name, priority=1) for name in wide)]
    typed = types or {}
    return Layout(tuple(replace(column, type=typed.get(column.name, "string")) for column in columns), cells)
