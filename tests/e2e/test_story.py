"""The whole walkthrough as one flow, on both generations of the CSI driver."""

from typing import Any

import pytest
from rotating import STACK, World, fault
from test_deploy import rows

from flows.story import story
from infra.errors import KeyturnError
from infra.targets import StoryOptions, Sync
from tasks.story import NOT_REACHED, TITLES

OPTIONS = StoryOptions(dry_run=False, sync=Sync.EXPRESS, data_loss="I accept data loss")


def tell(options: StoryOptions = OPTIONS) -> Any:
    return story(STACK, options, return_state=True)


@pytest.mark.parametrize("lab", ["reconciler", "republish"], indirect=True)
def test_the_story_proves_every_row_and_reports_what_was_seen(world: World) -> None:
    before = world.values()
    state = tell()
    assert (state.name, state.message) == ("Proven", "All 16 rows are proven")
    table = {row["row"]: row for row in rows("story")}
    assert list(table) == list(TITLES)
    assert {row["proven"] for row in table.values()} == {"yes"}
    assert table["S2"]["seen"] == "This is a Demo File."
    assert "the newest alone can be read" in table["S11"]["seen"]
    assert "TLSv1.3" in table["S16"]["seen"]
    assert world.values() != before
    world.assert_well()


def test_quick_run_shows_the_plan_and_changes_nothing(world: World) -> None:
    before = world.snapshot()
    assert story(STACK, return_state=True).name == "Planned"
    assert world.snapshot() == before


def test_a_row_that_cannot_be_proven_is_named_and_ends_the_story(world: World) -> None:
    with fault(world.lab, "database-down"):
        state = tell(StoryOptions(dry_run=False))
    assert state.name == "NotProven"
    assert isinstance(state.result(raise_on_failure=False), KeyturnError)
    table = {row["row"]: row for row in rows("story")}
    assert table["S3"]["proven"] == "yes"
    unproven = [row for row in table.values() if row["proven"] == "no"]
    assert unproven
    assert table["S16"]["seen"] == NOT_REACHED
