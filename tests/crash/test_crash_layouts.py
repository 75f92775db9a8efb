"""Killed with SIGKILL in steps that read or write its secrets, a rotation of each layout is ended by the next run."""

import pytest

from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from infra.rotation.steps import Action
from tests.crash.faulty import prefix_of
from tests.crash.guillotine import FIRST_WRITE, KillPoint, When
from tests.crash.layouts import LAYOUT_CASES, VALUES, LayoutCase
from tests.crash.scene import Scene

A = Action
ALTERNATING, IN_PLACE = (A.STAGE, A.ENABLE_ALTERNATE, A.PUBLISH, A.RESTART), (A.STAGE, A.PUBLISH, A.SET_PASSWORD)
CHEAP = "JSON"
"""The one that `make test` kills; the others are slow tests."""
MARKED = [
    pytest.param(case, id=case.name, marks=() if case.name == CHEAP else pytest.mark.slow) for case in LAYOUT_CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_a_killed_rotation_of_each_layout_ends_well_and_leaves_all_else_in_its_secret(
    scene: Scene, case: LayoutCase
) -> None:
    with case.prepared(scene):
        before = scene.newest(case.credential)
        for action in ALTERNATING if case.strategy is Strategy.ALTERNATING else IN_PLACE:
            point = KillPoint(prefix_of(action), FIRST_WRITE, When.AFTER)
            killed = scene.zygote.run(case.credential, case.options(), point, fresh_id="kept")
            assert killed.killed_at, killed.message
            case.check_after_kill(scene, before)
        ended = scene.zygote.run(case.credential, case.options())
        assert ended.verdict == Verdict.ROTATED, ended.message
        case.check_after_rotation(scene, before)
        layout, vault = case.credential.secrets, scene.vault(case.credential)
        values = {name: vault.read(name) for name in layout.names}
        assert layout.render(before, values) == {name: VALUES[name] for name in layout.names}
