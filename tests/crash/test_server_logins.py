"""An application's login on a Flexible Server: in-place by itself, alternating with the help of the administrator."""

from collections.abc import Iterator

import pytest

from infra.credentials import Login, SecretPair, Strategy
from infra.errors import Refused
from infra.postgres.database import make_verifier
from infra.postgres.owner_role import find_owner_role
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from testing import bare
from testing.walkthrough import SERVER, change
from tests.crash.faulty import nothing_lost, rotate
from tests.crash.scene import Scene

SHOP = change(
    SERVER,
    name="shop",
    strategy=Strategy.IN_PLACE,
    secrets=SecretPair(username="shop-username", password="shop-password"),
)
ALONE = change(SHOP, strategy=Strategy.ALTERNATING)
HELPED = change(ALONE, administrator=SERVER.secrets)
FIRST = Login("shop", "first-Password-1")


@pytest.fixture
def shop(scene: Scene) -> Iterator[Scene]:
    """A login without rights on the server, and its credential in the vault."""
    scene.lab.faults.clear_faults()
    vault = scene.vault(SHOP)
    with scene.database(SERVER).connected(scene.newest(SERVER)) as administrator:
        verifier = make_verifier(administrator, FIRST)
        administrator.execute(f"CREATE ROLE shop LOGIN PASSWORD '{verifier}'")
        for name, value in SHOP.secrets.render(FIRST).items():
            vault.write(name, value)
        yield scene
        roles = administrator.execute("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'shop%'").fetchall()
        for (role,) in roles:
            administrator.execute(f'DROP ROLE "{role}"')
    for name in SHOP.secrets.names:
        vault.delete(name)
        vault.purge(name)


def test_a_login_without_rights_gives_itself_another_password_over_verified_tls(shop: Scene) -> None:
    with nothing_lost(shop, SHOP) as before:
        ended = rotate(SHOP, sync=Sync.WAIT)
        assert ended.verdict is Verdict.ROTATED, ended.message
    assert shop.newest(SHOP).username == before.username
    assert not shop.logs_in(SHOP, before)


def test_two_logins_alternate_with_the_help_of_the_administrator(shop: Scene) -> None:
    with pytest.raises(Refused) as caught:
        bare.make_owner_role(ALONE)
    assert caught.value.code == "42501"
    assert "administrator" in caught.value.fix
    bare.make_owner_role(HELPED)
    for _ in range(2):
        with nothing_lost(shop, HELPED) as before:
            ended = rotate(HELPED)
            assert ended.verdict is Verdict.ROTATED, ended.message
        assert shop.newest(HELPED).username != before.username
        assert not shop.logs_in(HELPED, before)
    newest = shop.newest(HELPED)
    assert newest.username == FIRST.username, "it is the first login's turn again"
    with shop.database(HELPED).connected(newest) as connection:
        owner = find_owner_role(connection, newest.username)
    assert owner is not None
    assert owner.logins == ("shop", "shop_b")
