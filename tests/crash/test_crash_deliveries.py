"""Each delivery, killed in the steps that are about it and run again; `make crash-test` makes every kill."""

from collections.abc import Iterator

import pytest

from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from tests.crash.cases import CASES, Case, find_case
from tests.crash.faulty import prefix_of
from tests.crash.guillotine import FIRST_WRITE, KillPoint, When
from tests.crash.scene import Scene

A = Action
KILLED_IN: dict[Strategy, tuple[Action, ...]] = {
    Strategy.ALTERNATING: (A.PIN, A.PUBLISH, A.UNPIN),
    Strategy.IN_PLACE: (A.PUBLISH, A.SET_PASSWORD),
    Strategy.RECREATE: (A.PUBLISH, A.START),
    Strategy.MANAGED: (A.SET_ADMINISTRATOR, A.PUBLISH),
}
CHEAP = find_case(Strategy.IN_PLACE, Sync.EXPRESS, "a Secret that others keep")
"""What is also a part of `make test-faults`."""
OTHERS = [case for case in CASES if case.delivery and case is not CHEAP]


@pytest.fixture(
    params=[CHEAP, *(pytest.param(case, marks=pytest.mark.slow) for case in OTHERS)],
    ids=lambda case: str(case).replace(", ", "-"),
)
def case(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Case]:
    """A case that is ready to be rotated."""
    with request.param.prepared(scene):
        yield request.param


def test_a_rotation_killed_in_the_steps_of_its_delivery_is_finished_by_the_next_run(scene: Scene, case: Case) -> None:
    before, name = scene.newest(case.credential), f"delivery-{CASES.index(case)}"
    for action in KILLED_IN[case.strategy]:
        point = KillPoint(prefix_of(action), FIRST_WRITE, When.AFTER)
        killed = scene.zygote.run(case.credential, case.options(), point, fresh_id=name)
        assert killed.killed_at, f"'{action}' was not reached: {killed.message}"
        case.check_after_kill(scene, before)
    ended = scene.zygote.run(case.credential, case.options())
    assert ended.verdict == Verdict.ROTATED, ended.message
    case.check_after_rotation(scene, before)
