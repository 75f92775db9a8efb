"""A reload command: which clients have it, which rights it needs, and what its failure says."""

from typing import Any, cast

import pytest
from pydantic import ValidationError
from rotation_facts import HEALTHY, OPTIONS, subjects

from infra.credentials import Consumer, Reload, Strategy, WorkloadKind
from infra.errors import Code, KeyturnError, NotFound, ServiceFailed
from infra.kubernetes.client import Cluster
from infra.kubernetes.errors import Unreachable
from infra.kubernetes.pods import CommandOutput
from infra.rotation.observation import ConsumerFacts, Synced
from infra.rotation.plan import make_plan
from infra.rotation.steps import Action
from tasks.preflight.rights import RELOADS, STATEFUL_SETS, list_needs
from tasks.rotation import restarts
from tasks.rotation.restarts import find_reload_failure
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

RELOAD = Reload(container="pooler", command=("psql", "-c", "RELOAD"))
POOLER = consumer_like(DATABASE, name="pooler", is_database=False, reload=RELOAD)
CREDENTIAL = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(DATABASE, POOLER))
NO_CLUSTER = cast(Cluster, None)


def test_a_client_with_a_reload_command_is_reloaded_and_not_restarted() -> None:
    base = HEALTHY.consumers[0]
    facts = ConsumerFacts(POOLER, base.uses, Synced.NEWEST, 1, base.pods)
    observed = HEALTHY.__class__(**{**vars(HEALTHY), "consumers": (base, facts)})
    plan = make_plan(CREDENTIAL, OPTIONS.model_copy(update={"sync": "express"}), observed, "r1")
    done = [step.action for step in plan.steps if step.subject == POOLER.workload]
    assert done == [Action.AWAIT_SYNC, Action.RELOAD], "its files must be new before it reads them, with express too"
    assert [step.action for step in plan.steps].index(Action.RELOAD) > [step.action for step in plan.steps].index(
        Action.SET_PASSWORD
    )
    assert POOLER.secret_key not in subjects(plan, Action.RESTART)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"is_database": True}, "the database itself is not reloaded"),
        ({"workload": {"kind": "CronJob", "namespace": "web", "name": "x"}}, "a CronJob is not reloaded"),
        ({"reload": {"container": "web", "command": []}}, "at least 1 item"),
        ({"reload": {"container": "with.dot", "command": ["x"]}}, "should match pattern"),
    ],
)
def test_what_cannot_be_reloaded_is_refused_by_its_field(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Consumer.model_validate({**POOLER.model_dump(), **fields})


def test_a_reload_needs_the_right_to_run_commands_and_no_other_client_does() -> None:
    rights = {
        (str(need.right), need.right.namespace) for need in list_needs(NO_CLUSTER, CREDENTIAL) if need.role == RELOADS
    }
    assert rights == {("get pods/exec", "dexter"), ("create pods/exec", "dexter")}
    patched = {str(need.right) for need in list_needs(NO_CLUSTER, CREDENTIAL)}
    assert "patch deployments 'pooler'" in patched, "that it was reloaded is remembered there"
    without = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(DATABASE, consumer_like(POOLER, reload=None)))
    assert RELOADS not in {need.role for need in list_needs(NO_CLUSTER, without)}


@pytest.mark.parametrize("strategy", [Strategy.IN_PLACE, Strategy.RECREATE, Strategy.ALTERNATING])
def test_to_restart_a_stateful_set_whose_login_has_ended_its_pods_must_be_deleted(strategy: Strategy) -> None:
    own = DATABASE.delivery.model_copy(update={"synced_secret": "own"})
    kind, needed = WorkloadKind.STATEFUL_SET, strategy is not Strategy.ALTERNATING
    for client, may_need in ((kind, True), (WorkloadKind.DEPLOYMENT, False)):
        consumer = consumer_like(DATABASE, name="x", kind=client, is_database=False, delivery=own)
        credential = change(DEXTER, strategy=strategy, consumers=(DATABASE, consumer))
        rights = {str(need.right) for need in list_needs(NO_CLUSTER, credential) if need.role == STATEFUL_SETS}
        assert rights == ({"delete pods"} if needed and may_need else set()), client


def test_the_rights_for_each_kind_are_asked_for_by_its_own_path() -> None:
    own = DATABASE.delivery.model_copy(update={"synced_secret": "own"})
    kinds = {
        kind: consumer_like(DATABASE, name="x", kind=kind, is_database=False, delivery=own) for kind in WorkloadKind
    }
    needed = {
        kind: {str(need.right) for need in list_needs(NO_CLUSTER, change(DEXTER, consumers=(DATABASE, consumer)))}
        for kind, consumer in kinds.items()
    }
    assert "patch statefulsets 'x'" in needed[WorkloadKind.STATEFUL_SET]
    assert "patch daemonsets 'x'" in needed[WorkloadKind.DAEMON_SET]
    assert {"patch rollouts 'x'", "list replicasets", "list rollouts"} <= needed[WorkloadKind.ROLLOUT]
    assert "get cronjobs 'x'" in needed[WorkloadKind.CRON_JOB]
    assert "patch cronjobs 'x'" not in needed[WorkloadKind.CRON_JOB]
    assert "patch secrets 'own'" in needed[WorkloadKind.JOB], "its next run starts with it"
    assert "list horizontalpodautoscalers" in needed[WorkloadKind.JOB], "recreate scales the database"
    kept = change(DEXTER, strategy=Strategy.IN_PLACE)
    assert "list horizontalpodautoscalers" not in {str(need.right) for need in list_needs(NO_CLUSTER, kept)}


def test_an_api_server_that_is_away_is_no_fault_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> CommandOutput:
        raise Unreachable(Code.UNREACHABLE, name="the cluster")

    monkeypatch.setattr(restarts, "run_in_pod", run)
    with pytest.raises(Unreachable):
        find_reload_failure(NO_CLUSTER, POOLER, "pooler-1")


@pytest.mark.parametrize(
    ("result", "seen"),
    [
        (CommandOutput("", "", 0), None),
        (CommandOutput("SECRET", "SECRET", 3), "exit code 3"),
        (ServiceFailed("The command could not be run", name="p", seen="SECRET"), "The command could not be run"),
        (NotFound("gone", name="p"), None),
    ],
)
def test_a_command_that_fails_is_told_by_its_exit_code_alone(
    result: CommandOutput | KeyturnError, seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def run(*arguments: Any) -> CommandOutput:
        asked.append(arguments)
        if isinstance(result, KeyturnError):
            raise result
        return result

    monkeypatch.setattr(restarts, "run_in_pod", run)
    failure = find_reload_failure(NO_CLUSTER, POOLER, "pooler-1")
    assert asked == [(NO_CLUSTER, "dexter", "pooler-1", RELOAD.command, "pooler")]
    assert (failure.seen if failure else None) == seen
    if failure:
        assert (failure.code, failure.name) == (Code.RELOAD_FAILED, "pooler in pooler-1")
        assert "SECRET" not in str(failure)
