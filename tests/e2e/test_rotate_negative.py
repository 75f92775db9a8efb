"""What a rotation refuses: by class, code and message, and with nothing changed."""

from collections.abc import Iterator

import pytest

from infra.errors import (
    AuthenticationFailed,
    Conflict,
    DatabaseUnreachable,
    InvalidInput,
    KeyturnError,
    LoginRefused,
    NotFound,
    Refused,
    SecretUnusable,
    SyncPending,
)
from infra.kubernetes.client import MERGE_PATCH
from infra.targets import Target
from testing.rotating import CANDIDATE, DATABASE, DEPLOYMENT, TARGET, World, fault, rotate


@pytest.fixture
def unchanged(world: World) -> Iterator[World]:
    """Nothing may have changed when the test is over."""
    before = world.snapshot()
    yield world
    assert world.snapshot() == before


def assert_refused(kind: type[KeyturnError], code: str, words: str, target: Target = TARGET, **changes: object) -> None:
    ended = rotate(target, **{"sync": "express", **changes})
    assert ended.name == "Refused"
    assert type(ended.error) is kind
    assert ended.error.code == code
    assert words in str(ended.error)
    assert words in ended.message


def test_a_vault_that_does_not_exist(unchanged: World) -> None:
    assert_refused(NotFound, "HostNotFound", "nosuchvault", TARGET.model_copy(update={"vault": "nosuchvault"}))


def test_a_secret_that_does_not_exist(unchanged: World) -> None:
    target = TARGET.model_copy(update={"password_secret": "nosuchsecret"})
    assert_refused(NotFound, "SecretNotFound", "dexterkeyvault/nosuchsecret", target)


def test_a_newest_version_that_is_disabled(world: World) -> None:
    newest = world.vault.get_latest("password").version
    world.vault.set_enabled("password", newest, False)
    before = world.snapshot()
    assert_refused(SecretUnusable, "SecretDisabled", newest)
    assert world.snapshot() == before
    world.vault.set_enabled("password", newest, True)


def test_no_consent_to_data_loss(unchanged: World) -> None:
    assert_refused(Refused, "ConsentMissing", "I accept data loss", data_loss="no")


def test_a_volume_that_keeps_the_database(world: World) -> None:
    template = world.deployment()["spec"]["template"]["spec"]
    volumes = [*template["volumes"], {"name": "data", "persistentVolumeClaim": {"claimName": "pgdata"}}]
    mounts = [*template["containers"][0]["volumeMounts"], {"name": "data", "mountPath": "/var/lib/postgresql/data"}]

    def put(volumes: object, mounts: object) -> None:
        container = {**template["containers"][0], "volumeMounts": mounts}
        body = {"spec": {"paused": True, "template": {"spec": {"volumes": volumes, "containers": [container]}}}}
        world.cluster.request("PATCH", DEPLOYMENT, {}, body, MERGE_PATCH)

    put(volumes, mounts)
    try:
        before = world.snapshot()
        assert_refused(Refused, "VolumeKeepsData", "POSTGRES_PASSWORD act only on an empty data directory")
        assert world.snapshot() == before
    finally:
        put(template["volumes"], template["containers"][0]["volumeMounts"])
        world.cluster.request("PATCH", DEPLOYMENT, {}, {"spec": {"paused": None}}, MERGE_PATCH)


def test_a_username_that_postgresql_reserves(unchanged: World) -> None:
    assert_refused(InvalidInput, "42939", "pg_", new_username="pg_dexter")


def test_a_workload_that_does_not_exist(unchanged: World) -> None:
    target = TARGET.model_copy(update={"consumers": (DATABASE.model_copy(update={"workload": "nosuchworkload"}),)})
    assert_refused(NotFound, "NotFound", "nosuchworkload", target)


def test_a_class_that_reads_another_vault_or_fills_another_secret(unchanged: World) -> None:
    target = TARGET.model_copy(update={"consumers": (DATABASE.model_copy(update={"synced_secret": "other"}),)})
    assert_refused(Conflict, "ProviderClassMismatch", "the Secret other has no key for password, username", target)


def test_a_database_that_does_not_answer(world: World) -> None:
    with fault(world.lab, "database-down"):
        ended = rotate(sync="express")
    assert ended.name == "Refused"
    assert type(ended.error) is DatabaseUnreachable
    world_before = world.versions()
    assert CANDIDATE not in [name for name, versions in world_before.items() if versions and name == CANDIDATE]


def test_versions_written_by_hand_that_the_database_never_got(world: World) -> None:
    values = world.values()
    world.vault.write("password", "written-by-hand", {})
    before = world.snapshot()["versions"]
    ended = rotate(sync="express")
    assert ended.name == "Refused"
    assert type(ended.error) is LoginRefused
    assert ended.error.code == "28P01"
    assert "written by hand" in ended.error.fix
    assert "written-by-hand" not in ended.message
    assert world.snapshot()["versions"] == before
    world.vault.write("password", values[1], {})


def test_a_sync_that_never_comes_says_how_to_go_on_and_express_does(world: World) -> None:
    before = world.values()
    with fault(world.lab, "sync-paused"):
        ended = rotate(sync="wait", sync_timeout_seconds=1)
        assert ended.name == "SyncPending"
        assert type(ended.error) is SyncPending
        assert "0 of 2 new versions" in ended.error.seen
        assert "'express'" in ended.error.fix
        assert world.logs_in(before), "nobody is locked out meanwhile"
        assert all(world.versions()["password"][one.version] for one in world.vault.list_versions("password")[:2])
        assert rotate(sync="express").name == "Rotated"
    world.assert_well()


def test_a_caller_whose_secret_is_wrong(unchanged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AZURE_CLIENT_SECRET", "wrong")
        assert_refused(AuthenticationFailed, "AADSTS7000215", "AZURE_CLIENT_SECRET")


def test_a_kubeconfig_that_does_not_exist(unchanged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("KEYTURN_KUBECONFIG", "/nonexistent/kubeconfig")
        assert_refused(NotFound, "", "/nonexistent/kubeconfig")


@pytest.mark.parametrize("name", [pytest.param("username", marks=pytest.mark.slow), "password"])
def test_a_version_that_somebody_writes_meanwhile_stays(world: World, name: str) -> None:
    before = world.values()
    with fault(world.lab, "sync-paused"):
        assert rotate(sync="wait", sync_timeout_seconds=1).name == "SyncPending"
    theirs = world.vault.write(name, dict(zip(("username", "password"), before, strict=True))[name], {})
    ended = rotate(sync="express")
    assert ended.name == "NeedsOperator"
    assert type(ended.error) is Conflict
    assert ended.error.code == "NewerVersion"
    assert theirs.version in ended.error.seen
    assert world.vault.get_latest(name).version == theirs.version
    other = "password" if name == "username" else "username"
    world.vault.write(other, dict(zip(("username", "password"), before, strict=True))[other], {})
    world.vault.delete(CANDIDATE)
    assert rotate(sync="express").name == "Rotated"
    world.assert_well()
