"""Deliveries of other shapes: files without a Secret, a Secret that others keep, several classes for one consumer."""

import base64
from copy import deepcopy
from typing import Any

import pytest

from infra.credentials import Consumer, CsiDelivery, SecretDelivery
from infra.credentials.consumers import Delivery
from infra.errors import Code, Conflict, Refused, SyncPending
from infra.kubernetes.client import MERGE_PATCH
from infra.kubernetes.deliveries import DeliveryHandle, SecretState, SyncProgress, open_delivery
from infra.kubernetes.deliveries.provider_classes import get_provider_class
from infra.kubernetes.manifests import apply
from testing.cluster_world import CLASS, Then, World
from testing.manifest_values import VALUES

OLD, NEW = {"username": "v1", "password": "v1"}, {"username": "v2", "password": "v2"}
LOGIN = {"username": "canary-2", "password": "canary-3"}
DATA = {"USERNAME": "canary-2", "PASSWORD": "canary-3"}
STALE = {"USERNAME": "canary-0", "PASSWORD": "canary-1"}
FILES = CsiDelivery(secret_provider_class=CLASS)
KEPT = SecretDelivery(kind="secret", secret="userpass", kept_by=CLASS)
USERNAME = CsiDelivery(secret_provider_class="only-username", synced_secret="sec-username")
PASSWORD = CsiDelivery(secret_provider_class="only-password", synced_secret="sec-password")


def open_all(world: World, *deliveries: Delivery, is_database: bool = False) -> DeliveryHandle:
    consumer = Consumer(workload=world.workload.ref, deliveries=deliveries, is_database=is_database)
    return open_delivery(world.cluster, consumer)


@pytest.fixture
def one_class(world: World) -> World:
    """A world with the walkthrough's class."""
    apply(world.cluster, world.manifest("dexter.yaml")[1:2])
    return world


@pytest.fixture
def two_classes(world: World) -> World:
    """A world in which one class brings the username and another the password."""
    (both,) = world.manifest("dexter.yaml")[1:2]
    for name in ("username", "password"):
        own: dict[str, Any] = deepcopy(both)
        own["metadata"]["name"] = f"only-{name}"
        own["spec"]["parameters"]["objects"] = (
            f'array:\n  - |\n    objectName: {name}\n    objectType: secret\n    objectVersion: ""\n'
        )
        data = [{"key": name.upper(), "objectName": name}]
        own["spec"]["secretObjects"] = [{"secretName": f"sec-{name}", "type": "Opaque", "data": data}]
        apply(world.cluster, [own])
    return world


