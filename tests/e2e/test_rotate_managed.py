"""A Flexible Server's administrator gets a new password through Azure, by the real flow."""

import pytest
from killing import kill
from reports import verdict

from infra.errors import LoginRefused
from infra.postgres.login import prove_login
from tasks.connections import endpoint_of
from testing.inventory import DEXTER_SERVER, listed
from testing.rotating import SERVER, World, rotate


def values_of(world: World) -> tuple[str, str]:
    return world.vault.read("server-username"), world.vault.read("server-password")


def logs_in(world: World, values: tuple[str, str]) -> bool:
    try:
        prove_login(endpoint_of(SERVER), *values, world.settings)
    except LoginRefused:
        return False
    return True


def test_the_administrator_has_another_password_and_as_many_versions_stay_as_asked_for(world: World) -> None:
    from flows.verify_login import verify_login

    before, walkthrough = values_of(world), world.values()
    ended = rotate(SERVER, data_loss="no", keep_versions=1)
    assert (ended.name, ended.error) == ("Rotated", None)
    after = values_of(world)
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert not logs_in(world, before)
    assert world.values() == walkthrough, "the credential in the cluster is another one"
    assert sum(one.enabled for one in world.vault.list_versions("server-password")) == 2
    assert rotate(SERVER).name == "Rotated"
    assert sum(one.enabled for one in world.vault.list_versions("server-password")) == 1
    state = verify_login(listed(DEXTER_SERVER), return_state=True)
    assert verdict(state) == "verified"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["PATCH administrator", "write server-password"])
def test_a_rotation_that_dies_around_the_change_at_azure_is_finished_by_the_next(world: World, which: str) -> None:
    before = values_of(world)
    assert kill("after", which, SERVER) == f"killed after {which}"
    ended = rotate(SERVER)
    assert ended.name == "Rotated", ended.message
    assert not logs_in(world, before)
    assert logs_in(world, values_of(world))
    assert world.vault.find_latest("server-username-server-password-candidate") is None
