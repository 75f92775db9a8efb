"""The plan of a rotation in place, case by case: who is restarted, what is refused, what rolls back."""

from dataclasses import replace

import pytest
from rotation_facts import OPTIONS, PUBLISHED, STAGED, TARGET, WELL, actions

from infra.errors import DatabaseUnreachable, LoginRefused, Refused, SyncPending, WorkloadUnhealthy
from infra.rotation.observation import ConsumerFacts, Logins, LoginState, Observation, Phase, SecretFacts, Synced
from infra.rotation.plan import Outcome, Plan, make_plan
from infra.rotation.situation import CLOCKS_DIFFER
from infra.rotation.steps import Action
from infra.rotation.verdict import Verdict, judge
from infra.targets import WALKTHROUGH_CONSUMER, Strategy, Sync

IN_PLACE = TARGET.model_copy(update={"strategy": Strategy.IN_PLACE})
DATABASE = WALKTHROUGH_CONSUMER
CLIENT = DATABASE.model_copy(update={"workload": "client", "is_database": False})
ELSEWHERE = CLIENT.model_copy(update={"namespace": "web", "synced_secret": "login"})
READER = CLIENT.model_copy(update={"workload": "reader", "needs_restart": False})
TAKEN = Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED)


def facts(names: object, **changes: object) -> ConsumerFacts:
    return replace(WELL.consumers[0], names=names, **changes)  # type: ignore[arg-type]


def among(observation: Observation, *consumers: ConsumerFacts) -> Observation:
    return replace(observation, consumers=(observation.consumers[0], *consumers))


PUBLISHED_IN_PLACE = replace(PUBLISHED, username=WELL.username, candidate=replace(STAGED, strategy=Strategy.IN_PLACE))


def plan_for(observation: Observation, **options: object) -> Plan:
    target = IN_PLACE.model_copy(update={"consumers": tuple(one.names for one in observation.consumers)})
    return make_plan(target, OPTIONS.model_copy(update=options), observation, "r1")


def subjects(plan: Plan, action: Action) -> list[str]:
    return [step.subject for step in plan.steps if step.action is action]


def test_the_steps_publish_before_the_database_changes_and_restart_after_it() -> None:
    plan = plan_for(among(WELL, facts(CLIENT)), data_loss="no")
    assert plan.refusal is None
    assert actions(plan.steps) == [
        Action.PROVE_CURRENT,
        Action.REHEARSE,
        Action.STAGE,
        Action.PUBLISH,
        Action.AWAIT_SYNC,
        Action.AWAIT_SYNC,
        Action.SET_LOGIN,
        Action.PROVE_CANDIDATE,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.VERIFY,
        Action.RETIRE,
        Action.FINISH,
    ]
    assert subjects(plan, Action.PUBLISH) == subjects(plan, Action.RETIRE) == ["password"]
    assert subjects(plan, Action.RESTART) == ["dexter/client"]


def test_neither_the_database_nor_who_reads_its_files_again_is_restarted() -> None:
    plan = plan_for(among(WELL, facts(READER)))
    assert Action.RESTART not in actions(plan.steps)
    assert Action.STOP not in actions(plan.steps)
    assert subjects(plan, Action.AWAIT_SYNC) == ["dexter/postgres-pod-kv", "dexter/reader"]


def test_who_uses_the_username_alone_has_nothing_to_wait_for_and_is_not_restarted() -> None:
    plan = plan_for(among(WELL, facts(CLIENT, uses=frozenset({"username"}))))
    assert Action.RESTART not in actions(plan.steps)
    assert subjects(plan, Action.AWAIT_SYNC) == ["dexter/postgres-pod-kv"]


def test_a_secret_that_two_share_is_refreshed_once_and_those_of_other_namespaces_too() -> None:
    plan = plan_for(among(WELL, facts(CLIENT), facts(ELSEWHERE)))
    assert subjects(plan, Action.REFRESH_SECRET) == ["dexter/userpass", "web/login"]
    assert subjects(plan, Action.RESTART) == ["dexter/client", "web/client"]


def test_express_waits_for_no_poll() -> None:
    plan = plan_for(among(WELL, facts(CLIENT)), sync=Sync.EXPRESS)
    assert Action.AWAIT_SYNC not in actions(plan.steps)
    assert any("with a poll" in note for note in plan.notes)


def test_what_the_database_took_already_is_not_done_again() -> None:
    plan = plan_for(replace(PUBLISHED_IN_PLACE, logins=TAKEN), sync=Sync.EXPRESS)
    assert actions(plan.steps) == [Action.REFRESH_SECRET, Action.VERIFY, Action.RETIRE, Action.FINISH]


def test_a_client_that_rolls_is_waited_for_though_its_old_pods_are_ready() -> None:
    rolling = facts(CLIENT, restarted_for="r1", settled=False)
    plan = plan_for(among(replace(PUBLISHED_IN_PLACE, logins=TAKEN), rolling))
    assert Action.RESTART not in actions(plan.steps)
    assert subjects(plan, Action.AWAIT_READY) == ["dexter/client"]


@pytest.mark.parametrize("mark", ["r1", "r1.rollback"])
def test_a_client_whose_start_was_not_checked_is_waited_for_though_its_pods_are_ready(mark: str) -> None:
    before = BACK if mark.endswith("rollback") else replace(PUBLISHED_IN_PLACE, logins=TAKEN)
    awaited = [
        subjects(plan_for(among(before, facts(CLIENT, restarted_for=mark, start_checked=checked))), Action.AWAIT_READY)
        for checked in (True, False)
    ]
    assert awaited == [[], ["dexter/client"]]


def test_a_client_that_is_scaled_to_0_is_left_alone() -> None:
    plan = plan_for(among(WELL, facts(CLIENT, replicas=0, pods=())))
    assert not {Action.RESTART, Action.AWAIT_READY} & set(actions(plan.steps))


