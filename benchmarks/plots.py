"""Plots as SVG, without a library: bars with their spread, and a curve. On white, so that they read on every page."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.common import Row

WIDTH, LABELS, ROW, MARGIN, NUMBERS = 900, 430, 26, 12, 90
CURVE_HEIGHT = 220
BAR, SPREAD, INK, LINES = "#2f6fb2", "#1b3f66", "#222222", "#dddddd"


def _page(height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str = LINES) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def draw_bars(title: str, rows: Sequence[Row]) -> str:
    """Draw one bar a row: its end is the median, the thin line goes from the least to the most."""
    scale = (WIDTH - LABELS - NUMBERS - MARGIN) / (max(max(row.values) for row in rows) or 1.0)
    parts = [_text(MARGIN, 2 * MARGIN, title, ' font-weight="bold"')]
    for number, row in enumerate(rows):
        top = 3 * MARGIN + ROW * number
        middle = top + ROW / 2
        low, high = (LABELS + scale * edge for edge in (min(row.values), max(row.values)))
        parts += [
            _text(MARGIN, middle + 4, row.what),
            f'<rect x="{LABELS}" y="{top + 5}" width="{max(1.0, scale * row.median):.1f}" height="{ROW - 10}" '
            f'rx="2" fill="{BAR}"/>',
            _line(low, middle, high, middle, SPREAD),
            _line(low, middle - 5, low, middle + 5, SPREAD),
            _line(high, middle - 5, high, middle + 5, SPREAD),
            _text(max(high, LABELS + scale * row.median) + 6, middle + 4, f"{row.median:.2f} {row.unit}"),
        ]
    return _page(4 * MARGIN + ROW * len(rows), parts)


def draw_curve(title: str, values: Sequence[float], unit: str) -> str:
    """Draw values in their order, the axis beginning at nought."""
    left, bottom, top = 70, CURVE_HEIGHT - 30, 3 * MARGIN
    room, most = WIDTH - left - 2 * MARGIN, max(values) * 1.1
    parts = [_text(MARGIN, 2 * MARGIN, title, ' font-weight="bold"')]
    for quarter in range(5):
        y = bottom - (bottom - top) * quarter / 4
        parts += [_line(left, y, left + room, y), _text(MARGIN, y + 4, f"{most * quarter / 4:.0f} {unit}")]
        label = f"{(len(values) - 1) * quarter / 4:.0f}"
        parts.append(_text(left + room * quarter / 4 - 8, bottom + 18, label))
    steps = max(1, len(values) - 1)
    points = " ".join(
        f"{left + room * number / steps:.1f},{bottom - (bottom - top) * value / most:.1f}"
        for number, value in enumerate(values)
    )
    parts.append(f'<polyline points="{points}" fill="none" stroke="{BAR}" stroke-width="1.5"/>')
    return _page(CURVE_HEIGHT, parts)
