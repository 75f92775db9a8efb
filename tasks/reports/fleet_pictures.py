"""Two pictures of a fleet, as SVG that both of Prefect's UIs show: ages against their limits, and a wave in time.

They are drawn on white, so that they are readable on light and dark pages.
"""

import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

WIDTH, MARGIN, AXIS = 720, 24, 46
GOOD, BAD, INK, LINES = "#2f6fb2", "#c0392b", "#222222", "#dddddd"
LARGEST_SHARE, COLUMNS, LARGEST_MARK = 1.5, 84, 7.0
"""Ages beyond this part of their limit stand at the right edge. The marks of a column are stacked; the limit is the
border of two columns."""
TALLEST, MOST_RIDES, ROW, LABEL_WIDTH = 320, 60, 14, 190


@dataclass(frozen=True)
class Age:
    """How old a credential is.

    Args:
        credential: its name.
        share: its age as a part of its limit.
        is_overdue: whether the limit has passed.
    """

    credential: str
    share: float
    is_overdue: bool


@dataclass(frozen=True)
class Ride:
    """One rotation of a wave.

    Args:
        credential: its name.
        start: when it began.
        end: when it ended, or now.
        failed: whether it ended badly.
    """

    credential: str
    start: datetime
    end: datetime
    failed: bool = False


def draw_ages(ages: Sequence[Age]) -> str:
    """Return an SVG with one mark for each credential, from new at the left to its limit and beyond, in red."""
    room = WIDTH - 2 * MARGIN
    columns = defaultdict[int, list[Age]](list)
    for age in sorted(ages, key=lambda each: (each.share, each.credential)):
        columns[min(int(max(age.share, 0) / LARGEST_SHARE * COLUMNS), COLUMNS - 1)].append(age)
    tallest = max((len(column) for column in columns.values()), default=1)
    step = min(LARGEST_MARK + 1, TALLEST / tallest)
    radius = max(1.2, min(LARGEST_MARK, room / COLUMNS, step) / 2)
    height = int(AXIS + MARGIN + 14 + max(step * tallest, 60))
    floor = height - AXIS
    parts = [_open(height)]
    for percent in (0, 50, 100, 150):
        x = MARGIN + room * percent / 100 / LARGEST_SHARE
        colour = BAD if percent == 100 else LINES
        parts.append(f'<line x1="{x:.0f}" y1="{MARGIN}" x2="{x:.0f}" y2="{floor}" stroke="{colour}"/>')
        words = {0: "new", 100: "limit", 150: "150 %, or more"}.get(percent, f"{percent} %")
        anchor = {0: "start", 150: "end"}.get(percent, "middle")
        parts.append(f'<text x="{x:.0f}" y="{floor + 17}" fill="{INK}" text-anchor="{anchor}">{words}</text>')
    for number, column in columns.items():
        x = MARGIN + room * (number + 0.5) / COLUMNS
        for level, age in enumerate(column):
            colour = BAD if age.is_overdue else GOOD
            y = floor - step * (level + 0.5)
            title = f"<title>{escape(age.credential)}: {age.share:.0%}</title>" if age.is_overdue else ""
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}">{title}</circle>')
    overdue = sum(age.is_overdue for age in ages)
    words = f"{len(ages)} credentials by age; {overdue} overdue"
    parts.append(f'<text x="{MARGIN}" y="{height - 8}" fill="{BAD if overdue else INK}">{words}</text>')
    return "\n".join((*parts, "</svg>"))


def draw_wave(rides: Sequence[Ride]) -> str:
    """Return an SVG with a bar for each rotation, in the order in which they began; of many the first, and a count."""
    ordered = sorted(rides, key=lambda ride: (ride.start, ride.credential))
    shown, start = ordered[:MOST_RIDES], ordered[0].start
    total = max((ride.end - start).total_seconds() for ride in ordered) or 1.0
    height = MARGIN + ROW * len(shown) + AXIS
    room = WIDTH - LABEL_WIDTH - 2 * MARGIN
    floor = height - AXIS + 6
    parts = [_open(height)]
    for quarter in range(5):
        x = LABEL_WIDTH + room * quarter / 4
        parts.append(f'<line x1="{x:.0f}" y1="{MARGIN - 6}" x2="{x:.0f}" y2="{floor}" stroke="{LINES}"/>')
        words = _describe_seconds(total * quarter / 4)
        parts.append(f'<text x="{x:.0f}" y="{floor + 16}" fill="{INK}" text-anchor="middle">{words}</text>')
    for number, ride in enumerate(shown):
        top, colour = MARGIN + ROW * number, BAD if ride.failed else GOOD
        x = LABEL_WIDTH + room * (ride.start - start).total_seconds() / total
        width = max(2.0, room * (ride.end - ride.start).total_seconds() / total)
        name = ride.credential if len(ride.credential) < 29 else ride.credential[:27] + "…"
        label = f'<text x="8" y="{top + 10}" font-size="11" fill="{BAD if ride.failed else INK}">{escape(name)}</text>'
        bar = f'<rect x="{x:.1f}" y="{top + 1}" width="{width:.1f}" height="{ROW - 3}" rx="2" fill="{colour}"/>'
        parts += [label, bar]
    failed = sum(ride.failed for ride in rides)
    words = f"{len(rides)} rotations in {_describe_seconds(total)}; {failed} ended badly"
    words += f"; the first {MOST_RIDES} are shown" if len(rides) > MOST_RIDES else ""
    parts.append(f'<text x="8" y="{height - 8}" fill="{BAD if failed else INK}">{words}</text>')
    return "\n".join((*parts, "</svg>"))


def picture_ages(ages: Sequence[Age]) -> str:
    """Return the ages as a line of markdown."""
    return _embed("ages against limits", draw_ages(ages))


def picture_wave(rides: Sequence[Ride]) -> str:
    """Return the wave as a line of markdown."""
    return _embed("the wave", draw_wave(rides))


def _open(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13">\n<rect width="{WIDTH}" height="{height}" fill="white"/>'
    )


def _embed(words: str, svg: str) -> str:
    return f"![{words}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _describe_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 180 else f"{seconds / 60:.0f} min"
