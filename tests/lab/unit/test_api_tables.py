"""What Tables show: ages and the values at JSON paths."""

from typing import Any

import pytest

from lab.cluster.api.tables.ages import human_duration
from lab.cluster.api.tables.network import shorten
from lab.cluster.api.tables.paths import find_values, print_values

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (199, "3m19s"),
        (9 * MINUTE + 59, "9m59s"),
        (10 * MINUTE + 5, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 27 * MINUTE, "3h27m"),
        (8 * HOUR + 5, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (7 * DAY + 23 * HOUR, "7d23h"),
        (8 * DAY, "8d"),
        (729 * DAY, "729d"),
        (730 * DAY, "2y"),
        (735 * DAY, "2y5d"),
        (3000 * DAY, "8y"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


OBJECT: dict[str, Any] = {
    "spec": {"size": 3, "names": ["a", "b"], "off": False},
    "metadata": {"annotations": {"example.com/x": "y"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".spec.size", [3]),
        (".spec.off", [False]),
        (".spec.names[1]", ["b"]),
        (".spec.names[5]", []),
        (".spec.names[*]", ["a", "b"]),
        (".spec.none.deeper", []),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        ('.status.conditions[?(@.type=="None")].status', []),
        (r".metadata.annotations.example\.com/x", ["y"]),
        (".metadata.annotations['example.com/x']", ["y"]),
    ],
)
def test_paths_lead_to_values(path: str, values: list[Any]) -> None:
    assert find_values(path, OBJECT) == values


def test_values_are_printed_as_text_or_json() -> None:
    assert print_values(["a", 1, True, {"b": [2]}]) == 'a 1 true {"b":[2]}'


def test_long_lists_are_shortened() -> None:
    assert shorten([]) == "<none>"
    assert shorten(["a", "b", "c"]) == "a,b,c"
    assert shorten(["a", "b", "c", "d"]) == "a,b,c + 1 more..."
