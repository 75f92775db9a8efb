"""The tear-down flow on the lab: with the exact confirmation alone, with all that there is, and for good."""

from collections.abc import Iterator
from typing import Any

import pytest
from changed_stacks import ChangeStack
from emptied import entered, is_empty, make_empty_lab
from prefect.client.schemas.objects import State
from reports import verdict

from flows.tear_down import tear_down
from infra.azure.client import Azure
from infra.azure.groups import ResourceGroups
from infra.errors import Refused
from infra.settings import Settings
from testing import bare
from testing.rotating import STACK

pytestmark = pytest.mark.owner


def run(confirm: str = "") -> State[Any]:
    return bare.run(tear_down, STACK.name, confirm)


def everything() -> list[tuple[str, str]]:
    with Azure(Settings()) as azure:
        return ResourceGroups(azure, STACK.resource_group).list_resources()


@pytest.fixture(scope="module")
def provisioned(prefect_api: str) -> Iterator[None]:
    """A stack that may be torn down: its pods have the vault's secrets mounted."""
    with make_empty_lab() as lab, entered(lab):
        bare.install()
        yield


def test_only_the_exact_confirmation_removes_everything_and_a_second_run_finds_nothing(provisioned: None) -> None:
    before = everything()
    assert before
    shown = run()
    assert verdict(shown) == "not confirmed"
    assert "would be removed" in (shown.message or "")
    for wrong in ("yes", STACK.resource_group.upper(), f"{STACK.resource_group} "):
        error = run(wrong).data
        assert type(error) is Refused
        assert (error.code, error.seen) == ("NotConfirmed", wrong)
    assert everything() == before
    removed = tear_down(STACK.name, STACK.resource_group, return_state=True)
    assert verdict(removed) == "removed"
    assert everything() == []
    assert is_empty()
    assert verdict(run()) == "unchanged"
    assert verdict(run(STACK.resource_group)) == "unchanged"


def test_a_group_that_never_was_is_nothing_to_remove(provisioned: None, changed: ChangeStack) -> None:
    changed(both={"cluster": {"resource_group": "nosuch-rg"}})
    state = run("nosuch-rg")
    assert verdict(state) == "unchanged"
    assert "nosuch-rg does not exist" in (state.message or "")
