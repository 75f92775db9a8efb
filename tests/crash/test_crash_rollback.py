"""Killed with SIGKILL on its way back to the previous values, one step after the other, a rotation still gets there."""

import json
from typing import Any

import pytest

from infra.credentials import Strategy
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from tests.crash.cases import find_case
from tests.crash.faulty import VAULT, prefix_of
from tests.crash.guillotine import BEGIN_ROLLBACK, FIRST_WRITE, KillPoint, When
from tests.crash.scene import Scene

A = Action
FORBIDDEN = json.dumps({"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}})
NO_PASSWORD: dict[str, Any] = {"method": "PUT", "path": "/secrets/password", "status": 403, "body": FORBIDDEN}
"""The password cannot be published, after its username was: the pair is torn."""


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        (Strategy.RECREATE, (BEGIN_ROLLBACK, A.RESTORE, A.VERIFY_RESTORED, A.FINISH_ROLLBACK)),
        pytest.param(
            Strategy.ALTERNATING,
            (BEGIN_ROLLBACK, A.RESTORE, A.UNPIN, A.VERIFY_RESTORED, A.DISABLE_CANDIDATE, A.FINISH_ROLLBACK),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["recreate", "alternating"],
)
def test_a_torn_pair_is_restored_wherever_the_rollback_is_killed(
    scene: Scene, strategy: Strategy, steps: tuple[Action | str, ...]
) -> None:
    case = find_case(strategy, Sync.EXPRESS)
    with case.prepared(scene):
        before, name = scene.newest(case.credential), f"back-{strategy}"
        scene.lab.faults.add_fault(host=VAULT, **NO_PASSWORD)
        for step in steps:
            point = KillPoint(prefix_of(step) if isinstance(step, Action) else step, FIRST_WRITE, When.AFTER)
            killed = scene.zygote.run(case.credential, case.options(), point, fresh_id=name)
            assert killed.killed_at, (step, killed)
            case.check_after_kill(scene, before)
        scene.lab.faults.clear_faults()
        assert scene.newest(case.credential) == before
        assert scene.logs_in(case.credential, before)
        again = scene.zygote.run(case.credential, case.options(name))
        assert (again.verdict, again.code) == (Verdict.REFUSED, "RolledBack"), again.message
        ended = scene.zygote.run(case.credential, case.options())
        assert ended.verdict == Verdict.ROTATED, ended.message
        case.check_after_rotation(scene, before)
