"""The history of a rotation: who started it, what it changed, who got it and how, what was proven, what comes next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import CreatedBy, FlowRun
from rotation_facts import HEALTHY, PUBLISHED, version

from infra.credentials import WorkloadKind
from infra.errors import Code, Refused
from infra.rotation.execution import Ending, Verdict
from infra.rotation.observation import Logins, LoginState, SecretFacts, Synced
from infra.rotation.steps import Action, Step
from tasks.reports.history import Journey, describe_starter, list_runs, tell
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

NOW = datetime.now(UTC)
BEFORE = replace(
    HEALTHY,
    username="orders_a",
    secrets=(
        SecretFacts("username", replace(version("u1"), created_at=NOW - timedelta(days=61))),
        SecretFacts("password", replace(version("p1"), created_at=NOW - timedelta(days=61))),
    ),
)
AFTER = replace(
    BEFORE,
    username="orders_b",
    secrets=(
        SecretFacts("username", replace(version("u2"), created_at=NOW), BEFORE.secrets[0].versions),
        SecretFacts("password", replace(version("p2"), created_at=NOW), BEFORE.secrets[1].versions),
    ),
    logins=Logins(LoginState.WORKS, previous=LoginState.REFUSED),
    consumers=(replace(HEALTHY.consumers[0], restarted_for="r1"),),
)
ORDERS = change(DEXTER, name="orders-db", strategy="in-place", every="60d")
ROTATED = Ending(Verdict.ROTATED, "r1", (Step(Action.VERIFY, "orders-db"),))


def told(**changes: Any) -> dict[str, str]:
    return tell(replace(Journey(ORDERS, ROTATED, BEFORE, AFTER), **changes), "the fleet", NOW)


def test_a_rotation_says_what_it_changed_and_who_has_it() -> None:
    seen = told()
    assert (seen["verdict"], seen["started by"], seen["rotation"]) == ("rotated", "the fleet", "r1")
    assert seen["username"] == "orders_a → orders_b"
    assert seen["versions"] == "username u1 → u2, password p1 → p2"
    assert seen["retired password"] == "61 days old"
    assert seen["consumers"] == ("deployment dexter/postgres-pod-kv: restarted, 1 pods, Secret has the newest versions")
    assert seen["proofs"] == ("every consumer and a login were verified; current login works, previous login refused")
    assert seen["next due"].endswith(" UTC, for its age")
    assert (seen["resumed"], seen["approval"]) == ("no", "nobody was asked")


def test_a_resumed_rotation_compares_with_what_was_current_when_it_was_staged() -> None:
    staged = replace(PUBLISHED, username="orders_b")
    seen = told(before=staged, after=staged, was_begun=True)
    assert seen["versions"] == "username u1 → u2, password p1 → p2"
    assert seen["retired password"] == "0.1 hours old"
    assert seen["resumed"] == "yes: an earlier run began it"


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"needs_restart": False, "is_database": False}, "takes it from its files"),
        ({"kind": WorkloadKind.CRON_JOB, "is_database": False}, "gets it with its next run"),
    ],
)
def test_each_consumer_says_how_it_gets_the_new_login(changes: dict[str, Any], how: str) -> None:
    facts = replace(AFTER.consumers[0], consumer=consumer_like(DATABASE, **changes), synced=Synced.NONE)
    assert told(after=replace(AFTER, consumers=(facts,)))["consumers"].endswith(f": {how}, 1 pods, no Secret")


def test_a_refused_one_says_why_and_retires_nothing() -> None:
    error = Refused(Code.LOCKED, name="orders-db")
    seen = told(ending=Ending(Verdict.REFUSED, "r1", error=error), after=BEFORE, approval="approved. INC 7")
    assert seen["error"] == f"{Code.LOCKED.what}: orders-db"
    assert seen["versions"] == "as before"
    assert "retired password" not in seen
    assert seen["proofs"].startswith("not verified by this run")
    assert seen["approval"] == "approved. INC 7"


def test_a_restart_counts_for_the_rotation_that_made_it_and_for_no_other() -> None:
    for mark, how in (
        ("r1", "restarted"),
        ("r1.rollback", "restarted"),
        ("r0", "not restarted"),
        ("", "not restarted"),
    ):
        facts = replace(AFTER.consumers[0], restarted_for=mark)
        assert f": {how}, 1 pods" in told(after=replace(AFTER, consumers=(facts,)))["consumers"], mark


def test_what_could_not_be_observed_is_left_out() -> None:
    assert set(told(before=None, after=None)) == {
        *("ended", "verdict", "started by", "rotation", "strategy", "resumed", "approval"),
    }


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"tags": ["fleet"], "deployment_id": uuid4()}, "the fleet"),
        ({"auto_scheduled": True, "deployment_id": uuid4()}, "its schedule"),
        ({"parent_task_run_id": uuid4()}, "another flow"),
        ({"deployment_id": uuid4()}, "a person, or a call of Prefect's API"),
        (
            {"deployment_id": uuid4(), "created_by": CreatedBy(type="AUTOMATION", display_value="on leak")},
            "automation on leak",
        ),
    ],
)
def test_who_started_a_run_is_told_in_words(run: dict[str, Any], words: str) -> None:
    assert describe_starter(FlowRun(flow_id=uuid4(), **run)) == words


def test_a_run_from_a_shell_names_user_and_host() -> None:
    assert describe_starter(FlowRun(flow_id=uuid4())).endswith(", from a shell")


def test_a_list_of_rotations_has_short_rows() -> None:
    [row] = list_runs([told()])
    assert list(row) == ["ended", "verdict", "started by", "rotation", "username"]
