"""The pictures of a fleet: one mark for each credential, those overdue in red, and a bar for each rotation."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from tasks.reports.fleet_pictures import BAD, GOOD, MOST_RIDES, Age, Ride, draw_ages, draw_wave, picture_ages

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"
LARGEST = 200_000
"""What Prefect's UIs show of a page without trouble."""


def marks(svg: str, kind: str) -> list[dict[str, str]]:
    return [dict(each.attrib) for each in ElementTree.fromstring(svg).iter(f"{SVG}{kind}")]  # noqa: S314


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314


def test_every_credential_is_a_mark_and_only_the_overdue_are_red_and_right_of_the_limit() -> None:
    ages = [Age(f"db-{number}", number / 100, number > 100) for number in range(161)]
    svg = draw_ages(ages)
    circles = marks(svg, "circle")
    assert len(circles) == 161
    red = [float(circle["cx"]) for circle in circles if circle["fill"] == BAD]
    blue = [float(circle["cx"]) for circle in circles if circle["fill"] == GOOD]
    [limit] = [float(line["x1"]) for line in marks(svg, "line") if line["stroke"] == BAD]
    assert (len(red), len(blue)) == (60, 101)
    assert max(blue[:-1]) <= limit <= min(red)
    assert texts(svg)[-1] == "161 credentials by age; 60 overdue"
    assert len({(circle["cx"], circle["cy"]) for circle in circles}) == 161, "no mark hides another"


def test_a_thousand_credentials_fit_a_page_even_if_all_are_of_one_age() -> None:
    for ages in (
        [Age(f"db-{n}", 0.5, False) for n in range(1000)],
        [Age(f"db-{n}", n / 900, n > 900) for n in range(1000)],
    ):
        assert len(picture_ages(ages)) < LARGEST
        heights = [float(circle["cy"]) for circle in marks(draw_ages(ages), "circle")]
        assert min(heights) > 0
        assert len(set(heights)) > 1


def test_it_is_drawn_on_white_and_names_are_escaped() -> None:
    for svg in (draw_ages([Age("<&>", 1.2, True)]), draw_wave([Ride("<&>", NOW, NOW)])):
        assert marks(svg, "rect")[0]["fill"] == "white"
    assert draw_ages([]).endswith("</svg>")


@pytest.mark.parametrize("count", [1, 24, 200])
def test_a_wave_has_a_bar_for_each_rotation_in_order_and_says_how_many_there_were(count: int) -> None:
    rides = [
        Ride(f"db-{n}", NOW + timedelta(seconds=n), NOW + timedelta(seconds=n + 30), failed=n == 0)
        for n in range(count)
    ]
    svg = draw_wave(rides[::-1])
    bars = marks(svg, "rect")[1:]
    assert len(bars) == min(count, MOST_RIDES)
    assert [bar["fill"] == BAD for bar in bars] == [True, *[False] * (len(bars) - 1)]
    assert [float(bar["x"]) for bar in bars] == sorted(float(bar["x"]) for bar in bars)
    words = texts(svg)[-1]
    assert words.startswith(f"{count} rotations in ")
    assert ("the first 60 are shown" in words) is (count > MOST_RIDES)
