"""Rotations in the threads of the fleet's own process: the alarms see them, and each is told by its verdict."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.states import Completed, Failed

from flows import fleet
from infra.credentials import Inventory
from infra.errors import NotFound
from infra.fleet.schedule import Attempt, Due, Why
from infra.rotation.options import Sync
from testing import bare
from testing.walkthrough import DEXTER

NOW = datetime.now(UTC)
DUE = Due(DEXTER.name, Why.REQUESTED, NOW, NOW)
ENDINGS = {
    "rotated": Completed(message="dexter: rotated. Rotation r1."),
    "rolled-back": Failed(message="dexter: rolled back. Rotation r1."),
    "failed": Failed(message="Flow run encountered an exception."),
}


def rotate(monkeypatch: pytest.MonkeyPatch, state: State[Any]) -> tuple[Mapping[str, Attempt], set[str]]:
    """Return what the fleet collects of a rotation that ends in a state, and the tags that its run gets."""
    tags = set[str]()

    def flow(*_: Any, **__: Any) -> State[Any]:
        tags.update(TagsContext.get().current_tags)
        return state

    monkeypatch.setattr(fleet, "rotate", flow)
    with ThreadPoolExecutor(1) as pool:
        starter = fleet.InThisProcess(Sync.EXPRESS, pool)
        starter.start(DUE, DEXTER)
        return starter.collect(10), tags


def test_a_rotation_in_the_fleets_own_process_has_the_tag_that_the_alarms_look_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert rotate(monkeypatch, ENDINGS["rotated"])[1] == {"fleet", "keyturn"}


@pytest.mark.parametrize("verdict", ENDINGS)
def test_the_verdict_of_a_rotation_is_read_from_its_message(monkeypatch: pytest.MonkeyPatch, verdict: str) -> None:
    collected, _ = rotate(monkeypatch, ENDINGS[verdict])
    assert collected[DEXTER.name].verdict == verdict
    assert collected[DEXTER.name].is_bad == (verdict != "rotated")


def test_threads_share_the_memory_of_the_process_from_before_the_first_one_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = list[str]()

    def get_inventory() -> Inventory:
        done.append("inventory")
        raise NotFound("There is no inventory", name="credentials.yaml")

    monkeypatch.setattr(fleet, "share_arenas", lambda: done.append("arenas"))
    monkeypatch.setattr(fleet, "get_inventory", get_inventory)

    bare.run(fleet.fleet)

    assert done == ["arenas", "inventory"]
