"""What the benchmarks share: numbers and their table, the command line, timelines.

Absolute times depend on the machine. So whatever is compared is measured alternately, and shown with its spread.
"""

import argparse
import json
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tasks.reports.timeline import Timeline

ROOT = Path(__file__).resolve().parents[1]


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that `part` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table.

    Args:
        what: what was measured.
        values: each measurement.
        unit: of the values.
        goal: what it shall be, in words; empty where there is none.
        reached: whether it is.
    """

    what: str
    values: Sequence[float]
    unit: str = "s"
    goal: str = ""
    reached: bool | None = None

    @property
    def median(self) -> float:
        """Their median."""
        return statistics.median(self.values)

    def cells(self) -> list[str]:
        """The line: what, n, min, median, 95 %, max, unit, goal."""
        digits = 0 if self.unit == "" else 3 if self.unit == "s" and max(self.values) < 1 else 2
        low, high = min(self.values), max(self.values)
        numbers = [f"{value:.{digits}f}" for value in (low, self.median, quantile(self.values, 0.95), high)]
        said = {None: "", True: " — reached", False: " — **missed**"}[self.reached]
        return [self.what, str(len(self.values)), *numbers, self.unit, self.goal + said]


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    Args:
        title: its heading.
        rows: its table.
        notes: sentences below the table.
        series: curves for the plots, by name.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    series: dict[str, Sequence[float]] = field(default_factory=dict)

    def markdown(self) -> str:
        """The heading, the table, the notes."""
        head = ["what", "n", "min", "median", "95 %", "max", "unit", "goal"]
        lines = [f"### {self.title}", "", f"| {' | '.join(head)} |", "|---|" + "---:|" * 5 + "---|---|"]
        lines += [f"| {' | '.join(row.cells())} |" for row in self.rows]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)])

    def plain(self) -> dict[str, Any]:
        """All of it for a JSON file, to a tenth of a millisecond."""
        found = asdict(self)
        for row in found["rows"]:
            row["values"] = [round(value, 4) for value in row["values"]]
        found["series"] = {name: [round(value, 4) for value in values] for name, values in self.series.items()}
        return found

    @classmethod
    def of_plain(cls, found: dict[str, Any]) -> "Result":
        """Read it from a JSON file."""
        return cls(**{**found, "rows": [Row(**row) for row in found["rows"]]})


def run_alone(measure: Callable[[bool], Result], description: str) -> None:
    """Be the command line of one benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="some seconds instead of minutes; for developing alone")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    chosen = parser.parse_args()
    result = measure(chosen.quick)
    print(result.markdown())
    if chosen.json:
        chosen.json.write_text(json.dumps(result.plain()))


def say(text: str) -> None:
    """Tell how far it is; the numbers alone go to standard output."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def pause(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


@contextmanager
def kept_timelines() -> Iterator[list[Timeline]]:
    """The timelines of the rotations made in a block: their spans with the moment that they count from."""
    kept: list[Timeline] = []
    begin = Timeline.__post_init__

    def keep(self: Timeline) -> None:
        begin(self)
        kept.append(self)

    with patch.object(Timeline, "__post_init__", keep):
        yield kept


def timed(act: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
