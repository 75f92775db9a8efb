"""An application's login on a Flexible Server: in place by itself, in turns with the help of the administrator."""

from collections.abc import Iterator

import pytest

from infra.errors import Refused
from infra.postgres.alternation import find_owner
from infra.postgres.connection import connected
from infra.postgres.writing import make_verifier
from infra.rotation.verdict import Verdict
from infra.settings import Settings
from infra.targets import Strategy, Sync, Target, Through
from tasks.connections import endpoint_of
from testing import bare
from tests.crash.cases import SERVER
from tests.crash.faulty import nothing_lost, rotate
from tests.crash.scene import Scene

APP = Target(
    through=Through.SERVER,
    strategy=Strategy.IN_PLACE,
    username_secret="shop-username",
    password_secret="shop-password",
    consumers=(),
)
ALONE = APP.model_copy(update={"strategy": Strategy.ALTERNATING})
HELPED = ALONE.model_copy(
    update={"admin_username_secret": "server-username", "admin_password_secret": "server-password"}
)
FIRST = ("shop", "first-Password-1")


@pytest.fixture
def shop(scene: Scene) -> Iterator[Scene]:
    """A login without rights on the server, and its credential in the vault."""
    scene.lab.faults.clear_faults()
    vault = scene.vault(APP)
    with connected(endpoint_of(SERVER), *scene.newest(SERVER), Settings()) as admin:
        verifier = make_verifier(admin, *FIRST)
        admin.execute(f"CREATE ROLE shop LOGIN PASSWORD '{verifier}'")  # type: ignore[call-overload]
        for name, value in zip((APP.username_secret, APP.password_secret), FIRST, strict=True):
            vault.write(name, value)
        yield scene
        roles = admin.execute("SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'shop%'").fetchall()
        for (role,) in roles:
            admin.execute(f'DROP ROLE "{role}"')  # type: ignore[call-overload]
    for name in (APP.username_secret, APP.password_secret):
        vault.delete(name)
        vault.purge(name)


def test_a_login_without_rights_gives_itself_another_password_over_verified_tls(shop: Scene) -> None:
    with nothing_lost(shop, APP) as before:
        ended = rotate(APP, sync=Sync.WAIT)
        assert ended.verdict is Verdict.ROTATED, ended.message
    assert shop.newest(APP)[0] == before[0]
    assert not shop.logs_in(APP, before)


def test_two_logins_take_turns_by_the_hand_of_the_administrator(shop: Scene) -> None:
    with pytest.raises(Refused) as caught:
        bare.prepare_for_two_logins(ALONE)
    assert caught.value.code == "42501"
    assert "`administrator`" in caught.value.fix
    bare.prepare_for_two_logins(HELPED)
    for _ in range(2):
        with nothing_lost(shop, HELPED) as before:
            ended = rotate(HELPED)
            assert ended.verdict is Verdict.ROTATED, ended.message
        assert shop.newest(HELPED)[0] != before[0]
        assert not shop.logs_in(HELPED, before)
    newest = shop.newest(HELPED)
    assert newest[0] == FIRST[0], "it is the first one's turn again"
    with connected(endpoint_of(HELPED), *newest, Settings()) as session:
        owner = find_owner(session, newest[0])
    assert owner is not None
    assert owner.logins == ("shop", "shop_b")
