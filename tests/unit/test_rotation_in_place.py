"""The plan of a rotation in place, case by case: who is restarted, what is refused, what rolls back."""

from dataclasses import replace
from typing import Any

import pytest
from rotation_facts import (
    HEALTHY,
    OPTIONS,
    PUBLISHED,
    STAGED,
    actions,
    fail,
    subjects,
    with_candidate,
    with_secret,
)

from infra.credentials import Consumer, CsiDelivery, Strategy
from infra.errors import DatabaseUnreachable, KeyturnError, LoginRefused, Refused, SyncPending, WorkloadUnhealthy
from infra.rotation.execution import Verdict
from infra.rotation.observation import ConsumerFacts, Logins, LoginState, Observation, Phase, Synced
from infra.rotation.options import Sync
from infra.rotation.plan import Plan, PlanStatus, make_plan
from infra.rotation.state import CLOCK_SKEW
from infra.rotation.steps import Action
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

CLIENT = consumer_like(DATABASE, name="client", is_database=False)
ELSEWHERE = consumer_like(
    CLIENT,
    namespace="web",
    delivery=CsiDelivery(secret_provider_class=CLIENT.delivery.secret_provider_class, synced_secret="login"),
)
FOLLOWER = consumer_like(CLIENT, name="follower", needs_restart=False)
ACCEPTED = Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED)
PUBLISHED_IN_PLACE = with_candidate(with_secret(PUBLISHED, HEALTHY.secret("username")), strategy=Strategy.IN_PLACE)
CHANGED = replace(PUBLISHED_IN_PLACE, logins=ACCEPTED)
ROLLING_BACK = with_candidate(PUBLISHED_IN_PLACE, phase=Phase.ROLLING_BACK)


def facts(consumer: Consumer, **changes: Any) -> ConsumerFacts:
    return replace(HEALTHY.consumers[0], consumer=consumer, **changes)


def among(observation: Observation, *consumers: ConsumerFacts) -> Observation:
    """Return the observation with more consumers beside the database."""
    return replace(observation, consumers=(observation.consumers[0], *consumers))


def plan_for(observation: Observation, strategy: Strategy = Strategy.IN_PLACE, **options: Any) -> Plan:
    consumers = tuple(facts.consumer for facts in observation.consumers)
    credential = change(DEXTER, strategy=strategy, consumers=consumers)
    return make_plan(credential, OPTIONS.model_copy(update=options), observation, "r1")


def test_the_password_is_published_before_the_database_changes_and_clients_restart_after_it() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT)), data_loss="no")
    assert plan.refusal is None
    assert actions(plan.steps) == [
        Action.STAGE,
        Action.PUBLISH,
        Action.AWAIT_SYNC,
        Action.AWAIT_SYNC,
        Action.SET_PASSWORD,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.VERIFY,
        Action.RETIRE,
        Action.FINISH,
    ]
    assert subjects(plan, Action.PUBLISH) == subjects(plan, Action.RETIRE) == ["password"]
    assert subjects(plan, Action.RESTART) == [CLIENT.key]


def test_steps_on_a_workload_have_the_workload_and_others_a_name_as_their_subject() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT)))
    found = {step.action: step.subject for step in plan.steps}
    assert found[Action.RESTART] == CLIENT.workload
    assert str(found[Action.RESTART]) == "deployment dexter/client"
    assert found[Action.REFRESH_SECRET] == "dexter/userpass"
    assert found[Action.VERIFY] == "dexter"


def test_neither_the_database_nor_a_client_that_re_reads_its_files_is_restarted() -> None:
    plan = plan_for(among(HEALTHY, facts(FOLLOWER)))
    assert Action.RESTART not in actions(plan.steps)
    assert Action.STOP not in actions(plan.steps)
    assert subjects(plan, Action.AWAIT_SYNC) == [DATABASE.key, FOLLOWER.key]


def test_a_client_that_uses_only_the_username_is_neither_waited_for_nor_restarted() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT, uses=frozenset({"username"}))))
    assert Action.RESTART not in actions(plan.steps)
    assert subjects(plan, Action.AWAIT_SYNC) == [DATABASE.key]


def test_a_shared_secret_is_refreshed_once_and_one_of_another_namespace_as_well() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT), facts(ELSEWHERE)))
    assert subjects(plan, Action.REFRESH_SECRET) == ["dexter/userpass", "web/login"]
    assert subjects(plan, Action.RESTART) == [CLIENT.key, ELSEWHERE.key]


def test_only_the_secret_that_is_stale_is_refreshed() -> None:
    database = replace(CHANGED.consumers[0], synced=Synced.NEWEST)
    stale = facts(ELSEWHERE, synced=Synced.OTHER)
    plan = plan_for(replace(CHANGED, consumers=(database, stale)))
    assert subjects(plan, Action.REFRESH_SECRET) == ["web/login"]


def test_express_does_not_wait_for_the_poll_and_says_so() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT)), sync=Sync.EXPRESS)
    assert Action.AWAIT_SYNC not in actions(plan.steps)
    assert any("with the next poll" in note for note in plan.notes)


def test_a_password_that_the_database_has_already_is_not_set_again() -> None:
    plan = plan_for(CHANGED, sync=Sync.EXPRESS)
    assert actions(plan.steps) == [Action.REFRESH_SECRET, Action.VERIFY, Action.RETIRE, Action.FINISH]


def test_a_client_in_a_rolling_update_is_waited_for_although_its_old_pods_are_ready() -> None:
    rolling = facts(CLIENT, restarted_for="r1", settled=False)
    plan = plan_for(among(CHANGED, rolling))
    assert Action.RESTART not in actions(plan.steps)
    assert subjects(plan, Action.AWAIT_READY) == [CLIENT.key]


