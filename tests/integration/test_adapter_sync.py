"""What the adapter reads of the driver and waits for: classes, mounts, synced Secrets. The tests write the reports."""

import time

import pytest
from cluster_world import CLASS, Then, World, driver

from infra.errors import NotFound, SyncPending
from infra.kubernetes.apply import apply, delete
from infra.kubernetes.client import Cluster
from infra.kubernetes.provider_classes import get_provider_class
from infra.kubernetes.secrets_store import (
    Mount,
    find_synced_secret,
    get_driver,
    get_synced_secret,
    list_mounts,
    synced_secret_holds,
    update_synced_secret,
    wait_for_mounts,
    wait_for_synced_secret,
)
from tests.manifest_values import VALUES

OLD, NEW = {"username": "v1", "password": "v1"}, {"username": "v2", "password": "v2"}
ALLOWED_SECONDS = 0.2
"""From the evidence to going on."""


def test_the_driver_tells_its_generation(cluster: Cluster) -> None:
    assert get_driver(cluster).generation == "reconciler"
    apply(cluster, [driver(republish=True)])
    found = get_driver(cluster)
    assert (found.generation, found.requires_republish) == ("republish", True)
    delete(cluster, [driver(republish=True)])
    with pytest.raises(NotFound) as caught:
        get_driver(cluster)
    assert "add-on" in caught.value.fix
    apply(cluster, [driver(republish=False)])


def test_a_provider_class_tells_what_becomes_a_file_and_what_a_key(world: World) -> None:
    apply(world.cluster, world.manifest("dexter.yaml"))
    found = get_provider_class(world.cluster, world.namespace, CLASS)
    assert (found.vault, found.client_id, found.tenant_id) == (
        VALUES["VAULT"],
        VALUES["CLIENT_ID"],
        VALUES["TENANT_ID"],
    )
    assert found.files == {"username": "username", "password": "password"}
    assert found.synced == {"userpass": {"USERNAME": "username", "PASSWORD": "password"}}


def test_mounts_of_other_classes_are_not_listed(world: World) -> None:
    world.mount("db-1", world.pod("db-1"), OLD, "another")
    uid = world.pod("db-2")
    world.mount("db-2", uid, OLD)
    assert list_mounts(world.cluster, world.namespace, CLASS) == [Mount("db-2", uid, OLD)]


def test_the_wait_for_mounts_goes_on_at_once_when_both_versions_are_there(world: World) -> None:
    uid, evidence = world.pod("db-1"), []
    world.mount("db-1", uid, OLD)

    def torn() -> None:
        world.mount("db-1", uid, OLD | {"username": "v2"})

    def whole() -> None:
        world.mount("db-1", uid, NEW)
        evidence.append(time.monotonic())

    then = Then(torn, whole)
    wait_for_mounts(world.cluster, world.namespace, CLASS, [uid], NEW, 10, then)
    assert time.monotonic() - evidence[0] < ALLOWED_SECONDS
    assert then.heard == [
        "db-1 has 0 of 2 new versions, password at v1, username at v1",
        "db-1 has 1 of 2 new versions, password at v1",
    ]


def test_a_pod_of_the_same_name_is_another_pod(world: World) -> None:
    world.mount("db-1", world.pod("db-1"), NEW)
    with pytest.raises(SyncPending) as caught:
        wait_for_mounts(world.cluster, world.namespace, CLASS, ["another-uid"], NEW, 0.2)
    assert caught.value.seen == "pod another- has mounted nothing"
    assert caught.value.retryable


def test_every_pod_must_have_the_versions(world: World) -> None:
    first, second = world.pod("db-1"), world.pod("db-2")
    world.mount("db-1", first, NEW)
    then = Then(lambda: world.mount("db-2", second, NEW))
    wait_for_mounts(world.cluster, world.namespace, CLASS, [first, second], NEW, 10, then)
    assert len(then.heard) == 1


def test_a_synced_secret_shows_lengths_and_never_values(world: World) -> None:
    world.secret({"USERNAME": "dexter", "PASSWORD": "canary-1"})
    found = get_synced_secret(world.cluster, world.namespace, "userpass")
    assert (found.managed, found.sizes) == (True, {"PASSWORD": 8, "USERNAME": 6})
    assert "canary" not in repr(found)


def test_a_synced_secret_is_compared_whole(world: World) -> None:
    def holds(**expected: str) -> bool:
        return synced_secret_holds(world.cluster, world.namespace, "userpass", expected)

    assert not holds(USERNAME="dexter")
    world.secret({"USERNAME": "dexter", "PASSWORD": "a"})
    assert holds(USERNAME="dexter", PASSWORD="a")
    assert holds(USERNAME="dexter")
    assert not holds(USERNAME="dexter", PASSWORD="b")
    assert not holds(USERNAME="dexter", OTHER="")


def test_the_wait_for_the_secret_goes_on_at_once_and_tells_no_value(world: World) -> None:
    world.secret({"USERNAME": "canary-0", "PASSWORD": "canary-1"})
    evidence = []

    def whole() -> None:
        world.secret({"PASSWORD": "canary-3"})
        evidence.append(time.monotonic())

    then = Then(lambda: world.secret({"USERNAME": "canary-2"}), whole)
    expected = {"USERNAME": "canary-2", "PASSWORD": "canary-3"}
    wait_for_synced_secret(world.cluster, world.namespace, "userpass", expected, 10, then)
    assert time.monotonic() - evidence[0] < ALLOWED_SECONDS
    assert then.heard == ["still the old values: PASSWORD, USERNAME", "still the old values: PASSWORD"]


def test_a_secret_that_never_comes_is_told_without_values(world: World) -> None:
    with pytest.raises(SyncPending) as caught:
        wait_for_synced_secret(world.cluster, world.namespace, "userpass", {"PASSWORD": "canary"}, 0.2)
    assert caught.value.seen == "the Secret does not exist"
    assert "canary" not in f"{caught.value} {caught.value!r}"


def test_a_synced_secret_takes_values_ahead_of_the_driver_and_keeps_its_other_keys(world: World) -> None:
    world.secret({"USERNAME": "dexter", "PASSWORD": "canary-1"})
    assert update_synced_secret(world.cluster, world.namespace, "userpass", {"PASSWORD": "canary-2"})
    expected = {"USERNAME": "dexter", "PASSWORD": "canary-2"}
    assert synced_secret_holds(world.cluster, world.namespace, "userpass", expected)


def test_an_absent_secret_is_left_to_the_driver(world: World) -> None:
    assert not update_synced_secret(world.cluster, world.namespace, "userpass", {"PASSWORD": "canary"})
    assert find_synced_secret(world.cluster, world.namespace, "userpass") is None
