"""What people do while a rotation is running: break its lock, scale, drop roles, unpin a class."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from flows.rotate import TaskExecutor
from infra.credentials import Credential
from infra.errors import Code
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR, get_provider_class, path_of
from infra.kubernetes.leases import Holder, Lock
from infra.postgres.owner_role import disable_login, find_owner_role
from infra.rotation.candidate import name_candidate
from infra.rotation.execution import Verdict
from infra.rotation.options import Guards, Sync
from infra.rotation.plan import Plan
from infra.rotation.steps import Action
from tasks.rotation.lock import lease_name
from testing import bare
from testing.walkthrough import DATABASE
from tests.crash.cases import RECREATE
from tests.crash.faulty import ALTERNATING, IN_PLACE, Interrupted, assert_resumes, between, nothing_lost, rotate
from tests.crash.scene import DEPLOYMENTS, NAMESPACE, Scene, path_of_lease

CLASS = DATABASE.delivery.secret_provider_class
CLASS_PATH = path_of(NAMESPACE, CLASS)


@pytest.fixture(autouse=True)
def _without_faults(scene: Scene) -> None:
    scene.lab.faults.clear_faults()


@pytest.fixture
def migrated(scene: Scene) -> Iterator[Scene]:
    """A database whose login has an owner role; afterwards it starts anew without one."""
    bare.make_owner_role(ALTERNATING)
    yield scene
    assert rotate(RECREATE).verdict is Verdict.ROTATED


def take_the_lock(scene: Scene, credential: Credential) -> Lock:
    """Break the lock as the runbook says, and let somebody else acquire it."""
    scene.cluster.delete(path_of_lease(credential))
    holder = Holder("theirs", "elsewhere", "1.1", "somebody")
    lock = Lock(scene.cluster, credential.lock_namespace, lease_name(credential), holder)
    lock.acquire()
    return lock


@pytest.mark.parametrize("action", [Action.STAGE, Action.PUBLISH, Action.SET_PASSWORD, Action.RETIRE])
def test_a_lock_that_is_lost_stops_the_holder_before_its_next_write(scene: Scene, action: Action) -> None:
    versions, locks = list[tuple[str, bool]](), list[Lock]()

    def list_versions() -> list[tuple[str, bool]]:
        found = scene.vault(IN_PLACE).list_versions("password")
        return [(version.version, version.enabled) for version in found]

    def lose() -> None:
        locks.append(take_the_lock(scene, IN_PLACE))
        versions.extend(list_versions())

    with nothing_lost(scene, IN_PLACE) as before:
        with between(lose, action):
            ended = rotate(IN_PLACE)
        assert (ended.verdict, ended.code) == (
            Verdict.REFUSED if action is Action.STAGE else Verdict.NEEDS_OPERATOR,
            "LockLost",
        )
        assert "somebody" in ended.message
        assert list_versions() == versions, "nothing was written after the loss"
        locks[0].release()
    assert_resumes(scene, IN_PLACE, before)


def test_a_role_that_a_person_drops_after_it_was_enabled_is_enabled_by_the_next_rotation(migrated: Scene) -> None:
    scene = migrated

    def drop() -> None:
        staged = scene.staged(ALTERNATING)
        assert staged is not None
        with scene.database(ALTERNATING).connected(scene.newest(ALTERNATING)) as connection:
            connection.execute(f'DROP ROLE "{staged.username}"')

    with nothing_lost(scene, ALTERNATING) as before:
        with between(drop, Action.PUBLISH):
            ended = rotate(ALTERNATING)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert scene.logs_in(ALTERNATING, before)
    assert_resumes(scene, ALTERNATING, before)


def test_a_previous_login_that_a_person_disabled_already_is_no_blocker(migrated: Scene) -> None:
    scene = migrated

    def disable() -> None:
        new = scene.newest(ALTERNATING)
        with scene.database(ALTERNATING).connected(new) as connection:
            owner = find_owner_role(connection, new.username)
            assert owner is not None
            (previous,) = set(owner.logins) - {new.username}
            disable_login(connection, previous)

    with nothing_lost(scene, ALTERNATING) as before, between(disable, Action.DISABLE_PREVIOUS):
        assert rotate(ALTERNATING).verdict is Verdict.ROTATED
    scene.assert_well(ALTERNATING, before)


def test_a_version_that_somebody_writes_after_the_proof_is_told_and_nothing_is_disabled(scene: Scene) -> None:
    vault, (_, name) = scene.vault(IN_PLACE), IN_PLACE.secrets.names
    theirs, enabled = list[str](), list[int]()

    def count() -> int:
        return sum(version.enabled for version in vault.list_versions(name))

    def write_again() -> None:
        theirs.append(vault.write(name, vault.read(name)).version)
        enabled.append(count())

    with nothing_lost(scene, IN_PLACE):
        with between(write_again, Action.RETIRE):
            ended = rotate(IN_PLACE)
        assert (ended.verdict, ended.code) == (Verdict.NEEDS_OPERATOR, Code.NEWER_VERSION)
        assert theirs[0] in ended.message
        assert count() == enabled[0]
    vault.delete(name_candidate(IN_PLACE.secret_names))
    assert_resumes(scene, IN_PLACE, scene.newest(IN_PLACE))


def test_a_class_that_somebody_unpins_does_not_stop_the_rotation(migrated: Scene) -> None:
    scene = migrated
    spec = scene.cluster.get(CLASS_PATH)["spec"]

    def unpin() -> None:
        scene.cluster.patch(CLASS_PATH, {"metadata": {"annotations": {PINNED_FOR: None}}, "spec": spec})

    with nothing_lost(scene, ALTERNATING) as before, between(unpin, Action.PUBLISH):
        assert rotate(ALTERNATING).verdict is Verdict.ROTATED
    scene.assert_well(ALTERNATING, before)
    found = get_provider_class(scene.cluster, NAMESPACE, CLASS)
    assert (found.pinned, found.pinned_for) == ({}, "")
    assert scene.cluster.get(CLASS_PATH)["spec"] == spec


def test_a_class_that_pins_a_version_is_refused_before_anything_is_written(scene: Scene) -> None:
    spec = scene.cluster.get(CLASS_PATH)["spec"]
    objects = spec["parameters"]["objects"].replace('objectVersion: ""', 'objectVersion: "0123"', 1)
    assert objects != spec["parameters"]["objects"]
    with nothing_lost(scene, IN_PLACE):
        scene.cluster.patch(CLASS_PATH, {"spec": {"parameters": {"objects": objects}}})
        try:
            ended = rotate(IN_PLACE)
        finally:
            scene.cluster.patch(CLASS_PATH, {"spec": spec})
        assert (ended.verdict, ended.code) == (Verdict.REFUSED, "ProviderClassMismatch")
        assert "objectVersion" in ended.message


def test_a_database_that_a_person_scales_to_0_meanwhile_is_scaled_up_again(scene: Scene) -> None:
    def stop() -> None:
        scene.cluster.patch(f"{DEPLOYMENTS}/{DATABASE.workload.name}", {"spec": {"replicas": 0}})

    with nothing_lost(scene, RECREATE) as before, between(stop, Action.STOP):
        assert rotate(RECREATE).verdict is Verdict.ROTATED
    scene.assert_well(RECREATE, before)


def test_guards_block_a_new_rotation_and_not_an_unfinished_one(scene: Scene) -> None:
    guards = Guards(minimum_age_hours=1)

    def interrupt() -> None:
        raise Interrupted

    with nothing_lost(scene, IN_PLACE) as before:
        with pytest.raises(Interrupted), between(interrupt, Action.AWAIT_SYNC):
            rotate(IN_PLACE, sync=Sync.WAIT)
        assert rotate(IN_PLACE, guards, sync=Sync.WAIT).verdict is Verdict.ROTATED, "an unfinished rotation is blocked"
        after = scene.newest(IN_PLACE)
        assert after != before
        assert rotate(IN_PLACE, guards, sync=Sync.WAIT).verdict is Verdict.TOO_YOUNG
        assert scene.newest(IN_PLACE) == after


def test_a_dry_run_says_what_would_block_it(scene: Scene) -> None:
    shown: list[Plan] = []
    guards = Guards(minimum_age_hours=1000, approval=True, random_delay_seconds=86400)
    with (
        nothing_lost(scene, IN_PLACE) as before,
        patch.object(TaskExecutor, "show", lambda self, plan: shown.append(plan)),
    ):
        assert rotate(IN_PLACE, guards, dry_run=True, sync=Sync.WAIT).verdict is Verdict.PLANNED
        assert scene.newest(IN_PLACE) == before
    (plan,) = shown
    assert any("Not now: The password is" in note for note in plan.notes)
    assert any("asked for approval" in note for note in plan.notes)
