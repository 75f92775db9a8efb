"""A credential of the inventory that cannot be used is never rotated, so fleet and audit say it aloud."""

from datetime import UTC, datetime
from pathlib import Path

import yaml
from prefect.client.schemas.objects import State

from flows.audit import _end as end_audit
from infra.credentials import Inventory, load_inventory
from infra.errors import InvalidInput, KeyturnError, NeedsOperator
from infra.fleet.roster import Limits, Roster
from tasks.fleet.table import describe, list_rows
from testing.walkthrough import DEXTER

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def with_mistakes(folder: Path) -> Inventory:
    """Return an inventory of two files: one credential is well, one is not, and one file cannot be read."""
    good = DEXTER.model_dump(mode="json", exclude={"name"})
    entries = {"orders-db": good, "billing-db": good | {"strategy": "in_place"}}
    (folder / "a.yaml").write_text(yaml.safe_dump({"credentials": entries}))
    (folder / "b.yaml").write_text("credentials: [")
    return load_inventory(folder)


def test_an_inventory_tells_what_of_it_cannot_be_used(tmp_path: Path) -> None:
    inventory = with_mistakes(tmp_path)
    file, name = inventory.errors
    assert file.startswith(str(tmp_path / "b.yaml"))
    assert name == "billing-db"
    error = inventory.errors[name]
    assert type(error) is InvalidInput
    assert "strategy: 'in_place' is none of its values" in error.seen


def test_the_fleets_table_has_a_row_for_what_cannot_be_used_before_all_others(tmp_path: Path) -> None:
    inventory = with_mistakes(tmp_path)
    roster = Roster(dict(inventory.credentials), {}, Limits())
    wave = roster.plan(NOW)
    rows = list_rows(roster, wave, inventory.errors, {}, NOW)
    assert {row["credential"]: row["now"] for row in rows}["billing-db"] == "The credential cannot be used"
    assert len(rows) == 3
    assert "2 could not be looked at" in describe(roster, wave, inventory.errors, NOW)


def test_an_audit_of_all_ends_badly_while_a_credential_cannot_be_used(tmp_path: Path) -> None:
    def ended(mistakes: dict[str, KeyturnError]) -> State[object]:
        state: State[object] = end_audit([], mistakes)
        return state

    mistakes = dict(with_mistakes(tmp_path).errors)
    assert ended({}).is_completed()
    state = ended(mistakes)
    assert state.is_failed()
    assert isinstance(state.data, NeedsOperator)
    assert "billing-db" in state.data.name
    assert state.data.cause in mistakes.values()
