"""What a rotation refuses: by class, code and message, and with nothing changed."""

from collections.abc import Iterator

import pytest

from infra.credentials import Credential, CsiDelivery, SecretPair
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
from infra.rotation.execution import Verdict
from testing.rotating import CANDIDATE, DEPLOYMENT, World, fault, rotate
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like


@pytest.fixture
def unchanged(world: World) -> Iterator[World]:
    """Nothing may have changed when the test is over."""
    before = world.snapshot()
    yield world
    assert world.snapshot() == before


def refuse(words: str, credential: Credential = DEXTER, **changes: object) -> tuple[type[KeyturnError], str]:
    """Run a rotation that is refused with these words, and return its error's class and code."""
    ended = rotate(credential, **{"sync": "express", **changes})
    assert ended.verdict is Verdict.REFUSED
    assert ended.error is not None
    assert words in str(ended.error)
    assert words in ended.message
    return type(ended.error), ended.error.code


def test_a_vault_that_does_not_exist_is_named(unchanged: World) -> None:
    assert refuse("nosuchvault", change(DEXTER, vault="nosuchvault")) == (NotFound, "HostNotFound")


def test_a_secret_that_does_not_exist_is_named(unchanged: World) -> None:
    absent = change(DEXTER, secrets=SecretPair(username="username", password="nosuchsecret"))
    assert refuse("dexterkeyvault/nosuchsecret", absent) == (NotFound, "SecretNotFound")


def test_a_newest_version_that_is_disabled_is_named(world: World) -> None:
    newest = world.vault.get_latest("password").version
    world.vault.set_enabled("password", newest, False)
    before = world.snapshot()
    assert refuse(newest) == (SecretUnusable, "SecretDisabled")
    assert world.snapshot() == before
    world.vault.set_enabled("password", newest, True)


def test_without_consent_to_data_loss_a_recreation_is_refused(unchanged: World) -> None:
    assert refuse("I accept data loss", data_loss="no") == (Refused, "ConsentMissing")


def test_a_database_whose_volume_keeps_its_files_is_not_recreated(world: World) -> None:
    template = world.deployment()["spec"]["template"]["spec"]
    volumes = [*template["volumes"], {"name": "data", "persistentVolumeClaim": {"claimName": "pgdata"}}]
    mounts = [*template["containers"][0]["volumeMounts"], {"name": "data", "mountPath": "/var/lib/postgresql/data"}]

    def put(volumes: object, mounts: object) -> None:
        container = {**template["containers"][0], "volumeMounts": mounts}
        spec = {"paused": True, "template": {"spec": {"volumes": volumes, "containers": [container]}}}
        world.cluster.patch(DEPLOYMENT, {"spec": spec})

    put(volumes, mounts)
    try:
        before = world.snapshot()
        words = "POSTGRES_PASSWORD act only on an empty data directory"
        assert refuse(words) == (Refused, "VolumeKeepsData")
        assert world.snapshot() == before
    finally:
        put(template["volumes"], template["containers"][0]["volumeMounts"])
        world.cluster.patch(DEPLOYMENT, {"spec": {"paused": None}})


def test_a_username_that_postgresql_reserves_is_refused(unchanged: World) -> None:
    assert refuse("pg_", new_username="pg_dexter") == (InvalidInput, "42939")


def test_a_workload_that_does_not_exist_is_named(unchanged: World) -> None:
    absent = consumer_like(DATABASE, name="nosuchworkload")
    assert refuse("nosuchworkload", change(DEXTER, consumers=(absent,))) == (NotFound, "NotFound")


def test_a_class_that_fills_another_secret_is_refused(unchanged: World) -> None:
    delivery = CsiDelivery(secret_provider_class=DATABASE.delivery.secret_provider_class, synced_secret="other")
    mismatched = change(DEXTER, consumers=(consumer_like(DATABASE, delivery=delivery),))
    words = "the Secret other has no key for password, username"
    assert refuse(words, mismatched) == (Conflict, "ProviderClassMismatch")


def test_a_database_that_does_not_answer_is_not_rotated(world: World) -> None:
    before = world.versions()
    with fault(world.lab, "database-down"):
        ended = rotate(sync="express")
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is DatabaseUnreachable
    assert world.versions() == before
    assert world.vault.find_latest(CANDIDATE) is None


def test_versions_written_by_hand_that_never_reached_the_database_are_refused(world: World) -> None:
    values = world.values()
    world.vault.write("password", "written-by-hand", {})
    before = world.snapshot()["versions"]
    ended = rotate(sync="express")
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is LoginRefused
    assert ended.error.code == "28P01"
    assert "written by hand" in ended.error.fix
    assert "written-by-hand" not in ended.message
    assert world.snapshot()["versions"] == before
    world.vault.write("password", values[1], {})


def test_a_sync_that_times_out_says_how_to_resume_and_express_does(world: World) -> None:
    before = world.values()
    with fault(world.lab, "sync-paused"):
        ended = rotate(sync="wait", sync_timeout_seconds=1)
        assert ended.verdict is Verdict.SYNC_PENDING
        assert type(ended.error) is SyncPending
        assert "0 of 2 new versions" in ended.error.seen
        assert "resumes here" in ended.error.fix
        assert "'express'" in ended.error.fix
        assert world.logs_in(before), "nobody is locked out meanwhile"
        assert all(found.enabled for found in world.vault.list_versions("password")[:2])
        assert rotate(sync="express").verdict is Verdict.ROTATED
    world.assert_well()


def test_a_caller_whose_secret_is_wrong_is_told_its_variable(unchanged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AZURE_CLIENT_SECRET", "wrong")
        assert refuse("AZURE_CLIENT_SECRET") == (AuthenticationFailed, "AADSTS7000215")


def test_a_kubeconfig_that_does_not_exist_is_named(unchanged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("KEYTURN_KUBECONFIG", "/nonexistent/kubeconfig")
        assert refuse("/nonexistent/kubeconfig") == (NotFound, "")


@pytest.mark.parametrize("name", [pytest.param("username", marks=pytest.mark.slow), "password"])
def test_a_foreign_version_stays(world: World, name: str) -> None:
    before = dict(zip(DEXTER.secrets.names, world.values(), strict=True))
    with fault(world.lab, "sync-paused"):
        assert rotate(sync="wait", sync_timeout_seconds=1).verdict is Verdict.SYNC_PENDING
    theirs = world.vault.write(name, before.pop(name), {})
    ended = rotate(sync="express")
    assert ended.verdict is Verdict.NEEDS_OPERATOR
    assert type(ended.error) is Conflict
    assert ended.error.code == "NewerVersion"
    assert theirs.version in ended.error.seen
    assert world.vault.get_latest(name).version == theirs.version
    [(other, value)] = before.items()
    world.vault.write(other, value, {})
    world.vault.delete(CANDIDATE)
    assert rotate(sync="express").verdict is Verdict.ROTATED
    world.assert_well()
