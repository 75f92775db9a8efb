"""The table in docs/credentials.md of what goes with what: held against what a check takes and refuses."""

import ast
import re
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from infra.credentials import Strategy
from testing.labs import ROOT
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like

LAYOUTS: dict[str, dict[str, Any]] = {
    "pair": {"username": "orders-username", "password": "orders-password"},
    "password": {"kind": "password", "username": "orders", "password": "orders-password"},
    "json": {"kind": "json", "secret": "orders-json"},
    "json without username": {"kind": "json", "secret": "orders-json", "username": "orders"},
    "connection-string": {"kind": "connection-string", "secret": "orders-url"},
}
FILES = {"kind": "csi", "secret_provider_class": "orders"}
DELIVERIES: dict[str, list[dict[str, str]]] = {
    "csi": [{**FILES, "synced_secret": "orders"}],
    "csi, files alone": [FILES],
    "secret": [{"kind": "secret", "secret": "orders", "kept_by": "orders"}],
    "external-secret": [{"kind": "external-secret", "external_secret": "orders"}],
    "two classes": [FILES, {**FILES, "secret_provider_class": "orders-too"}],
    "none": [],
}
TEXT = (ROOT / "docs" / "credentials.md").read_text()
CELLS = dict(re.findall(r"^\| `([\w-]+)` \| (tests/.*|`tests/.*|refused: .*) \|$", TEXT, re.MULTILINE))


def read_table() -> dict[tuple[str, str, str], str]:
    """Return layout, delivery and strategy -> the cell."""
    lines = TEXT.partition("| layout | delivery |")[2].partition("\n\n")[0].splitlines()
    strategies = [word.strip() for word in lines[0].strip("| ").split("|")]
    rows = [[word.strip() for word in line.strip("| ").split("|")] for line in lines[2:]]
    return {
        (layout, delivery, strategy): cell
        for layout, delivery, *cells in rows
        for strategy, cell in zip(strategies, cells, strict=True)
    }


TABLE = read_table()


def find_refusal(layout: str, delivery: str, strategy: str) -> str:
    """Return why a check refuses a credential of this kind; empty if it does not."""
    kept, of_database = DELIVERIES[delivery], strategy == Strategy.RECREATE
    client = consumer_like(DATABASE, name="client", is_database=False)
    client = client.model_validate({**client.model_dump(), "delivery": None, "deliveries": kept}) if kept else client
    consumers = ((DATABASE,) if of_database else ()) + (client,) if kept else ()
    base = SERVER if strategy == Strategy.MANAGED else DEXTER
    try:
        made = change(base, strategy=strategy, secrets=LAYOUTS[layout], consumers=consumers)
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return made.find_contradiction()


def test_the_table_has_every_combination() -> None:
    assert set(TABLE) == set(product(LAYOUTS, DELIVERIES, Strategy))


@pytest.mark.parametrize(("layout", "delivery", "strategy"), TABLE)
def test_a_check_takes_what_the_table_says_and_refuses_the_rest_for_its_reason(
    layout: str, delivery: str, strategy: str
) -> None:
    told = CELLS.get(TABLE[layout, delivery, strategy], "")
    refusal = find_refusal(layout, delivery, strategy)
    if told.startswith("refused: "):
        assert refusal.startswith(told.removeprefix("refused: "))
    else:
        assert refusal == ""


def test_every_cell_is_a_test_that_exists_or_a_reason() -> None:
    assert set(TABLE.values()) <= {*CELLS, "apart"}
    assert set(CELLS) <= set(TABLE.values()), "nothing is said of what no cell names"
    for told in CELLS.values():
        if not told.startswith("refused: "):
            path, _, name = told.strip("`").partition("::")
            assert name in {
                node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")
            }


def test_whatever_is_taken_has_its_layout_and_its_delivery_rotated_somewhere() -> None:
    proven = {key for key, cell in TABLE.items() if cell in CELLS and not CELLS[cell].startswith("refused: ")}
    assert {layout for layout, _, _ in proven} == set(LAYOUTS)
    assert {delivery for _, delivery, _ in proven} == set(DELIVERIES)
    assert {strategy for _, _, strategy in proven} == set(Strategy)
