"""Killed with SIGKILL in any step and run again, a rotation ends well. A sample; `make crash-test` makes every kill."""

from collections.abc import Iterator
from itertools import count

import pytest

from infra.rotation.steps import Action
from infra.rotation.strategies import STRATEGIES
from infra.targets import Strategy, Sync
from tests.crash.cases import CASES, Case
from tests.crash.guillotine import FIRST_WRITE, Cut, When
from tests.crash.scene import Pair, Scene

A = Action
SAMPLE: dict[tuple[Strategy, Sync], tuple[Action, ...]] = {
    (Strategy.RECREATE, Sync.EXPRESS): (A.PUBLISH, A.REFRESH_SECRET, A.START, A.AWAIT_READY, A.STOP),
    (Strategy.IN_PLACE, Sync.WAIT): (A.REHEARSE, A.AWAIT_SYNC, A.SET_LOGIN, A.RESTART),
    (Strategy.ALTERNATING, Sync.EXPRESS): (
        A.REHEARSE_OPENING,
        A.HOLD,
        A.OPEN_LOGIN,
        A.RELEASE,
        A.CLOSE_LOGIN,
        A.VERIFY,
    ),
    (Strategy.MANAGED, Sync.WAIT): (
        A.PROVE_CURRENT,
        A.STAGE,
        A.SET_ADMINISTRATOR,
        A.PROVE_CANDIDATE,
        A.RETIRE,
        A.FINISH,
    ),
}
"""Each step of a rotation once at least, where it tells most."""


@pytest.fixture(params=SAMPLE, ids=lambda key: f"{key[0]}-{key[1]}")
def case(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Case]:
    """A case that is ready to be rotated."""
    found = next(one for one in CASES if (one.strategy, one.sync) == request.param)
    with found.prepared(scene):
        yield found


def kill(scene: Scene, case: Case, before: Pair, action: Action, name: str) -> bool:
    """Run a rotation that is to die in a step, and tell whether it had the step still to do."""
    cut = Cut(str(action).partition("{")[0], FIRST_WRITE, When.AFTER)
    died = scene.zygote.run(case.target, case.options(name), cut)
    if died.fell:
        case.check_between(scene, before)
    else:
        assert died.verdict == "Rotated", died.message
    return bool(died.fell)


def test_a_rotation_killed_in_one_step_after_the_other_is_finished_by_the_last_run(scene: Scene, case: Case) -> None:
    before, names = scene.newest(case.target), (f"sample-{case.strategy}-{number}" for number in count())
    name = next(names)
    for action in SAMPLE[case.strategy, case.sync]:
        if not kill(scene, case, before, action, name):
            before, name = scene.newest(case.target), next(names)
            assert kill(scene, case, before, action, name), f"'{action}' was not reached"
    ended = scene.zygote.run(case.target, case.options(""))
    assert ended.verdict == "Rotated", ended.message
    case.check_after(scene, before)


def test_the_sample_has_every_step_of_every_strategy() -> None:
    steps = {rule.action for strategy in STRATEGIES.values() for rule in strategy.forward}
    assert steps == {action for actions in SAMPLE.values() for action in actions}
    assert {strategy for strategy, _ in SAMPLE} == set(STRATEGIES)
