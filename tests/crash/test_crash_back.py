"""Killed with SIGKILL on its way back to the old values, one step after the other, a rotation still gets there."""

import json
from typing import Any

import pytest

from infra.rotation.steps import Action
from infra.targets import Strategy, Sync
from tests.crash.cases import CASES
from tests.crash.faulty import VAULT, beginning
from tests.crash.guillotine import FIRST_WRITE, Cut, When
from tests.crash.scene import Scene

A = Action
FORBIDDEN = json.dumps({"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}})
NO_PASSWORD: dict[str, Any] = {"method": "PUT", "path": "/secrets/password", "status": 403, "body": FORBIDDEN}
"""The password cannot be published, after its username was: the pair is torn."""
BEGIN = "begin the rollback"


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        (Strategy.RECREATE, (BEGIN, A.RESTORE, A.VERIFY_RESTORED, A.FINISH_ROLLBACK)),
        (
            Strategy.ALTERNATING,
            (BEGIN, A.RESTORE, A.RELEASE, A.VERIFY_RESTORED, A.CLOSE_CANDIDATE, A.FINISH_ROLLBACK),
        ),
    ],
    ids=["recreate", "alternating"],
)
def test_a_torn_pair_is_put_together_again_whoever_is_killed_on_the_way(
    scene: Scene, strategy: Strategy, steps: tuple[Action | str, ...]
) -> None:
    case = next(one for one in CASES if (one.strategy, one.sync) == (strategy, Sync.EXPRESS))
    with case.prepared(scene):
        before, name = scene.newest(case.target), f"back-{strategy}"
        scene.lab.faults.add_fault(host=VAULT, **NO_PASSWORD)
        for step in steps:
            cut = Cut(beginning(step) if isinstance(step, Action) else step, FIRST_WRITE, When.AFTER)
            died = scene.zygote.run(case.target, case.options(name), cut)
            assert died.fell, (step, died)
            case.check_between(scene, before)
        scene.lab.faults.clear_faults()
        assert scene.newest(case.target) == before
        assert scene.logs_in(case.target, before)
        again = scene.zygote.run(case.target, case.options(name))
        assert (again.verdict, again.code) == ("Refused", "RolledBack"), again.message
        ended = scene.zygote.run(case.target, case.options(""))
        assert ended.verdict == "Rotated", ended.message
        case.check_after(scene, before)
