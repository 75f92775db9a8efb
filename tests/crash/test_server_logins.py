"""An application's login on a Flexible Server: in-place by itself, alternating with the help of the administrator."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from infra.credentials import Credential, Login, SecretPair, Strategy, ValidUntil
from infra.errors import Code, Refused
from infra.postgres.database import make_verifier
from infra.postgres.login_parts import get_valid_until
from infra.postgres.owner_role import find_owner_role
from infra.rotation.execution import Verdict
from infra.rotation.options import RotationOptions, Sync
from infra.rotation.plan import make_plan
from infra.rotation.preflight import Finding
from tasks.preflight import Question
from tasks.preflight.roles import check_valid_until
from tasks.rotation import observe
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
OPTIONS = RotationOptions()


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
            administrator.execute(f'GRANT "{role}" TO SESSION_USER')
            administrator.execute(f'DROP OWNED BY "{role}"')
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


CLERKED = change(SHOP, administrator=SecretPair(username="clerk-username", password="clerk-password"))


@pytest.fixture
def clerk(shop: Scene) -> Iterator[Scene]:
    """The login, and an administrator of its credential that has no rights."""
    vault, layout = shop.vault(CLERKED), CLERKED.administrator
    assert layout is not None
    execute(shop, "CREATE ROLE shop_clerk LOGIN PASSWORD 'clerk-Password-1'")
    for name, value in layout.render(Login("shop_clerk", "clerk-Password-1")).items():
        vault.write(name, value)
    yield shop
    for name in layout.names:
        vault.delete(name)
        vault.purge(name)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_change_that_the_database_would_refuse_is_found_before_anything_is_staged(
    clerk: Scene, dry_run: bool
) -> None:
    with nothing_lost(clerk, CLERKED) as before:
        ended = rotate(CLERKED, dry_run=dry_run)
        assert (ended.verdict, ended.code) == (Verdict.REFUSED, "42501")
    assert clerk.newest(CLERKED) == before
    assert clerk.staged(CLERKED) is None


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


def execute(scene: Scene, *statements: str, login: Login | None = None) -> None:
    """Run statements as a login; by default as the administrator."""
    with scene.database(SERVER).connected(login or scene.newest(SERVER)) as connection:
        for statement in statements:
            connection.execute(statement)


def get_last_day(scene: Scene, role: str) -> datetime:
    """Return when a login's password ends."""
    with scene.database(SERVER).connected(scene.newest(SERVER)) as connection:
        until, _ = get_valid_until(connection, role)
    assert until is not None
    return until


def set_last_day(scene: Scene, period: timedelta) -> datetime:
    """Let the password of the credential's login end some time from now."""
    until = datetime.now(UTC).replace(microsecond=0) + period
    execute(scene, f"ALTER ROLE shop VALID UNTIL '{until.isoformat()}'")
    return until


def test_a_schema_of_the_logins_name_keeps_a_migration_from_open_sessions_and_is_found_afterwards(shop: Scene) -> None:
    execute(shop, "GRANT CREATE ON DATABASE postgres TO shop")
    execute(shop, "CREATE SCHEMA shop", "CREATE TABLE orders AS SELECT 42 AS id", login=FIRST)
    with shop.database(HELPED).connected(FIRST) as client:
        client.execute("SET application_name = 'client'")
        with pytest.raises(Refused) as caught:
            bare.make_owner_role(HELPED)
        assert caught.value.code == Code.SCHEMA_OF_ITS_NAME
        assert caught.value.seen == "1 sessions in postgres"
        assert client.execute("SELECT id FROM orders").fetchall() == [(42,)], "nothing was changed"
        assert find_owner_role(client, FIRST.username) is None
    bare.make_owner_role(HELPED)
    for _ in range(2):
        with shop.database(HELPED).connected(shop.newest(HELPED)) as client:
            assert client.execute("SELECT id FROM orders").fetchall() == [(42,)]
        ended = rotate(HELPED)
        assert ended.verdict is Verdict.ROTATED, ended.message


def test_a_session_that_does_not_act_as_the_owner_role_keeps_two_logins_from_alternating(shop: Scene) -> None:
    bare.make_owner_role(HELPED)
    execute(shop, "ALTER ROLE shop IN DATABASE postgres SET role = 'none'")
    with nothing_lost(shop, HELPED):
        ended = rotate(HELPED)
    assert (ended.verdict, ended.code) == (Verdict.REFUSED, Code.ACTS_AS_ANOTHER)
    assert shop.newest(HELPED) == FIRST


@pytest.mark.parametrize("rule", ValidUntil)
def test_the_alternate_logins_password_ends_on_a_date_too_by_the_credentials_rule(
    shop: Scene, rule: ValidUntil
) -> None:
    credential, until = change(HELPED, valid_until=rule), set_last_day(shop, timedelta(days=90))
    bare.make_owner_role(credential)
    assert get_last_day(shop, "shop") == until
    written = shop.vault(SHOP).get_latest("shop-password").created_at
    ended = rotate(credential)
    assert ended.verdict is Verdict.ROTATED, ended.message
    later = get_last_day(shop, "shop_b")
    if rule is ValidUntil.KEEP:
        assert later == until
    else:
        length = until - written
        assert length <= later - written <= length + timedelta(minutes=10)
        assert later > until
    assert get_last_day(shop, "shop") == until


def test_a_password_that_its_login_cannot_make_last_longer_is_told_or_refused_by_its_date(shop: Scene) -> None:
    near = set_last_day(shop, timedelta(hours=12))
    with nothing_lost(shop, SHOP) as before:
        ended = rotate(SHOP)
        assert (ended.verdict, ended.code) == (Verdict.REFUSED, Code.VALID_UNTIL_STAYS)
        assert f"{near:%Y-%m-%d %H:%M}" in ended.message
        assert shop.newest(SHOP) == before
    far = set_last_day(shop, timedelta(days=2))
    (finding,) = find_last_day(shop, SHOP)
    assert (finding.error.code, finding.is_blocking) == (Code.VALID_UNTIL_STAYS, False)
    with nothing_lost(shop, SHOP):
        assert rotate(SHOP).verdict is Verdict.ROTATED
    assert get_last_day(shop, "shop") == far


def test_the_administrator_lets_a_password_last_longer_that_its_login_cannot(shop: Scene) -> None:
    near = set_last_day(shop, timedelta(hours=12))
    credential = change(SHOP, administrator=SERVER.secrets)
    assert find_last_day(shop, credential) == []
    with nothing_lost(shop, credential):
        ended = rotate(credential)
        assert ended.verdict is Verdict.ROTATED, ended.message
    assert get_last_day(shop, "shop") > near


def find_last_day(scene: Scene, credential: Credential) -> list[Finding]:
    """Make the check of the password's last day."""
    with bare.without_prefect():
        observation = observe(credential)
    plan = make_plan(credential, OPTIONS, observation, "r1")
    return list(check_valid_until(Question(scene.access(credential), OPTIONS, observation, plan)))
