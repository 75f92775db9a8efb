"""Deliveries by the CSI driver: read, waited for, pinned. The tests write what the driver reports."""

import time
from itertools import count

import pytest

from infra.errors import Conflict, NotFound, SyncPending
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import SecretState, SyncProgress
from infra.kubernetes.deliveries.csi import get_driver
from infra.kubernetes.deliveries.provider_classes import get_provider_class, path_of
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret, seal
from infra.kubernetes.manifests import apply
from testing.cluster_world import CLASS, Then, World, driver
from testing.manifest_values import VALUES
from tests.kubernetes_objects import delete

OLD, NEW = {"username": "v1", "password": "v1"}, {"username": "v2", "password": "v2"}
LOGIN = {"username": "canary-2", "password": "canary-3"}
DATA = {"USERNAME": "canary-2", "PASSWORD": "canary-3"}
STALE = {"USERNAME": "canary-0", "PASSWORD": "canary-1"}
ALLOWED_SECONDS = 0.2
"""From the evidence to the end of the wait."""


def userpass(world: World) -> SyncedSecret:
    return SyncedSecret(world.cluster, world.namespace, "userpass")


def test_the_driver_shows_its_generation(cluster: Cluster) -> None:
    assert get_driver(cluster).generation == "reconciler"
    apply(cluster, [driver(republish=True)])
    found = get_driver(cluster)
    assert (found.generation, found.requires_republish) == ("republish", True)
    delete(cluster, [driver(republish=True)])
    with pytest.raises(NotFound) as caught:
        get_driver(cluster)
    assert "add-on" in caught.value.fix
    apply(cluster, [driver(republish=False)])


def test_a_provider_class_says_what_becomes_a_file_and_what_a_key(world: World) -> None:
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
    assert world.delivery().observe(LOGIN, None).versions == {uid: OLD}


def test_the_wait_for_mounts_ends_at_once_when_both_versions_are_there(world: World) -> None:
    delivery, uid, evidence = world.delivery(), world.pod("db-1"), []
    world.mount("db-1", uid, OLD)
    world.secret(DATA)

    def torn() -> None:
        world.mount("db-1", uid, OLD | {"username": "v2"})

    def whole() -> None:
        world.mount("db-1", uid, NEW)
        evidence.append(time.monotonic())

    then = Then(torn, whole)
    delivery.wait_until_current({uid: "db-1"}, NEW, delivery.seal(LOGIN), 10, then)
    assert time.monotonic() - evidence[0] < ALLOWED_SECONDS
    assert then.heard == [
        "db-1 has 0 of 2 new versions, password at v1, username at v1",
        "db-1 has 1 of 2 new versions, password at v1",
        "every pod has mounted the new versions",
        "the new values",
    ]


def test_a_pod_of_the_same_name_is_another_pod(world: World) -> None:
    world.mount("db-1", world.pod("db-1"), NEW)
    with pytest.raises(SyncPending) as caught:
        world.delivery().wait_until_current({"another-uid": "db-1"}, NEW, world.delivery().seal(LOGIN), 0.2)
    assert caught.value.seen == "db-1 has mounted nothing"
    assert caught.value.retryable


def test_a_wait_for_a_pod_that_cannot_mount_ends_with_the_cause_that_its_events_name(world: World) -> None:
    uid = world.pod("db-1")
    refusal = (
        'MountVolume.SetUp failed for volume "v" : rpc error: code = Unknown desc = failed to mount objects, error: '
        "failed to get objectType:secret, objectName:username, objectVersion:: ERROR CODE: Forbidden ForbiddenByRbac"
    )
    world.event("FailedMount", refusal, "Pod", "db-1", uid)
    with pytest.raises(SyncPending) as caught:
        world.delivery().wait_until_current({uid: "db-1"}, NEW, world.delivery().seal(LOGIN), 0.2)
    assert caught.value.seen.startswith(
        "db-1 has mounted nothing; pod db-1: The identity may not read the secret, or the vault has none of this name: "
    )
    assert caught.value.fix.startswith("Correct objectName in the SecretProviderClass, or give the identity the role")


def test_an_earlier_failure_of_a_pod_that_has_mounted_is_no_cause(world: World) -> None:
    uid = world.pod("db-1")
    world.event("FailedMount", "a vault that did not answer", "Pod", "db-1", uid)
    world.mount("db-1", uid, OLD)
    with pytest.raises(SyncPending) as caught:
        world.delivery().wait_until_current({uid: "db-1"}, NEW, world.delivery().seal(LOGIN), 0.2)
    assert caught.value.seen == "db-1 has 0 of 2 new versions, password at v1, username at v1"
    assert "the add-on's rotation" in caught.value.fix


