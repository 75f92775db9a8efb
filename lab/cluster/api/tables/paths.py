"""The simple JSON paths of additionalPrinterColumns: `.spec.a[0].b`, `.a['b.c']`, `.items[*].x`, `[?(@.type=="X")]`.

https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

import json
import re
from typing import Any

_STEP = re.compile(
    r"""\.?(?:\[\?\(@\.(?P<field>[\w.\\/-]+)\s*==\s*["'](?P<equal>[^"']*)["']\)\]|\[(?P<index>-?\d+)\]|\[(?P<all>\*)\]"""
    r"""|\[["'](?P<quoted>[^"']+)["']\]|(?P<name>(?:\\.|[^.\[\]])+))"""
)


def find_values(path: str, obj: Any) -> list[Any]:
    """All values that a path leads to; none when any part of it is missing."""
    values = [obj]
    for step in _STEP.finditer(path):
        values = [found for value in values for found in _follow(step, value)]
    return [value for value in values if value is not None]


def _follow(step: re.Match[str], value: Any) -> list[Any]:
    if step["field"] is not None:
        return [item for item in _list(value) if find_values("." + step["field"], item) == [step["equal"]]]
    if step["all"]:
        return list(value.values()) if isinstance(value, dict) else _list(value)
    if step["index"] is not None:
        index, items = int(step["index"]), _list(value)
        return [items[index]] if -len(items) <= index < len(items) else []
    key = step["quoted"] or re.sub(r"\\(.)", r"\1", step["name"])
    return [value[key]] if isinstance(value, dict) and key in value else []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def print_values(values: list[Any]) -> str:
    """Values as kubectl's JSON path prints them."""
    texts = []
    for value in values:
        texts.append(value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    return " ".join(texts)