def put_secret(world: World, name: str, key: str, value: str) -> None:
    body = {"data": {key: base64.b64encode(value.encode()).decode()}}
    path = world.path("secrets", name)
    if world.cluster.find(path) is None:
        world.put("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **body})
    else:
        world.cluster.request("PATCH", path, {}, body, MERGE_PATCH)


def test_files_alone_are_current_once_every_pod_has_mounted_them(one_class: World) -> None:
    world, delivery, heard = one_class, open_all(one_class, FILES), list[SyncProgress]()
    uid = world.pod("db-1")
    world.mount("db-1", uid, OLD)
    observed = delivery.observe(LOGIN, LOGIN)
    assert (observed.secret, observed.versions, observed.unmounted) == (SecretState.NONE, {uid: OLD}, frozenset())
    assert delivery.find_mismatch(VALUES["VAULT"], LOGIN) is None

    def hear(progress: SyncProgress) -> None:
        heard.append(progress)
        world.mount("db-1", uid, NEW)

    delivery.wait_until_current({uid: "db-1"}, NEW, delivery.seal(LOGIN), 10, hear)
    assert [progress.secret_is_current for progress in heard] == [False, True]
    assert (delivery.refresh(LOGIN), delivery.version_that_holds(delivery.seal(LOGIN))) == (SecretState.NONE, "")
    assert (delivery.held_others_since(delivery.seal(LOGIN), ""), delivery.secret_version()) == (False, "")


def test_files_alone_that_are_not_mounted_are_not_current(one_class: World) -> None:
    uid = one_class.pod("db-1")
    one_class.mount("db-1", uid, OLD)
    with pytest.raises(SyncPending) as caught:
        open_all(one_class, FILES).wait_until_current({uid: "db-1"}, NEW, open_all(one_class, FILES).seal(LOGIN), 0.2)
    assert caught.value.seen == "db-1 has 0 of 2 new versions, password at v1, username at v1"


def test_a_secret_that_others_keep_is_waited_for_by_its_data_alone(one_class: World) -> None:
    world, delivery = one_class, open_all(one_class, KEPT)
    world.mount("syncer-1", world.pod("syncer-1"), OLD)
    world.secret(STALE)
    observed = delivery.observe(LOGIN, LOGIN)
    assert (observed.uses, observed.unmounted) == (frozenset(LOGIN), frozenset(LOGIN))
    assert (observed.secret, observed.versions) == (SecretState.OTHER, {})
    then = Then(lambda: None, lambda: world.secret(DATA))
    delivery.wait_until_current({"another-uid": "reader-1"}, NEW, delivery.seal(LOGIN), 10, then)
    assert then.heard[1:] == ["still the old values: PASSWORD, USERNAME", "the new values"]
    delivery.wait_for_first_mounts(lambda: {"another-uid": "reader-1"}, clock=lambda: 0.0)


def test_a_secret_that_others_keep_is_refreshed_and_pinned_by_whoever_syncs_it(one_class: World) -> None:
    world, delivery = one_class, open_all(one_class, KEPT)
    world.secret(STALE)
    assert delivery.refresh(LOGIN) is SecretState.OTHER
    version = delivery.version_that_holds(delivery.seal(LOGIN))
    assert version
    world.secret(STALE)
    assert delivery.held_others_since(delivery.seal(LOGIN), version)
    delivery.pin(OLD, "r1")
    assert get_provider_class(world.cluster, world.namespace, CLASS).pinned == OLD
    assert (delivery.observe(LOGIN, None).pinned_for, delivery.observe(LOGIN, None).pinned) == ("r1", OLD)
    delivery.unpin()
    assert get_provider_class(world.cluster, world.namespace, CLASS).pinned == {}


def test_a_secret_that_nobody_keeps_is_told_before_a_rotation(one_class: World) -> None:
    error = open_all(one_class, KEPT).find_stillness()
    assert (type(error), error and error.code) == (Refused, Code.NOT_KEPT)
    assert error is not None
    assert error.seen == f"no mount of {CLASS}"
    one_class.mount("syncer-1", one_class.pod("syncer-1"), OLD)
    assert open_all(one_class, KEPT).find_stillness() is None
    assert open_all(one_class, FILES).find_stillness() is None


def test_a_secret_that_its_class_does_not_sync_is_a_mismatch(one_class: World) -> None:
    other = SecretDelivery(kind="secret", secret="another", kept_by=CLASS)
    mismatch = open_all(one_class, other).find_mismatch(VALUES["VAULT"], LOGIN)
    assert (type(mismatch), mismatch and mismatch.code) == (Conflict, Code.PROVIDER_CLASS_MISMATCH)
    assert mismatch is not None
    assert mismatch.seen == "it syncs no password, username to the Secret another"


def test_two_classes_are_current_only_together(two_classes: World) -> None:
    world, delivery = two_classes, open_all(two_classes, USERNAME, PASSWORD, is_database=True)
    uid = world.pod("db-1")
    assert delivery.find_mismatch(VALUES["VAULT"], LOGIN) is None
    world.mount("db-1", uid, {"username": "v2"}, "only-username")
    world.mount("db-1", uid, {"password": "v1"}, "only-password")
    put_secret(world, "sec-username", "USERNAME", LOGIN["username"])
    put_secret(world, "sec-password", "PASSWORD", "canary-1")
    observed = delivery.observe(LOGIN, LOGIN)
    assert (observed.uses, observed.secret) == (frozenset(LOGIN), SecretState.OTHER)
    assert observed.versions == {uid: {"username": "v2", "password": "v1"}}
    with pytest.raises(SyncPending) as caught:
        delivery.wait_until_current({uid: "db-1"}, NEW, delivery.seal(LOGIN), 0.2)
    assert caught.value.seen == "db-1 has 0 of 1 new versions, password at v1"
    assert delivery.version_that_holds(delivery.seal(LOGIN)) == ""
    world.mount("db-1", uid, {"password": "v2"}, "only-password")
    assert delivery.refresh(LOGIN) is SecretState.OTHER
    heard = list[SyncProgress]()
    delivery.wait_until_current({uid: "db-1"}, NEW, delivery.seal(LOGIN), 10, heard.append)
    assert [progress.secret_is_current for progress in heard][-1:] == [True]
    assert sum(progress.secret_is_current for progress in heard) == 1


def test_other_values_in_one_of_two_secrets_are_found(two_classes: World) -> None:
    world, delivery = two_classes, open_all(two_classes, USERNAME, PASSWORD)
    put_secret(world, "sec-username", "USERNAME", LOGIN["username"])
    assert delivery.secret_version() == "", "one of the two is absent"
    put_secret(world, "sec-password", "PASSWORD", LOGIN["password"])
    version = delivery.version_that_holds(delivery.seal(LOGIN))
    assert delivery.secret_version() == version
    assert not delivery.held_others_since(delivery.seal(LOGIN), version)
    put_secret(world, "sec-username", "USERNAME", "canary-0")
    assert delivery.secret_version() not in ("", version)
    put_secret(world, "sec-username", "USERNAME", LOGIN["username"])
    assert delivery.held_others_since(delivery.seal(LOGIN), version)


def test_two_classes_are_pinned_and_unpinned_together(two_classes: World) -> None:
    world, delivery = two_classes, open_all(two_classes, USERNAME, PASSWORD)
    open_all(world, USERNAME).pin(OLD, "r1")
    half = delivery.observe(LOGIN, None)
    assert (half.pinned_for, half.pinned) == ("r1 and nobody", {"username": "v1"})
    delivery.pin(OLD, "r1")
    whole = delivery.observe(LOGIN, None)
    assert (whole.pinned_for, whole.pinned) == ("r1", OLD)
    delivery.unpin()
    assert (delivery.observe(LOGIN, None).pinned_for, delivery.observe(LOGIN, None).pinned) == ("", {})


def test_a_secret_that_two_classes_bring_is_current_once_both_have_it(two_classes: World) -> None:
    world = two_classes
    apply(world.cluster, world.manifest("dexter.yaml")[1:2])
    delivery, uid = open_all(world, PASSWORD, FILES), world.pod("db-1")
    world.mount("db-1", uid, {"password": "v2"}, "only-password")
    world.mount("db-1", uid, OLD)
    assert delivery.observe(LOGIN, LOGIN).versions == {uid: {"username": "v1"}}
    world.mount("db-1", uid, NEW)
    assert delivery.observe(LOGIN, LOGIN).versions == {uid: NEW}
    by_mount_and_secret = open_all(world, FILES, KEPT).observe(LOGIN, LOGIN)
    assert by_mount_and_secret.unmounted == frozenset(), "what a mount brings is proven by the mount, too"


def test_several_classes_that_lack_a_secret_do_not_fit_the_database(two_classes: World) -> None:
    twice = (USERNAME, CsiDelivery(secret_provider_class="only-username"))
    mismatch = open_all(two_classes, *twice, is_database=True).find_mismatch(VALUES["VAULT"], LOGIN)
    assert (type(mismatch), mismatch and mismatch.code) == (Conflict, Code.PROVIDER_CLASS_MISMATCH)
    assert mismatch is not None
    assert mismatch.seen.endswith("bring no password")
