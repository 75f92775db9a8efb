"""The tear-down flow on the lab: with the exact confirmation alone, with all that there is, and for good."""

from collections.abc import Iterator
from typing import Any

import pytest
from emptied import EMPTIED, entered, is_empty, make_empty_lab
from prefect.client.schemas.objects import State

from flows.provision import provision
from flows.tear_down import tear_down
from infra.azure import groups
from infra.errors import Refused
from infra.settings import Settings
from infra.targets import ProvisionOptions, TearDownOptions


def run(confirm: str = "") -> State[Any]:
    return tear_down(EMPTIED, TearDownOptions(confirm=confirm), return_state=True)


def everything() -> list[tuple[str, str]]:
    return groups.list_resources(EMPTIED.resource_group, Settings())


@pytest.fixture(scope="module")
def provisioned(prefect_api: str) -> Iterator[None]:
    """A stack that may be torn down."""
    with make_empty_lab() as lab, entered(lab):
        provision(EMPTIED, ProvisionOptions(dry_run=False))
        yield


def test_only_the_exact_confirmation_removes_everything_and_a_second_run_finds_nothing(provisioned: None) -> None:
    before = everything()
    assert before
    shown = run()
    assert shown.name == "NotConfirmed"
    assert "would be removed" in (shown.message or "")
    for wrong in ("yes", EMPTIED.resource_group.upper(), f"{EMPTIED.resource_group} "):
        error = run(wrong).result(raise_on_failure=False)
        assert type(error) is Refused
        assert (error.code, error.seen) == ("NotConfirmed", wrong)
    assert everything() == before
    removed = run(EMPTIED.resource_group)
    assert removed.name == "Removed"
    assert everything() == []
    assert is_empty()
    assert run().name == "Unchanged"
    assert run(EMPTIED.resource_group).name == "Unchanged"


def test_a_group_that_never_was_is_nothing_to_remove(provisioned: None) -> None:
    stack = EMPTIED.model_copy(update={"resource_group": "nosuch-rg"})
    state: State[Any] = tear_down(stack, TearDownOptions(confirm="nosuch-rg"), return_state=True)
    assert state.name == "Unchanged"
    assert "nosuch-rg does not exist" in (state.message or "")
