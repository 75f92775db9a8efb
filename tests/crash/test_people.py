"""What people do while a rotation is under way: break its lock, scale, drop roles, take the hold away."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from flows.rotate import rotate as rotate_flow
from infra.kubernetes.client import MERGE_PATCH
from infra.kubernetes.leases import Holder, Lock
from infra.kubernetes.provider_classes import HELD_FOR, get_provider_class, path_of
from infra.postgres.alternation import close_login, find_owner
from infra.postgres.connection import connected
from infra.rotation.plan import Plan
from infra.rotation.steps import Action
from infra.rotation.verdict import Verdict
from infra.settings import Settings
from infra.targets import Guards, Sync, Target
from tasks import rotation_report
from tasks.connections import endpoint_of
from tasks.locking import lease_name
from testing import bare
from tests.crash.cases import OPTIONS
from tests.crash.faulty import (
    ALTERNATING,
    IN_PLACE,
    RECREATE,
    Interrupted,
    assert_goes_on,
    between,
    nothing_lost,
    rotate,
)
from tests.crash.scene import DATABASE, DEPLOYMENTS, LEASES, Scene


@pytest.fixture(autouse=True)
def _whole(scene: Scene) -> None:
    scene.lab.faults.clear_faults()


@pytest.fixture
def migrated(scene: Scene) -> Iterator[Scene]:
    bare.prepare_for_two_logins(ALTERNATING)
    yield scene
    assert rotate(RECREATE).verdict is Verdict.ROTATED


def take_the_lock(scene: Scene, target: Target) -> Lock:
    """Break the lock as the runbook says, and let somebody else take it."""
    path = f"{LEASES}/namespaces/{target.namespace}/leases/{lease_name(target)}"
    scene.cluster.delete(path)
    other = Lock(scene.cluster, target.namespace, lease_name(target), Holder("theirs", "elsewhere", "1.1", "somebody"))
    other.acquire()
    return other


@pytest.mark.parametrize("action", [Action.STAGE, Action.PUBLISH, Action.SET_LOGIN, Action.RETIRE])
def test_a_lock_that_is_lost_stops_the_holder_before_its_next_write(scene: Scene, action: Action) -> None:
    versions, taken = {}, []

    def lose() -> None:
        taken.append(take_the_lock(scene, IN_PLACE))
        vault = scene.vault(IN_PLACE)
        versions["before"] = [(one.version, one.enabled) for one in vault.list_versions("password")]

    with nothing_lost(scene, IN_PLACE) as before:
        with between(lose, action):
            ended = rotate(IN_PLACE)
        assert (ended.verdict, ended.code) == (
            Verdict.REFUSED if action is Action.STAGE else Verdict.NEEDS_OPERATOR,
            "LockLost",
        )
        assert "somebody" in ended.message
        now = [(one.version, one.enabled) for one in scene.vault(IN_PLACE).list_versions("password")]
        assert now == versions["before"], "nothing was written after the loss"
        taken[0].release()
    assert_goes_on(scene, IN_PLACE, before)


def test_a_role_that_a_person_drops_after_it_was_opened_is_opened_by_the_next_rotation(migrated: Scene) -> None:
    scene = migrated

    def drop() -> None:
        staged = scene.staged(ALTERNATING)
        assert staged is not None
        with connected(endpoint_of(ALTERNATING), *scene.newest(ALTERNATING), Settings()) as session:
            session.execute(f'DROP ROLE "{staged[0]}"')  # type: ignore[call-overload]

    with nothing_lost(scene, ALTERNATING) as before:
        with between(drop, Action.PROVE_CANDIDATE):
            ended = rotate(ALTERNATING)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert scene.logs_in(ALTERNATING, before)
    assert_goes_on(scene, ALTERNATING, before)


def test_a_former_login_that_a_person_closed_already_is_no_hindrance(migrated: Scene) -> None:
    scene = migrated

    def close() -> None:
        new = scene.newest(ALTERNATING)
        with connected(endpoint_of(ALTERNATING), *new, Settings()) as session:
            owner = find_owner(session, new[0])
            assert owner is not None
            (other,) = set(owner.logins) - {new[0]}
            close_login(session, other)

    with nothing_lost(scene, ALTERNATING) as before, between(close, Action.CLOSE_LOGIN):
        assert rotate(ALTERNATING).verdict is Verdict.ROTATED
    scene.assert_well(ALTERNATING, before)


def test_a_hold_that_somebody_takes_away_does_not_stop_the_rotation(migrated: Scene) -> None:
    scene, path = migrated, path_of(DATABASE.namespace, DATABASE.secret_provider_class)
    spec = scene.cluster.get(path)["spec"]

    def revert() -> None:
        body = {"metadata": {"annotations": {HELD_FOR: None}}, "spec": spec}
        scene.cluster.request("PATCH", path, {}, body, MERGE_PATCH)

    with nothing_lost(scene, ALTERNATING) as before, between(revert, Action.PUBLISH):
        assert rotate(ALTERNATING).verdict is Verdict.ROTATED
    scene.assert_well(ALTERNATING, before)
    found = get_provider_class(scene.cluster, DATABASE.namespace, DATABASE.secret_provider_class)
    assert (found.pinned, found.held_for) == (frozenset(), "")
    assert scene.cluster.get(path)["spec"] == spec


def test_a_class_that_pins_a_version_is_refused_before_anything_is_written(scene: Scene) -> None:
    path = path_of(DATABASE.namespace, DATABASE.secret_provider_class)
    spec = scene.cluster.get(path)["spec"]
    objects = spec["parameters"]["objects"].replace('objectVersion: ""', 'objectVersion: "0123"', 1)
    assert objects != spec["parameters"]["objects"]
    with nothing_lost(scene, IN_PLACE):
        scene.cluster.request("PATCH", path, {}, {"spec": {"parameters": {"objects": objects}}}, MERGE_PATCH)
        try:
            ended = rotate(IN_PLACE)
        finally:
            scene.cluster.request("PATCH", path, {}, {"spec": spec}, MERGE_PATCH)
        assert (ended.verdict, ended.code) == (Verdict.REFUSED, "ProviderClassMismatch")
        assert "objectVersion" in ended.message


def test_a_database_that_a_person_scales_to_0_meanwhile_is_brought_up_again(scene: Scene) -> None:
    def stop() -> None:
        path = f"{DEPLOYMENTS}/{DATABASE.workload}"
        scene.cluster.request("PATCH", path, {}, {"spec": {"replicas": 0}}, MERGE_PATCH)

    with nothing_lost(scene, RECREATE) as before, between(stop, Action.STOP):
        assert rotate(RECREATE).verdict is Verdict.ROTATED
    scene.assert_well(RECREATE, before)


def test_guards_hold_a_rotation_back_and_an_unfinished_one_goes_on_all_the_same(scene: Scene) -> None:
    def interrupt() -> None:
        raise Interrupted

    def guarded() -> str:
        with bare.without_prefect():
            return str(rotate_flow.fn(IN_PLACE, OPTIONS, Guards(minimum_age_hours=1)).name)

    with nothing_lost(scene, IN_PLACE) as before:
        with pytest.raises(Interrupted), between(interrupt, Action.AWAIT_SYNC):
            rotate(IN_PLACE, sync=Sync.WAIT)
        assert guarded() == "Rotated", "what is unfinished is not kept back"
        after = scene.newest(IN_PLACE)
        assert after != before
        assert guarded() == "TooYoung"
        assert scene.newest(IN_PLACE) == after


def test_a_dry_run_says_what_would_hold_it_back(scene: Scene) -> None:
    shown: list[Plan] = []
    options = OPTIONS.model_copy(update={"dry_run": True})
    guards = Guards(minimum_age_hours=1000, approval=True, jitter_seconds=86400)
    with (
        nothing_lost(scene, IN_PLACE),
        bare.without_prefect(),
        patch.object(rotation_report, "show_plan", lambda plan, target: shown.append(plan)),
    ):
        assert rotate_flow.fn(IN_PLACE, options, guards).name == "Planned"
    (plan,) = shown
    assert any("Not now: The password is" in note for note in plan.notes)
    assert any("asked to approve" in note for note in plan.notes)
