"""The whole walkthrough as one flow, on both generations of the CSI driver."""

from typing import Any

import pytest
from reports import rows, verdict

from flows.story import story
from infra.errors import Refused
from infra.rotation.options import Sync
from tasks.provisioning.story import NOT_REACHED, TITLES
from testing.rotating import PROVISIONED, STACK, World

pytestmark = pytest.mark.owner


def tell(data_loss: str = "I accept data loss") -> Any:
    seconds = PROVISIONED.poll_interval_seconds
    return story(STACK.name, False, Sync.EXPRESS, data_loss, seconds, return_state=True)


@pytest.mark.parametrize("lab", ["reconciler", pytest.param("republish", marks=pytest.mark.slow)], indirect=True)
def test_the_story_proves_every_row_and_reports_what_was_seen(world: World) -> None:
    before = world.values()
    state = tell()
    assert (state.name, state.message) == ("Completed", "walkthrough: proven. All 16 rows.")
    table = {row["row"]: row for row in rows("story", state)}
    assert list(table) == list(TITLES)
    assert {row["proven"] for row in table.values()} == {"yes"}
    assert table["S2"]["seen"] == "This is a Demo File."
    assert "only the newest can be read" in table["S11"]["seen"]
    assert "TLSv1.3" in table["S16"]["seen"]
    assert world.values() != before
    world.assert_well()


def test_quick_run_shows_the_plan_and_changes_nothing(world: World) -> None:
    before = world.snapshot()
    state = story(STACK.name, poll_interval_seconds=2, return_state=True)
    assert (state.name, verdict(state)) == ("Completed", "planned")
    assert world.snapshot() == before


def test_a_row_that_cannot_be_proven_is_named_and_ends_the_story(world: World) -> None:
    before = world.values()
    state = tell("no")
    assert (state.name, verdict(state)) == ("Failed", "not proven")
    error = state.result(raise_on_failure=False)
    assert type(error) is Refused
    assert error.code == "ConsentMissing"
    table = {row["row"]: row for row in rows("story", state)}
    assert {row for row, shown in table.items() if shown["proven"] == "yes"} == {f"S{nth}" for nth in range(1, 11)}
    assert {table[row]["seen"] for row in ("S11", "S12", "S13", "S14")} == {str(error)}
    assert {table[row]["seen"] for row in ("S15", "S16")} == {NOT_REACHED}
    assert world.values() == before
