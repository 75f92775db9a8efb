"""The table in docs/credentials.md of what goes with what: held against what a check takes and refuses."""

import ast
import re
from itertools import product

import pytest
from pydantic import ValidationError

from infra.credentials import Strategy
from testing.labs import ROOT
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like
from tests.crash.cells import DELIVERIES, LAYOUTS, choose_sample, list_cells

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
    assert set(TABLE.values()) == set(CELLS)
    for told in CELLS.values():
        if not told.startswith("refused: "):
            path, _, name = told.strip("`").partition("::")
            assert name in {
                node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")
            }


def test_whatever_is_taken_is_rotated_by_the_test_of_cells_or_by_another_one() -> None:
    taken = {key for key, cell in TABLE.items() if not CELLS[cell].startswith("refused: ")}
    rotated = {(cell.layout, cell.delivery, cell.strategy) for cell in list_cells()}
    assert rotated == {key for key in taken if key[2] != Strategy.RECREATE}
    assert {TABLE[key] for key in taken - rotated} == {"sample", "deliveries"}


def test_the_sample_has_each_layout_with_each_delivery_and_each_strategy_with_both() -> None:
    sample, cells = choose_sample(), list(list_cells())
    assert {(cell.layout, cell.delivery) for cell in sample} == set(product(LAYOUTS, DELIVERIES))
    for field in ("layout", "delivery"):
        with_strategy = {(getattr(cell, field), cell.strategy) for cell in sample}
        assert with_strategy == {(getattr(cell, field), cell.strategy) for cell in cells}
