"""How long each part of a run took, and a picture of it: an SVG that both of Prefect's UIs show."""

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH, LABEL_WIDTH, ROW_HEIGHT, MARGIN = 720, 300, 22, 10
GOOD, BAD, INK, LINES = "#2f6fb2", "#c0392b", "#222222", "#dddddd"
LONGEST_LABEL = 46


@dataclass(frozen=True)
class Span:
    """How long one part of a run took.

    Args:
        label: which part.
        start_seconds: since the start of the run.
        end_seconds: since the start of the run.
        failed: whether it ended with an error.
    """

    label: str
    start_seconds: float
    end_seconds: float
    failed: bool = False

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.end_seconds - self.start_seconds


@dataclass
class Timeline:
    """Measures the parts of a run."""

    clock: Callable[[], float] = time.monotonic
    spans: list[Span] = field(default_factory=list)
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    @contextmanager
    def span(self, label: str) -> Iterator[None]:
        """Measure a block; if it raises, its span is marked as failed."""
        start, failed = self.clock(), True
        try:
            yield
            failed = False
        finally:
            self.spans.append(Span(label, start - self.started, self.clock() - self.started, failed))


def draw(spans: Sequence[Span]) -> str:
    """Return an SVG with a bar for each span, on white so that it is readable on light and dark pages."""
    total = max((span.end_seconds for span in spans), default=0.0) or 1.0
    height = MARGIN * 2 + ROW_HEIGHT * (len(spans) + 1)
    room = WIDTH - LABEL_WIDTH - MARGIN - 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for quarter in range(5):
        x = LABEL_WIDTH + room * quarter / 4
        parts.append(f'<line x1="{x:.1f}" y1="{MARGIN}" x2="{x:.1f}" y2="{height - 30}" stroke="{LINES}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 12}" fill="{INK}">{total * quarter / 4:.1f} s</text>')
    for number, span in enumerate(spans):
        parts += _bar(span, MARGIN + ROW_HEIGHT * number, room / total)
    return "\n".join((*parts, "</svg>"))


def _bar(span: Span, top: float, scale: float) -> list[str]:
    left, width = LABEL_WIDTH + span.start_seconds * scale, max(2.0, span.seconds * scale)
    label = span.label if len(span.label) <= LONGEST_LABEL else span.label[: LONGEST_LABEL - 1] + "…"
    middle = top + ROW_HEIGHT - 7
    return [
        f'<text x="{MARGIN}" y="{middle}" fill="{BAD if span.failed else INK}">{escape(label)}</text>',
        f'<rect x="{left:.1f}" y="{top + 3}" width="{width:.1f}" height="{ROW_HEIGHT - 6}" rx="2" '
        f'fill="{BAD if span.failed else GOOD}"/>',
        f'<text x="{left + width + 4:.1f}" y="{middle}" fill="{INK}">{span.seconds:.2f} s</text>',
    ]


def picture(spans: Sequence[Span]) -> str:
    """Return the drawing as a line of markdown: both UIs show a data URL, and strip inline SVG."""
    return f"![timeline](data:image/svg+xml;base64,{base64.b64encode(draw(spans).encode()).decode()})"
