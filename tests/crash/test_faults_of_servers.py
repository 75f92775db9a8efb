"""Azure's answer about a Flexible Server's password is wrong: the login decides, not the answer."""

import json

import pytest

from infra.errors import AccessDenied, NeedsOperator, RolledBack, ServiceFailed, Unverified
from infra.rotation.execution import Verdict
from infra.rotation.steps import Action
from tasks.rotation import server_administrator
from testing.walkthrough import SERVER
from tests.crash.faulty import assert_resumes, between, has_candidate, nothing_lost, rotate
from tests.crash.scene import Scene

ARM, SERVERS, OPERATIONS = "management.azure.com", "*/flexibleServers/*", "*/azureAsyncOperation/*"
FORBIDDEN = json.dumps({"error": {"code": "AuthorizationFailed", "message": "The client does not have authorization"}})


@pytest.fixture(autouse=True)
def _without_faults(scene: Scene) -> None:
    scene.lab.faults.clear_faults()


@pytest.mark.parametrize("switch", ["server-password-fails", "server-password-late"])
def test_a_password_that_took_effect_although_azure_says_otherwise_is_gone_on_with(scene: Scene, switch: str) -> None:
    with nothing_lost(scene, SERVER) as before:
        scene.lab.faults.switch(switch)
        ended = rotate(SERVER)
        assert ended.verdict is Verdict.ROTATED, ended.message
    scene.lab.faults.clear_faults()
    scene.assert_well(SERVER, before)


def test_a_role_that_is_lost_while_azure_works_stops_no_change_that_took_effect(scene: Scene) -> None:
    with nothing_lost(scene, SERVER) as before:
        scene.lab.faults.add_fault(host=ARM, path=OPERATIONS, method="GET", status=403, body=FORBIDDEN, delay_seconds=1)
        ended = rotate(SERVER)
        assert ended.verdict is Verdict.ROTATED, ended.message
    scene.lab.faults.clear_faults()
    scene.assert_well(SERVER, before)


def test_an_operation_that_fails_without_effect_is_rolled_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_administrator, "EFFECTIVE_SECONDS", 1.0)
    with nothing_lost(scene, SERVER) as before:
        scene.lab.faults.add_fault(host=ARM, path=SERVERS, method="PATCH", status=500)
        ended = rotate(SERVER)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert type(ended.error) is RolledBack
        assert type(ended.error.cause) is Unverified
        assert "Azure did not change the administrator's password" in ended.message
        assert type(ended.error.cause.cause) is ServiceFailed
        assert scene.newest(SERVER) == before
        assert scene.logs_in(SERVER, before)
        assert not has_candidate(scene, SERVER)
    assert_resumes(scene, SERVER, before)


def test_a_missing_role_stops_at_once(scene: Scene) -> None:
    with nothing_lost(scene, SERVER) as before:
        scene.lab.faults.add_fault(host=ARM, path=SERVERS, method="PATCH", status=403, body=FORBIDDEN)
        ended = rotate(SERVER)
        assert ended.verdict is Verdict.NEEDS_OPERATOR, ended.message
        assert type(ended.error) is NeedsOperator
        assert type(ended.error.cause) is AccessDenied
        assert (ended.code, scene.newest(SERVER)) == ("AuthorizationFailed", before)
        assert scene.logs_in(SERVER, before)
    assert_resumes(scene, SERVER, before)


def test_a_rollback_restores_the_password_although_azure_says_that_it_failed(scene: Scene) -> None:
    with nothing_lost(scene, SERVER) as before:
        scene.lab.faults.switch("server-password-fails")
        forbid = scene.lab.faults
        with between(
            lambda: forbid.add_fault(host="*.vault.azure.net", method="PUT", status=403, body=FORBIDDEN, times=1),
            Action.PUBLISH,
        ):
            ended = rotate(SERVER)
        assert ended.verdict is Verdict.ROLLED_BACK, ended.message
        assert scene.logs_in(SERVER, before)
    assert_resumes(scene, SERVER, before)