def test_every_pod_must_have_the_versions(world: World) -> None:
    first, second = world.pod("db-1"), world.pod("db-2")
    world.mount("db-1", first, NEW)
    world.secret(DATA)
    then = Then(lambda: world.mount("db-2", second, NEW))
    world.delivery().wait_until_current({first: "db-1", second: "db-2"}, NEW, world.delivery().seal(LOGIN), 10, then)
    assert len(then.heard) == 3


def test_a_sync_is_first_every_mount_and_then_the_secret(world: World) -> None:
    delivery, uid, heard = world.delivery(), world.pod("db-1"), list[SyncProgress]()
    world.mount("db-1", uid, OLD)
    world.secret(STALE)
    deeds = [lambda: world.mount("db-1", uid, NEW), lambda: None, lambda: world.secret(DATA), lambda: None]

    def hear(progress: SyncProgress) -> None:
        heard.append(progress)
        deeds.pop(0)()

    delivery.wait_until_current({uid: "db-1"}, NEW, delivery.seal(LOGIN), 10, hear)
    assert [(progress.subject, progress.versions[uid], progress.secret_is_current) for progress in heard] == [
        ("db", OLD, False),
        ("db", NEW, False),
        ("userpass", NEW, False),
        ("userpass", NEW, True),
    ]
    assert {tuple(sorted(progress.wanted.items())) for progress in heard} == {tuple(sorted(NEW.items()))}
    assert "canary" not in repr(heard)


def test_what_a_delivery_brings_is_observed_without_values(world: World) -> None:
    delivery, uid = world.delivery(), world.pod("db-1")
    world.mount("db-1", uid, OLD)
    assert delivery.observe(LOGIN, LOGIN).secret is SecretState.ABSENT
    world.secret(STALE)
    assert delivery.observe(LOGIN, LOGIN).secret is SecretState.OTHER
    assert delivery.observe(LOGIN, None).secret is SecretState.OTHER
    world.secret(DATA)
    found = delivery.observe(LOGIN, LOGIN)
    assert (found.uses, found.versions, found.secret, found.pinned_for) == (
        {"username", "password"},
        {uid: OLD},
        SecretState.CURRENT,
        "",
    )
    assert "canary" not in repr(found)


def objects_of(world: World) -> str:
    return str(world.cluster.get(path_of(world.namespace, CLASS))["spec"]["parameters"]["objects"])


def test_versions_are_pinned_for_a_rotation_and_unpinned_as_they_were(world: World) -> None:
    delivery, path = world.delivery(), path_of(world.namespace, CLASS)
    before = world.cluster.get(path)
    assert delivery.observe(LOGIN, None).pinned_for == ""
    delivery.pin(OLD, "r1")
    pinned = get_provider_class(world.cluster, world.namespace, CLASS)
    assert (pinned.pinned, pinned.pinned_for) == (OLD, "r1")
    observed = delivery.observe(LOGIN, None)
    assert (observed.pinned_for, observed.pinned) == ("r1", OLD)
    assert delivery.find_mismatch(VALUES["VAULT"], LOGIN) is None, "a rotation's own pins are not a mismatch"
    delivery.unpin()
    delivery.unpin()
    after = world.cluster.get(path)
    assert after["spec"] == before["spec"]
    assert not {"keyturn/pinned-for", "keyturn/unpinned-objects"} & set(after["metadata"].get("annotations") or {})


def test_a_rotation_pins_once_and_the_next_takes_its_pins_over(world: World) -> None:
    delivery = world.delivery()
    before = objects_of(world)
    delivery.pin(OLD, "r1")
    pinned, path = objects_of(world), path_of(world.namespace, CLASS)
    written = world.cluster.get(path)["metadata"]["resourceVersion"]
    delivery.pin(OLD, "r1")
    assert world.cluster.get(path)["metadata"]["resourceVersion"] == written, "nothing is written twice"
    delivery.pin(NEW, "r2")
    assert objects_of(world) == pinned.replace("v1", "v2")
    assert delivery.observe(LOGIN, None).pinned_for == "r2"
    delivery.unpin()
    assert objects_of(world) == before


def test_the_mounts_of_pods_that_are_being_started_are_waited_for(world: World) -> None:
    delivery, mounted, starting = world.delivery(), world.pod("db-1"), world.pod("db-2")
    world.mount("db-1", mounted, OLD)
    then = Then(lambda: world.mount("db-2", starting, OLD))
    delivery.wait_for_first_mounts(lambda: {mounted: "db-1", starting: "db-2"}, then)
    assert then.heard == ["being mounted: db-2"]


def test_a_mount_that_never_ends_is_waited_for_as_long_as_the_kubelet_lets_one_take(world: World) -> None:
    uid, seconds, heard = world.pod("db-1"), count(step=10), list[str]()
    world.delivery().wait_for_first_mounts(
        lambda: {uid: "db-1"}, lambda progress: heard.append(progress.seen), lambda: float(next(seconds))
    )
    assert 120 <= next(seconds) < 240
    assert set(heard) == {"being mounted: db-1"}


