"""Azure fails in the middle of a rotation: throttling, errors, lost answers, lost roles, expired tokens, its clock."""

import json
import time
from functools import partial
from typing import Any

import pytest

from infra.errors import AccessDenied, AuthenticationFailed, NeedsOperator, RolledBack
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from tests.crash.cases import RECREATE
from tests.crash.faulty import IN_PLACE, VAULT, assert_resumes, between, has_candidate, nothing_lost, rotate
from tests.crash.scene import Scene

FORBIDDEN = json.dumps(
    {"error": {"code": "Forbidden", "message": "Caller is not authorized", "innererror": {"code": "ForbiddenByRbac"}}}
)
UNAUTHORIZED = {
    "WWW-Authenticate": 'Bearer authorization="https://login.microsoftonline.com/'
    '72f988bf-0000-4000-8000-2d7cd011db47", resource="https://vault.azure.net"'
}


@pytest.fixture(autouse=True)
def _without_faults(scene: Scene) -> None:
    scene.lab.faults.clear_faults()


def vault_fault(scene: Scene, **rule: Any) -> partial[int]:
    """Return what adds a fault of the vault."""
    return partial(scene.lab.faults.add_fault, host=VAULT, **rule)


def test_throttled_by_the_vault_it_waits_as_long_as_it_is_told(scene: Scene) -> None:
    before = scene.newest(IN_PLACE)
    throttle = vault_fault(scene, method="PUT", status=429, headers={"Retry-After": "1"}, times=1)
    with nothing_lost(scene, IN_PLACE), between(throttle, Action.PUBLISH):
        started = time.monotonic()
        assert rotate(IN_PLACE).verdict is Verdict.ROTATED
        assert time.monotonic() - started > 1
    scene.assert_well(IN_PLACE, before)


def test_a_burst_of_errors_of_the_vault_is_retried(scene: Scene) -> None:
    before = scene.newest(IN_PLACE)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        vault_fault(scene, method=method, status=500, times=1)()
    vault_fault(scene, method="GET", status=503, path="*/versions", times=1)()
    with nothing_lost(scene, IN_PLACE):
        assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    assert scene.lab.faults.faults()["faults"] == {}
    scene.assert_well(IN_PLACE, before)


@pytest.mark.parametrize("action", [Action.STAGE, Action.PUBLISH])
def test_a_write_whose_answer_is_lost_is_made_twice_and_harms_nobody(scene: Scene, action: Action) -> None:
    before, versions = scene.newest(IN_PLACE), len(scene.vault(IN_PLACE).list_versions("password"))
    lose = vault_fault(scene, method="PUT", status=500, times=1, late=True)
    with nothing_lost(scene, IN_PLACE), between(lose, action):
        assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    written = len(scene.vault(IN_PLACE).list_versions("password")) - versions
    assert written == (2 if action is Action.PUBLISH else 1)
    scene.assert_well(IN_PLACE, before)


def test_a_role_that_is_lost_before_anything_is_published_stops_the_rotation(scene: Scene) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        with between(vault_fault(scene, method="PUT", status=403, body=FORBIDDEN), Action.PUBLISH):
            ended = rotate(IN_PLACE)
        assert ended.verdict is Verdict.NEEDS_OPERATOR
        assert type(ended.error) is NeedsOperator
        assert ended.code == "ForbiddenByRbac"
        assert "Key Vault Secrets Officer" in ended.message
        assert scene.newest(IN_PLACE) == before
    assert_resumes(scene, IN_PLACE, before)


def test_a_pair_that_is_torn_by_a_lost_role_is_restored(scene: Scene) -> None:
    with nothing_lost(scene, RECREATE) as before:
        forbid = vault_fault(scene, method="PUT", path="/secrets/password", status=403, body=FORBIDDEN)
        with between(forbid, Action.PUBLISH):
            ended = rotate(RECREATE)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert type(ended.error) is RolledBack
        assert ended.code == "ForbiddenByRbac"
        assert scene.newest(RECREATE) == before
        assert not has_candidate(scene, RECREATE)
    assert_resumes(scene, RECREATE, before)


def test_a_role_that_is_lost_for_good_between_the_two_secrets_stops_where_a_person_can_resume(scene: Scene) -> None:
    with nothing_lost(scene, RECREATE) as before:
        forbid = vault_fault(scene, method="PUT", status=403, body=FORBIDDEN)
        first = vault_fault(scene, method="PUT", path="/secrets/password", status=403, body=FORBIDDEN, times=1)
        with between(first, Action.PUBLISH), between(forbid, Action.RESTORE):
            ended = rotate(RECREATE)
        assert ended.verdict is Verdict.NEEDS_OPERATOR
        assert "Nothing was deleted" in ended.message
        assert has_candidate(scene, RECREATE)
    assert_resumes(scene, RECREATE, before, Verdict.ROLLED_BACK)


def test_a_token_that_is_rejected_once_is_sent_again(scene: Scene) -> None:
    before = scene.newest(IN_PLACE)
    reject = vault_fault(scene, status=401, headers=UNAUTHORIZED, times=1)
    with nothing_lost(scene, IN_PLACE), between(reject, Action.SET_PASSWORD):
        assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    scene.assert_well(IN_PLACE, before)


def test_a_token_that_is_rejected_for_good_stops_the_rotation(scene: Scene) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        with between(vault_fault(scene, status=401, headers=UNAUTHORIZED), Action.PUBLISH):
            ended = rotate(IN_PLACE)
        assert ended.verdict is Verdict.NEEDS_OPERATOR
        assert "AZURE_" in ended.message
        scene.lab.faults.clear_faults()
    assert_resumes(scene, IN_PLACE, before)


def test_tokens_that_expire_within_seconds_are_renewed_on_the_way(scene: Scene) -> None:
    with nothing_lost(scene, RECREATE) as before:
        scene.lab.faults.switch("tokens-short-lived")
        assert rotate(RECREATE, sync=Sync.WAIT).verdict is Verdict.ROTATED
    scene.assert_well(RECREATE, before)


def test_a_caller_who_cannot_sign_in_is_refused(scene: Scene) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        scene.lab.faults.add_fault(host="login.microsoftonline.com", path="*/token", status=401, body="{}")
        ended = rotate(IN_PLACE)
        assert ended.verdict is Verdict.REFUSED
        assert isinstance(ended.error, AuthenticationFailed | AccessDenied), ended.message
    assert_resumes(scene, IN_PLACE, before)


@pytest.mark.parametrize("clock", ["azure-clock-ahead", "azure-clock-behind"])
def test_a_clock_of_azure_that_is_a_minute_off_changes_nothing(scene: Scene, clock: str) -> None:
    with nothing_lost(scene, IN_PLACE) as before:
        scene.lab.faults.switch(clock)
        assert rotate(IN_PLACE).verdict is Verdict.ROTATED
    assert_resumes(scene, IN_PLACE, before)
