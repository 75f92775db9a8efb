"""Killed with SIGKILL in steps that read or write its secrets, a rotation of each layout is ended by the next run."""

import json

import pytest

from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from infra.rotation.steps import Action
from testing.walkthrough import DEXTER, SERVER, change
from tests.crash.faulty import prefix_of, rotate
from tests.crash.guillotine import FIRST_WRITE, KillPoint, When
from tests.crash.layouts import FIRST, LAYOUT_CASES, VALUES, LayoutCase, drop_roles, make_role
from tests.crash.scene import Scene

A = Action
ALTERNATING, IN_PLACE = (A.STAGE, A.ENABLE_ALTERNATE, A.PUBLISH, A.RESTART), (A.STAGE, A.PUBLISH, A.SET_PASSWORD)
CHEAP = "JSON"
"""The one that `make test-faults` kills; the others are slow tests."""
MARKED = [
    pytest.param(case, id=case.name, marks=() if case.name == CHEAP else pytest.mark.slow) for case in LAYOUT_CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_a_killed_rotation_of_each_layout_ends_well_and_leaves_all_else_in_its_secret(
    scene: Scene, case: LayoutCase
) -> None:
    with case.prepared(scene):
        before = scene.newest(case.credential)
        for action in ALTERNATING if case.strategy is Strategy.ALTERNATING else IN_PLACE:
            point = KillPoint(prefix_of(action), FIRST_WRITE, When.AFTER)
            killed = scene.zygote.run(case.credential, case.options(), point, fresh_id="kept")
            assert killed.killed_at, killed.message
            case.check_after_kill(scene, before)
        ended = scene.zygote.run(case.credential, case.options())
        assert ended.verdict == Verdict.ROTATED, ended.message
        case.check_after_rotation(scene, before)
        layout, vault = case.credential.secrets, scene.vault(case.credential)
        values = {name: vault.read(name) for name in layout.names}
        rendered = layout.render(before, values)
        texts = rendered | {name: encoding.read(rendered[name]) for name, encoding in layout.encodings.items()}
        assert texts == {name: VALUES[name] for name in layout.names}


KEPT = {
    "JSON": ({"kind": "json"}, '{{"username": "{}",\n "password": "{}", "port": 5432}}\n'),
    "JSON without the username": ({"kind": "json", "username": FIRST.username}, '{{"password": "{1}"}}'),
    "uri": ({"kind": "connection-string"}, "postgresql+asyncpg://{}:{}@db:6432/orders?ssl=require"),
    "jdbc": ({"kind": "connection-string"}, "jdbc:postgresql://db/orders?user={}&password={}&ssl=true"),
    "keywords": ({"kind": "connection-string"}, "host=db user={} password='{}' dbname=orders"),
    "ado": ({"kind": "connection-string"}, "Host=db;Username={};Password={};SSL Mode=Require"),
}
SYMBOLS = {"length": 64, "symbols": "'\"\\;=%@:/?#&{}"}


@pytest.mark.slow
@pytest.mark.parametrize("way", KEPT)
def test_a_password_of_many_symbols_is_set_and_published_in_every_way_to_keep_it(scene: Scene, way: str) -> None:
    fields, text = KEPT[way]
    secrets = {**fields, "secret": "orders-kept"}
    credential = change(DEXTER, name="orders", strategy="in-place", consumers=(), secrets=secrets, password=SYMBOLS)
    vault = scene.vault(credential)
    make_role(scene)
    vault.write("orders-kept", text.format(FIRST.username, FIRST.password))
    try:
        ended = rotate(credential)
        assert ended.verdict is Verdict.ROTATED, ended.message
        newest, written = scene.newest(credential), vault.read("orders-kept")
        assert scene.logs_in(credential, newest)
        assert not scene.logs_in(credential, FIRST)
        assert len(newest.password) == SYMBOLS["length"]
        restored = credential.secrets.render(FIRST, {"orders-kept": written})["orders-kept"]
        assert restored.replace("'", "") == text.format(FIRST.username, FIRST.password).replace("'", "")
    finally:
        drop_roles(scene)
        vault.delete("orders-kept")
        vault.purge("orders-kept")


@pytest.mark.slow
def test_azure_sets_the_password_of_an_administrator_that_is_kept_in_json(scene: Scene) -> None:
    vault, before = scene.vault(SERVER), scene.newest(SERVER)
    credential = change(SERVER, name="server-json", secrets={"kind": "json", "secret": "server-json"})
    vault.write("server-json", json.dumps({"username": before.username, "password": before.password, "tls": True}))
    try:
        ended = rotate(credential)
        assert ended.verdict is Verdict.ROTATED, ended.message
        newest = scene.newest(credential)
        assert scene.logs_in(credential, newest)
        assert not scene.logs_in(credential, before)
        assert json.loads(vault.read("server-json"))["tls"] is True
    finally:
        vault.write(SERVER.secrets.names[-1], scene.newest(credential).password)
        vault.delete("server-json")
        vault.purge("server-json")