def test_pins_that_somebody_took_away_are_seen_and_pinned_again(world: World) -> None:
    """As a tool does that keeps the cluster equal to a repository: the annotations stay."""
    delivery, path = world.delivery(), path_of(world.namespace, CLASS)
    before = objects_of(world)
    delivery.pin(OLD, "r1")
    pinned = objects_of(world)
    world.cluster.patch(path, {"spec": {"parameters": {"objects": before}}})
    observed = world.delivery().observe(LOGIN, None)
    assert (observed.pinned_for, observed.pinned) == ("r1", {})
    delivery.pin(OLD, "r1")
    assert objects_of(world) == pinned
    delivery.unpin()
    assert objects_of(world) == before


def test_versions_that_a_person_pins_are_a_mismatch(world: World) -> None:
    delivery = world.delivery()
    delivery.pin(OLD, "r1")
    world.cluster.patch(path_of(world.namespace, CLASS), {"metadata": {"annotations": {"keyturn/pinned-for": None}}})
    mismatch = delivery.find_mismatch(VALUES["VAULT"], LOGIN)
    assert type(mismatch) is Conflict
    assert mismatch.seen.startswith("it pins a version of password, username (objectVersion)")


def test_a_synced_secret_shows_lengths_and_never_values(world: World) -> None:
    world.secret({"USERNAME": "dexter", "PASSWORD": "canary-1"})
    found = userpass(world).get()
    assert (found.managed, found.sizes) == (True, {"PASSWORD": 8, "USERNAME": 6})
    assert "canary" not in repr(found)


def test_a_synced_secret_is_compared_whole(world: World) -> None:
    def holds(**expected: str) -> bool:
        return userpass(world).find_differing_keys(expected) == []

    assert not holds(USERNAME="dexter")
    world.secret({"USERNAME": "dexter", "PASSWORD": "a"})
    assert holds(USERNAME="dexter", PASSWORD="a")
    assert holds(USERNAME="dexter")
    assert not holds(USERNAME="dexter", PASSWORD="b")
    assert not holds(USERNAME="dexter", OTHER="")


def test_the_wait_for_the_secret_ends_at_once_and_shows_no_value(world: World) -> None:
    world.secret(STALE)
    evidence = []

    def whole() -> None:
        world.secret({"PASSWORD": "canary-3"})
        evidence.append(time.monotonic())

    then = Then(lambda: world.secret({"USERNAME": "canary-2"}), whole)
    userpass(world).wait_for(seal(DATA), 10, then)
    assert time.monotonic() - evidence[0] < ALLOWED_SECONDS
    assert then.heard == ["still the old values: PASSWORD, USERNAME", "still the old values: PASSWORD"]


def test_a_secret_that_never_comes_is_reported_without_values(world: World) -> None:
    with pytest.raises(SyncPending) as caught:
        userpass(world).wait_for(seal({"PASSWORD": "canary"}), 0.2)
    assert caught.value.seen == "the Secret does not exist"
    assert "canary" not in f"{caught.value} {caught.value!r}"


def test_a_synced_secret_gets_values_ahead_of_the_driver_and_keeps_its_other_keys(world: World) -> None:
    world.secret({"USERNAME": "dexter", "PASSWORD": "canary-1"})
    assert userpass(world).update({"PASSWORD": "canary-2"})
    assert userpass(world).find_differing_keys({"USERNAME": "dexter", "PASSWORD": "canary-2"}) == []


def test_an_absent_secret_is_left_to_the_driver(world: World) -> None:
    assert not userpass(world).update({"PASSWORD": "canary"})
    assert world.delivery().refresh(LOGIN) is SecretState.ABSENT
    assert userpass(world).find_differing_keys({}) is None


def test_only_a_stale_secret_is_refreshed(world: World) -> None:
    delivery = world.delivery()
    world.secret(STALE)
    assert delivery.version_that_holds(delivery.seal(LOGIN)) == ""
    assert delivery.refresh(LOGIN) is SecretState.OTHER
    version = delivery.version_that_holds(delivery.seal(LOGIN))
    assert version
    assert delivery.refresh(LOGIN) is SecretState.CURRENT
    assert delivery.version_that_holds(delivery.seal(LOGIN)) == version


def test_values_that_a_secret_held_in_between_are_found_by_replaying_its_changes(world: World) -> None:
    delivery = world.delivery()
    world.secret(DATA)
    version = delivery.version_that_holds(delivery.seal(LOGIN))
    assert not delivery.held_others_since(delivery.seal(LOGIN), version)
    world.cluster.patch(world.path("secrets", "userpass"), {"metadata": {"labels": {"seen": "yes"}}})
    assert not delivery.held_others_since(delivery.seal(LOGIN), version), "another version with the same values"
    world.secret(STALE)
    assert delivery.held_others_since(delivery.seal(LOGIN), version)
    world.secret(DATA)
    assert delivery.held_others_since(delivery.seal(LOGIN), version)
