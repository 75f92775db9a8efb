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


def assert_refused(
    kind: type[KeyturnError], code: str, words: str, credential: Credential = DEXTER, **changes: object
) -> None:
    ended = rotate(credential, **{"sync": "express", **changes})
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is kind
    assert ended.error.code == code
    assert words in str(ended.error)
    assert words in ended.message


def test_a_vault_that_does_not_exist(unchanged: World) -> None:
    assert_refused(NotFound, "HostNotFound", "nosuchvault", change(DEXTER, vault="nosuchvault"))


def test_a_secret_that_does_not_exist(unchanged: World) -> None:
    secrets = SecretPair(username="username", password="nosuchsecret")
    assert_refused(NotFound, "SecretNotFound", "dexterkeyvault/nosuchsecret", change(DEXTER, secrets=secrets))


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
        spec = {"paused": True, "template": {"spec": {"volumes": volumes, "containers": [container]}}}
        world.cluster.patch(DEPLOYMENT, {"spec": spec})

    put(volumes, mounts)
    try:
        before = world.snapshot()
        assert_refused(Refused, "VolumeKeepsData", "POSTGRES_PASSWORD act only on an empty data directory")
        assert world.snapshot() == before
    finally:
        put(template["volumes"], template["containers"][0]["volumeMounts"])
        world.cluster.patch(DEPLOYMENT, {"spec": {"paused": None}})


def test_a_username_that_postgresql_reserves(unchanged: World) -> None:
    assert_refused(InvalidInput, "42939", "pg_", new_username="pg_dexter")


def test_a_workload_that_does_not_exist(unchanged: World) -> None:
    absent = consumer_like(DATABASE, name="nosuchworkload")
    assert_refused(NotFound, "NotFound", "nosuchworkload", change(DEXTER, consumers=(absent,)))


def test_a_class_that_fills_another_secret(unchanged: World) -> None:
    delivery = CsiDelivery(secret_provider_class=DATABASE.delivery.secret_provider_class, synced_secret="other")
    mismatched = change(DEXTER, consumers=(consumer_like(DATABASE, delivery=delivery),))
    words = "the Secret other has no key for password, username"
    assert_refused(Conflict, "ProviderClassMismatch", words, mismatched)


def test_a_database_that_does_not_answer(world: World) -> None:
    before = world.versions()
    with fault(world.lab, "database-down"):
        ended = rotate(sync="express")
    assert ended.verdict is Verdict.REFUSED
    assert type(ended.error) is DatabaseUnreachable
    assert world.versions() == before
    assert world.vault.find_latest(CANDIDATE) is None


def test_versions_written_by_hand_that_never_reached_the_database(world: World) -> None:
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


def test_a_caller_whose_secret_is_wrong(unchanged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AZURE_CLIENT_SECRET", "wrong")
        assert_refused(AuthenticationFailed, "AADSTS7000215", "AZURE_CLIENT_SECRET")


def test_a_kubeconfig_that_does_not_exist(unchanged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("KEYTURN_KUBECONFIG", "/nonexistent/kubeconfig")
        assert_refused(NotFound, "", "/nonexistent/kubeconfig")


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
