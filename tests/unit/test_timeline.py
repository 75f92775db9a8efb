"""The time that parts of a run take, and the picture of it."""

import base64
from xml.etree import ElementTree

import pytest

from tasks.reports.timeline import LONGEST_LABEL, Span, Timeline, draw, picture

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*spans: Span) -> ElementTree.Element:
    return ElementTree.fromstring(draw(spans))  # noqa: S314


def texts(*spans: Span) -> list[str]:
    return [element.text or "" for element in drawn(*spans).iter(f"{SVG}text")]


def bars(*spans: Span) -> list[dict[str, str]]:
    return [element.attrib for element in drawn(*spans).iter(f"{SVG}rect")][1:]


def test_spans_are_measured_from_the_start_of_the_run() -> None:
    times = iter([100.0, 101.0, 103.5, 104.0, 104.25])
    timeline = Timeline(clock=lambda: next(times))
    with timeline.span("observe"):
        pass
    with timeline.span("publish"):
        pass
    assert timeline.spans == [Span("observe", 1.0, 3.5), Span("publish", 4.0, 4.25)]
    assert [span.seconds for span in timeline.spans] == [2.5, 0.25]


def test_a_block_that_raises_is_kept_as_failed_and_still_raises() -> None:
    timeline = Timeline()
    with pytest.raises(ValueError, match="broken"), timeline.span("verify"):
        raise ValueError("broken")
    assert [(span.label, span.failed) for span in timeline.spans] == [("verify", True)]


def test_each_span_is_a_bar_in_proportion() -> None:
    first, second = bars(Span("a", 0, 1), Span("b", 1, 4))
    assert float(second["width"]) == pytest.approx(3 * float(first["width"]), rel=0.01)
    assert float(second["x"]) == pytest.approx(float(first["x"]) + float(first["width"]), abs=0.2)


def test_a_failed_span_has_another_colour() -> None:
    good, bad = bars(Span("a", 0, 1), Span("b", 1, 2, failed=True))
    assert good["fill"] != bad["fill"]


def test_the_background_is_white_so_that_it_is_readable_on_dark_pages() -> None:
    ground = next(drawn(Span("a", 0, 1)).iter(f"{SVG}rect"))
    assert ground.attrib["fill"] == "white"


def test_labels_are_text_and_never_markup() -> None:
    assert "<b> & co" in texts(Span("<b> & co", 0, 1))


def test_a_long_label_is_cut() -> None:
    [label] = [text for text in texts(Span("x" * 99, 0, 1)) if text.startswith("x")]
    assert len(label) == LONGEST_LABEL
    assert label.endswith("…")


def test_a_run_without_parts_has_a_picture_too() -> None:
    assert bars() == []


def test_the_picture_is_a_data_url_in_markdown() -> None:
    spans = [Span("publish", 0, 1)]
    head, _, data = picture(spans).partition("base64,")
    assert head == "![timeline](data:image/svg+xml;"
    assert base64.b64decode(data.removesuffix(")")).decode() == draw(spans)
