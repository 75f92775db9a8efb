"""Killed with SIGKILL in any step and run again, a rotation ends well. A sample; `make crash-test` makes every kill."""

from collections.abc import Iterator
from itertools import count

import pytest

from infra.credentials import Login, Strategy
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from infra.rotation.strategies import STRATEGIES
from tests.crash.cases import GRACE, Case, find_case
from tests.crash.faulty import prefix_of
from tests.crash.guillotine import FIRST_WRITE, KillPoint, When
from tests.crash.scene import Scene

A = Action
SAMPLE: dict[tuple[Strategy, Sync], tuple[Action, ...]] = {
    (Strategy.RECREATE, Sync.EXPRESS): (A.PUBLISH, A.REFRESH_SECRET, A.START, A.AWAIT_READY, A.STOP),
    (Strategy.IN_PLACE, Sync.WAIT): (A.AWAIT_SYNC, A.SET_PASSWORD, A.RESTART),
    (Strategy.ALTERNATING, Sync.EXPRESS): (
        A.PIN,
        A.ENABLE_ALTERNATE,
        A.UNPIN,
        A.DISABLE_PREVIOUS,
        A.VERIFY,
    ),
    (Strategy.MANAGED, Sync.WAIT): (
        A.STAGE,
        A.SET_ADMINISTRATOR,
        A.RETIRE,
        A.FINISH,
    ),
}
"""Each step of a rotation at least once, in the strategy in which a kill is most likely to do harm.

The beginning of a grace has a test of its own; a reload, which only a client with a command has, is killed by the
property tests.
"""


@pytest.fixture(params=SAMPLE, ids=lambda key: f"{key[0]}-{key[1]}")
def case(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Case]:
    """A case that is ready to be rotated."""
    found = find_case(*request.param)
    with found.prepared(scene):
        yield found


def kill(scene: Scene, case: Case, before: Login, action: Action, rotation_id: str) -> bool:
    """Run a rotation that is killed in a step, and return whether the step was left to do."""
    point = KillPoint(prefix_of(action), FIRST_WRITE, When.AFTER)
    killed = scene.zygote.run(case.credential, case.options(), point, fresh_id=rotation_id)
    if killed.killed_at:
        case.check_after_kill(scene, before)
    else:
        assert killed.verdict == Verdict.ROTATED, killed.message
    return bool(killed.killed_at)


def test_a_rotation_killed_in_one_step_after_the_other_is_finished_by_the_last_run(scene: Scene, case: Case) -> None:
    before, names = scene.newest(case.credential), (f"sample-{case.strategy}-{number}" for number in count())
    name = next(names)
    for action in SAMPLE[case.strategy, case.sync]:
        if not kill(scene, case, before, action, name):
            before, name = scene.newest(case.credential), next(names)
            assert kill(scene, case, before, action, name), f"'{action}' was not reached"
    ended = scene.zygote.run(case.credential, case.options())
    assert ended.verdict == Verdict.ROTATED, ended.message
    case.check_after_rotation(scene, before)


def test_the_sample_has_every_step_of_every_strategy() -> None:
    steps = {rule.action for strategy in STRATEGIES.values() for rule in strategy.forward}
    assert steps == {A.BEGIN_GRACE, A.RELOAD, *(action for actions in SAMPLE.values() for action in actions)}
    assert {strategy for strategy, _ in SAMPLE} == set(STRATEGIES)


@pytest.mark.parametrize("when", [pytest.param(When.BEFORE, marks=pytest.mark.slow), When.AFTER])
def test_a_rotation_killed_while_its_grace_begins_leaves_both_logins_and_is_finished_later(
    scene: Scene, when: When
) -> None:
    name, point = f"grace-{when}", KillPoint(prefix_of(A.BEGIN_GRACE), FIRST_WRITE, when)
    with GRACE.prepared(scene):
        before = scene.newest(GRACE.credential)
        killed = scene.zygote.run(GRACE.credential, GRACE.options(), point, fresh_id=name)
        assert killed.killed_at
        GRACE.check_after_kill(scene, before)
        ended = scene.zygote.run(GRACE.credential, GRACE.options(name))
        assert ended.verdict in (Verdict.ROTATED, Verdict.NOTHING_TO_DO), ended.message
        GRACE.check_after_rotation(scene, before)