def test_a_rotation_in_place_that_ended_is_done() -> None:
    plan = plan_for(replace(PUBLISHED_IN_PLACE, candidate=None))
    assert (plan.outcome, plan.steps) == (Outcome.DONE, ())


def test_another_username_is_refused_before_anything_is_staged() -> None:
    plan = plan_for(WELL, new_username="therema")
    assert type(plan.refusal) is Refused
    assert plan.refusal.code == "UsernameStays"
    assert plan_for(PUBLISHED_IN_PLACE, new_username="therema").refusal is None


def test_recreate_is_refused_where_no_consumer_is_the_database() -> None:
    target = TARGET.model_copy(update={"consumers": (CLIENT,)})
    plan = make_plan(target, OPTIONS, replace(WELL, consumers=(facts(CLIENT),)), "r1")
    assert type(plan.refusal) is Refused
    assert plan.refusal.code == "NoDatabase"


def test_recreate_restarts_its_clients_when_the_database_is_ready() -> None:
    target = TARGET.model_copy(update={"consumers": (DATABASE, CLIENT)})
    plan = make_plan(target, OPTIONS, among(WELL, facts(CLIENT)), "r1")
    assert subjects(plan, Action.STOP) == ["dexter/postgres-pod-kv"]
    assert subjects(plan, Action.AWAIT_READY) == ["dexter/postgres-pod-kv", "dexter/client"]
    steps = actions(plan.steps)
    assert steps.index(Action.AWAIT_READY) < steps.index(Action.RESTART) < steps.index(Action.VERIFY)


def test_an_unfinished_rotation_ends_with_the_strategy_that_it_began_with() -> None:
    plan = make_plan(TARGET, OPTIONS, PUBLISHED_IN_PLACE, "r1")
    assert plan.strategy is Strategy.IN_PLACE
    assert Action.SET_LOGIN in actions(plan.steps)
    assert "It began with the strategy in-place and ends with it." in plan.notes


BACK = replace(PUBLISHED_IN_PLACE, candidate=replace(PUBLISHED_IN_PLACE.candidate, phase=Phase.ROLLING_BACK))  # type: ignore[type-var]


def test_rolling_back_gives_the_old_password_back_before_anything_else() -> None:
    plan = plan_for(among(replace(BACK, logins=TAKEN), facts(CLIENT, restarted_for="r1", synced=Synced.OTHER)))
    assert actions(plan.steps) == [
        Action.RESTORE_LOGIN,
        Action.RESTORE,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.VERIFY_RESTORED,
        Action.FINISH_ROLLBACK,
    ]
    assert plan.mark == "r1.rollback"


def test_rolling_back_restarts_only_who_may_have_begun_with_the_new_password() -> None:
    def restarted(client: ConsumerFacts) -> bool:
        return Action.RESTART in actions(plan_for(among(BACK, client)).steps)

    pod = WELL.consumers[0].pods[0]
    since = STAGED.created_at
    assert restarted(facts(CLIENT, restarted_for="r1"))
    assert restarted(facts(CLIENT, pods=(replace(pod, started_at=since),)))
    assert restarted(facts(CLIENT, pods=(replace(pod, started_at=since - CLOCKS_DIFFER),))), "by the cluster's clock"
    assert not restarted(facts(CLIENT, pods=(replace(pod, started_at=since - 2 * CLOCKS_DIFFER),)))
    assert not restarted(facts(CLIENT, restarted_for="r1.rollback", pods=(replace(pod, started_at=since),)))


def fail(observation: Observation, action: Action, error: Exception) -> tuple[bool, Verdict]:
    plan = plan_for(observation)
    step = next(one for one in plan.steps if one.action is action)
    failure = judge(plan, step, error)  # type: ignore[arg-type]
    return failure.rolls_back, failure.verdict


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (Action.AWAIT_SYNC, SyncPending("x", name="y")),
        (Action.SET_LOGIN, LoginRefused("x", name="y")),
        (Action.SET_LOGIN, Refused("x", name="y")),
        (Action.SET_LOGIN, DatabaseUnreachable("x", name="y")),
        (Action.PROVE_CANDIDATE, LoginRefused("x", name="y")),
        (Action.AWAIT_READY, WorkloadUnhealthy("x", name="y")),
    ],
)
def test_what_fails_after_publishing_rolls_back(action: Action, error: Exception) -> None:
    assert fail(among(PUBLISHED_IN_PLACE, facts(CLIENT)), action, error)[0]


def test_a_sync_that_does_not_come_after_the_change_may_be_waited_for_again() -> None:
    changed = replace(PUBLISHED_IN_PLACE, logins=TAKEN)
    assert fail(changed, Action.AWAIT_SYNC, SyncPending("x", name="y")) == (False, Verdict.SYNC_PENDING)


def test_what_is_proven_is_not_rolled_back_by_a_client_that_fails_later() -> None:
    proven = replace(PUBLISHED_IN_PLACE, candidate=replace(STAGED, strategy=Strategy.IN_PLACE, phase=Phase.PROVEN))
    unwell = facts(CLIENT, restarted_for="r1", settled=False)
    assert not fail(among(proven, unwell), Action.AWAIT_READY, WorkloadUnhealthy("x", name="y"))[0]


def test_a_rehearsal_that_fails_changed_nothing() -> None:
    assert fail(WELL, Action.REHEARSE, Refused("x", name="y")) == (False, Verdict.REFUSED)


def test_the_base_of_the_username_is_not_restored_since_it_never_changed() -> None:
    assert subjects(plan_for(BACK), Action.RESTORE) == ["password"]
    assert isinstance(BACK.username, SecretFacts)