@pytest.mark.parametrize(("observation", "mark"), [(CHANGED, "r1"), (ROLLING_BACK, "r1.rollback")])
def test_a_client_whose_start_was_not_checked_is_waited_for_although_its_pods_are_ready(
    observation: Observation, mark: str
) -> None:
    awaited = [
        subjects(
            plan_for(among(observation, facts(CLIENT, restarted_for=mark, start_checked=checked))), Action.AWAIT_READY
        )
        for checked in (True, False)
    ]
    assert awaited == [[], [CLIENT.key]]


def test_a_client_that_is_scaled_to_0_is_left_alone() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT, replicas=0, pods=())))
    assert not {Action.RESTART, Action.AWAIT_READY} & set(actions(plan.steps))


def test_a_finished_rotation_in_place_leaves_nothing_to_do() -> None:
    plan = plan_for(replace(PUBLISHED_IN_PLACE, candidate=None))
    assert (plan.status, plan.steps) == (PlanStatus.DONE, ())


def test_a_new_username_is_refused_until_the_rotation_is_staged() -> None:
    plan = plan_for(HEALTHY, new_username="therema")
    assert type(plan.refusal) is Refused
    assert (plan.refusal.code, plan.refusal.name) == ("UsernameStays", "new_username")
    assert plan_for(PUBLISHED_IN_PLACE, new_username="therema").refusal is None


def test_recreate_is_refused_if_no_consumer_is_the_database() -> None:
    plan = plan_for(replace(HEALTHY, consumers=(facts(CLIENT),)), Strategy.RECREATE)
    assert type(plan.refusal) is Refused
    assert plan.refusal.code == "NoDatabase"


def test_recreate_restarts_its_clients_once_the_database_is_ready() -> None:
    plan = plan_for(among(HEALTHY, facts(CLIENT)), Strategy.RECREATE)
    assert subjects(plan, Action.STOP) == [DATABASE.key]
    assert subjects(plan, Action.AWAIT_READY) == [DATABASE.key, CLIENT.key]
    steps = actions(plan.steps)
    assert steps.index(Action.AWAIT_READY) < steps.index(Action.RESTART) < steps.index(Action.VERIFY)


def test_an_unfinished_rotation_ends_with_the_strategy_that_it_began_with() -> None:
    plan = plan_for(PUBLISHED_IN_PLACE, Strategy.RECREATE)
    assert plan.strategy is Strategy.IN_PLACE
    assert Action.SET_PASSWORD in actions(plan.steps)
    assert "It began with the strategy in-place and ends with it." in plan.notes


def test_rolling_back_restores_the_previous_password_before_anything_else() -> None:
    client = facts(CLIENT, restarted_for="r1", synced=Synced.OTHER)
    plan = plan_for(among(replace(ROLLING_BACK, logins=ACCEPTED), client))
    assert actions(plan.steps) == [
        Action.RESTORE_PASSWORD,
        Action.RESTORE,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.VERIFY_RESTORED,
        Action.FINISH_ROLLBACK,
    ]
    assert plan.mark == "r1.rollback"


def test_rolling_back_restarts_only_clients_that_may_have_started_with_the_new_password() -> None:
    def is_restarted(client: ConsumerFacts) -> bool:
        return Action.RESTART in actions(plan_for(among(ROLLING_BACK, client)).steps)

    pod = HEALTHY.consumers[0].pods[0]
    since = STAGED.created_at
    assert is_restarted(facts(CLIENT, restarted_for="r1"))
    assert is_restarted(facts(CLIENT, pods=(replace(pod, started_at=since),)))
    assert is_restarted(facts(CLIENT, pods=(replace(pod, started_at=since - CLOCK_SKEW),))), "by the cluster's clock"
    assert not is_restarted(facts(CLIENT, pods=(replace(pod, started_at=since - 2 * CLOCK_SKEW),)))
    assert not is_restarted(facts(CLIENT, restarted_for="r1.rollback", pods=(replace(pod, started_at=since),)))


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Action.AWAIT_SYNC, SyncPending("x", name="y")),
        (Action.SET_PASSWORD, LoginRefused("x", name="y")),
        (Action.SET_PASSWORD, Refused("x", name="y")),
        (Action.SET_PASSWORD, DatabaseUnreachable("x", name="y")),
        (Action.AWAIT_READY, WorkloadUnhealthy("x", name="y")),
    ],
)
def test_a_proof_that_fails_after_publishing_rolls_back(action: Action, error: KeyturnError) -> None:
    assert fail(plan_for(among(PUBLISHED_IN_PLACE, facts(CLIENT))), action, error)[0]


@pytest.mark.parametrize("observation", [CHANGED, with_candidate(PUBLISHED_IN_PLACE, phase=Phase.PROVEN)])
def test_a_sync_that_times_out_after_the_change_in_the_database_may_be_waited_for_again(
    observation: Observation,
) -> None:
    timeout = SyncPending("x", name="y")
    assert fail(plan_for(observation), Action.AWAIT_SYNC, timeout) == (False, Verdict.SYNC_PENDING)


def test_a_client_that_fails_after_the_proof_does_not_roll_back() -> None:
    unhealthy = facts(CLIENT, restarted_for="r1", settled=False)
    plan = plan_for(among(with_candidate(PUBLISHED_IN_PLACE, phase=Phase.PROVEN), unhealthy))
    assert not fail(plan, Action.AWAIT_READY, WorkloadUnhealthy("x", name="y"))[0]


def test_the_username_is_not_restored_since_it_never_changed() -> None:
    assert subjects(plan_for(ROLLING_BACK), Action.RESTORE) == ["password"]
