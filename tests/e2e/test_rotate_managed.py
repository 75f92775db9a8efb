"""A Flexible Server's administrator gets a new password through Azure, by the real flow."""

import pytest
from killing import kill
from reports import verdict

from infra.azure.names import get_host
from infra.credentials import Login
from infra.postgres.addresses import Address
from infra.postgres.database import Database
from infra.rotation.execution import Verdict
from testing.inventory import listed
from testing.rotating import Pair, World, rotate
from testing.walkthrough import SERVER

ADDRESS = Address(get_host("sonarqube-postgresql3"))


def logs_in(world: World, values: Pair) -> bool:
    return Database(ADDRESS, world.settings).takes(Login(*values))


def count_enabled(world: World, name: str) -> int:
    return sum(found.enabled for found in world.vault.list_versions(name))


def test_the_administrator_has_another_password_and_as_many_versions_stay_as_asked_for(world: World) -> None:
    from flows.verify_login import verify_login

    before, walkthrough = world.values(SERVER), world.values()
    ended = rotate(SERVER, data_loss="no", keep_versions=1)
    assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    after = world.values(SERVER)
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert logs_in(world, after)
    assert not logs_in(world, before)
    assert world.values() == walkthrough, "the credential in the cluster is another one"
    assert count_enabled(world, "server-password") == 2
    assert rotate(SERVER).verdict is Verdict.ROTATED
    assert count_enabled(world, "server-password") == 1
    state = verify_login(listed(SERVER), return_state=True)
    assert state.name == "Completed"
    assert verdict(state) == "verified"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["PATCH administrator", "write server-password"])
def test_a_rotation_that_is_killed_around_the_change_in_azure_is_finished_by_the_next_run(
    world: World, which: str
) -> None:
    before = world.values(SERVER)
    assert kill("after", which, SERVER) == f"killed after {which}"
    ended = rotate(SERVER)
    assert ended.verdict is Verdict.ROTATED, ended.message
    assert not logs_in(world, before)
    assert logs_in(world, world.values(SERVER))
    assert world.vault.find_latest("server-username-server-password-candidate") is None
