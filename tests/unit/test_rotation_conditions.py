"""Steps that concern several pods, secrets or consumers: none is done while one of them still lacks it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rotation_facts import HEALTHY, OPTIONS, POD, PUBLISHED, STAGED, T0, actions, version, with_candidate, with_secret

from infra.credentials import Consumer, Reload, Strategy, WorkloadKind
from infra.rotation.observation import ConsumerFacts, Logins, LoginState, Observation, Phase, SecretFacts, Synced
from infra.rotation.options import Sync
from infra.rotation.plan import make_plan
from infra.rotation.state import RotationState
from infra.rotation.steps import Action, OnFailure, Predicate, Rule
from infra.rotation.strategies import STRATEGIES, conditions, recreate, subjects
from infra.rotation.strategies.subjects import the_login
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

WORKS, REFUSED = LoginState.WORKS, LoginState.REFUSED
NEW, OLD = {"username": "u2", "password": "p2"}, {"username": "u1", "password": "p1"}
CLIENT = consumer_like(DATABASE, name="client", is_database=False)
SECOND = consumer_like(DATABASE, name="second", is_database=False)
STANDBY = consumer_like(DATABASE, name="standby")
RESTORED = with_candidate(
    replace(
        PUBLISHED,
        secrets=(
            SecretFacts("username", version("u3", 8, rotation_id="r1", restores="u1")),
            SecretFacts("password", version("p3", 8, rotation_id="r1", restores="p1")),
        ),
        logins=Logins(LoginState.REFUSED, LoginState.WORKS, LoginState.REFUSED),
    ),
    phase=Phase.ROLLING_BACK,
)


def pods(*changes: dict[str, Any]) -> dict[str, Any]:
    """Make a workload's facts of one pod for each of these changes; all else about the pods is well."""
    made = tuple(
        replace(POD, name=f"pod-{number}", uid=f"uid-{number}", **({"versions": NEW} | change))
        for number, change in enumerate(changes)
    )
    return {"replicas": len(made), "pods": made}


def facts_of(consumer: Any, **changes: Any) -> ConsumerFacts:
    changed = {"synced": Synced.NEWEST} | pods({}, {}) | changes
    return replace(PUBLISHED.consumers[0], consumer=consumer, **changed)


def state_of(*consumers: ConsumerFacts, observation: Observation = PUBLISHED) -> RotationState:
    credential = change(DEXTER, consumers=tuple(facts.consumer for facts in consumers))
    return RotationState(credential, OPTIONS, replace(observation, consumers=consumers), "r1")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_workload_is_synced_only_with_its_last_pod(number: int) -> None:
    changes: list[dict[str, Any]] = [{}, {}, {}]
    assert state_of().has_synced(facts_of(CLIENT, **pods(*changes)))
    changes[number] = {"versions": OLD}
    assert not state_of().has_synced(facts_of(CLIENT, **pods(*changes)))
    changes[number] = {"versions": NEW | {"password": "p1"}}
    assert not state_of().has_synced(facts_of(CLIENT, **pods(*changes)))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_workload_is_ready_only_with_its_last_pod(number: int) -> None:
    changes: list[dict[str, Any]] = [{}, {}, {}]
    assert facts_of(CLIENT, **pods(*changes)).is_ready
    changes[number] = {"ready": False}
    assert not facts_of(CLIENT, **pods(*changes)).is_ready


def test_a_workload_with_a_pod_too_few_or_too_many_is_not_ready() -> None:
    assert not facts_of(CLIENT, replicas=3).is_ready
    assert not facts_of(CLIENT, replicas=1).is_ready
    assert not facts_of(CLIENT, replicas=0, pods=()).is_ready
    assert not facts_of(CLIENT, settled=False).is_ready


def test_a_scaled_down_workload_has_not_stopped_before_its_last_pod_is_gone() -> None:
    assert facts_of(DATABASE, replicas=0, pods=()).is_stopped
    assert not facts_of(DATABASE, replicas=0).is_stopped
    assert not facts_of(DATABASE, pods=()).is_stopped


@pytest.mark.parametrize("started", [(5, 1), (1, 5)], ids=str)
def test_one_pod_that_started_since_the_staging_may_have_the_new_values(started: tuple[int, int]) -> None:
    since = STAGED.created_at - timedelta(minutes=5)
    changes = [{"started_at": since + timedelta(minutes=minutes - 3)} for minutes in started]
    state = state_of(facts_of(CLIENT, **pods(*changes)))
    assert state.may_have_new_values(state.consumer(CLIENT.workload))
    before = pods({"started_at": since - timedelta(seconds=1)}, {"started_at": None})
    assert not state.may_have_new_values(facts_of(CLIENT, **before))
    assert state.may_have_new_values(facts_of(CLIENT, **pods({"started_at": since}, {"started_at": None})))


PARTLY_PUBLISHED = with_secret(PUBLISHED, SecretFacts("password", version("p1")))
PARTLY_RESTORED = with_secret(RESTORED, SecretFacts("password", version("p2", 6, rotation_id="r1")))
FIRST_RESTORED_LAST = with_secret(RESTORED, SecretFacts("username", version("u2", 6, rotation_id="r1")))


@pytest.mark.parametrize(
    ("predicate", "whole", "part"),
    [
        (conditions.is_unpinned_to_new, PUBLISHED, PARTLY_PUBLISHED),
        (conditions.is_pinned_or_published, PUBLISHED, PARTLY_PUBLISHED),
        (conditions.is_unpinned_to_previous, RESTORED, PARTLY_RESTORED),
        (conditions.is_unpinned_to_previous, RESTORED, FIRST_RESTORED_LAST),
        (conditions.is_pinned_or_restored, RESTORED, PARTLY_RESTORED),
    ],
)
def test_mounts_follow_once_the_last_secret_is_written(
    predicate: Predicate, whole: Observation, part: Observation
) -> None:
    consumer = facts_of(CLIENT)
    assert predicate(state_of(consumer, observation=whole), CLIENT.source_key)
    assert not predicate(state_of(consumer, observation=part), CLIENT.source_key)


@pytest.mark.parametrize("pinned_for", ["", "another"])
def test_a_source_is_pinned_once_all_that_read_it_are(pinned_for: str) -> None:
    ours = facts_of(CLIENT, pinned_for="r1", pinned=OLD)
    partly = replace(ours, consumer=SECOND, pinned={"username": "u1"})
    not_ours = replace(ours, consumer=SECOND, pinned_for=pinned_for)

    def is_pinned(*consumers: ConsumerFacts) -> bool:
        state = state_of(*consumers, observation=PARTLY_PUBLISHED)
        return conditions.is_pinned_or_published(state, CLIENT.source_key)

    assert is_pinned(ours, replace(ours, consumer=SECOND))
    for other in (partly, not_ours):
        assert not is_pinned(ours, other)
        assert not is_pinned(replace(other, consumer=CLIENT), replace(ours, consumer=SECOND))


def test_a_source_is_unpinned_once_nobody_has_a_pin_there() -> None:
    free, pinned = facts_of(CLIENT), facts_of(SECOND, pinned_for="another")
    assert conditions.is_unpinned_to_new(state_of(free, replace(free, consumer=SECOND)), CLIENT.source_key)
    assert not conditions.is_unpinned_to_new(state_of(free, pinned), CLIENT.source_key)
    assert not conditions.is_unpinned_to_new(state_of(pinned, free), CLIENT.source_key)
    assert not conditions.is_unpinned_to_previous(state_of(free, pinned, observation=RESTORED), CLIENT.source_key)


def test_another_source_does_not_count() -> None:
    elsewhere = facts_of(consumer_like(CLIENT, namespace="web"), pinned_for="another")
    assert conditions.is_unpinned_to_new(state_of(facts_of(CLIENT), elsewhere), CLIENT.source_key)


def test_a_shared_secret_is_fresh_once_all_its_consumers_see_it_so() -> None:
    fresh, other = facts_of(CLIENT), facts_of(SECOND, synced=Synced.OTHER)
    absent = replace(other, synced=Synced.ABSENT)
    for make, observation in ((conditions.is_fresh, PUBLISHED), (conditions.is_restored_too, RESTORED)):
        predicate = make(the_login)
        assert predicate(state_of(fresh, absent, observation=observation), CLIENT.secret_key)
        assert not predicate(state_of(fresh, other, observation=observation), CLIENT.secret_key)
        assert not predicate(state_of(other, fresh, observation=observation), CLIENT.secret_key)


def test_a_shared_secret_is_refreshed_when_every_database_has_stopped() -> None:
    stopped = facts_of(DATABASE, replicas=0, pods=())
    running = facts_of(STANDBY)
    restarted = facts_of(STANDBY, restarted_for="r1")
    is_fresh = recreate._is_fresh
    assert is_fresh(state_of(stopped, replace(stopped, consumer=STANDBY)), DATABASE.secret_key)
    assert not is_fresh(state_of(stopped, running), DATABASE.secret_key)
    assert not is_fresh(state_of(running, replace(stopped, consumer=DATABASE)), DATABASE.secret_key)
    stale = replace(stopped, synced=Synced.OTHER)
    assert not is_fresh(state_of(stale, replace(restarted, synced=Synced.OTHER)), DATABASE.secret_key)
    both = (replace(restarted, consumer=DATABASE, synced=Synced.OTHER), replace(restarted, synced=Synced.OTHER))
    assert is_fresh(state_of(*both), DATABASE.secret_key)


def test_a_shared_secret_is_restored_when_every_database_has_stopped_or_returned() -> None:
    stopped = facts_of(DATABASE, replicas=0, pods=())
    failed = facts_of(STANDBY, restarted_for="r1")
    returned = facts_of(STANDBY, restarted_for=state_of().rollback_mark)
    is_restored = recreate._is_restored
    assert is_restored(state_of(stopped, returned, observation=RESTORED), DATABASE.secret_key)
    assert not is_restored(state_of(stopped, failed, observation=RESTORED), DATABASE.secret_key)
    other_way = (replace(failed, consumer=DATABASE), replace(returned, consumer=STANDBY))
    assert not is_restored(state_of(*other_way, observation=RESTORED), DATABASE.secret_key)


def test_consent_is_asked_for_while_one_database_has_not_restarted() -> None:
    options = OPTIONS.model_copy(update={"data_loss": "no"})
    restarted, waiting = facts_of(DATABASE, restarted_for="r1"), facts_of(STANDBY)

    def refusal(*consumers: ConsumerFacts) -> object:
        state = replace(state_of(*consumers), options=options)
        return recreate.Recreate().find_objection(state)

    assert refusal(restarted, waiting) is not None
    assert refusal(replace(waiting, consumer=DATABASE), replace(restarted, consumer=STANDBY)) is not None
    assert refusal(restarted, replace(restarted, consumer=STANDBY)) is None


def seen(phase: Phase = Phase.STAGED, candidate: LoginState = REFUSED, previous: LoginState = REFUSED) -> Observation:
    return with_candidate(replace(PUBLISHED, logins=Logins(REFUSED, candidate, previous)), phase=phase)


@pytest.mark.parametrize(
    ("phase", "login", "is_disabled", "is_accepted"),
    [
        (Phase.STAGED, WORKS, False, True),
        (Phase.STAGED, REFUSED, True, False),
        (Phase.PROVEN, WORKS, True, True),
        (Phase.PROVEN, REFUSED, True, True),
    ],
)
def test_what_the_database_accepts_counts_until_the_proof_and_nothing_after_it(
    phase: Phase, login: LoginState, is_disabled: bool, is_accepted: bool
) -> None:
    assert conditions.is_disabled(state_of(observation=seen(phase, previous=login)), "dexter") is is_disabled
    assert conditions.is_accepted(state_of(observation=seen(phase, candidate=login)), "dexter") is is_accepted
    accepts_previous = conditions.accepts_previous(state_of(observation=seen(phase, previous=login)), "dexter")
    assert accepts_previous is (login is WORKS)


@pytest.mark.parametrize(
    ("candidate", "previous", "is_proof"),
    [(WORKS, REFUSED, True), (WORKS, WORKS, False), (REFUSED, REFUSED, False), (WORKS, LoginState.NOT_TRIED, False)],
)
def test_logins_prove_a_restart_by_hand_only_together_and_with_ready_pods(
    candidate: LoginState, previous: LoginState, is_proof: bool
) -> None:
    database = facts_of(DATABASE)
    state = state_of(database, observation=seen(candidate=candidate, previous=previous))
    assert state.has_restarted(database) is is_proof
    assert not state.has_restarted(replace(database, settled=False))
    assert not state.has_restarted(replace(database, replicas=0, restarted_for="r1"))
    assert state.has_restarted(replace(database, restarted_for="r1", settled=False))


def test_a_database_has_returned_by_its_mark_or_by_its_login_unless_it_is_scaled_to_0() -> None:
    database = facts_of(DATABASE)
    works, refused = (state_of(database, observation=seen(previous=login)) for login in (WORKS, REFUSED))
    assert works.has_returned(database)
    assert not refused.has_returned(database)
    assert refused.has_returned(replace(database, restarted_for=refused.rollback_mark))
    assert not works.has_returned(replace(database, replicas=0, restarted_for=works.rollback_mark))


def test_a_client_has_reloaded_when_it_was_told_or_has_no_pods() -> None:
    told, untold = facts_of(CLIENT, restarted_for="r1"), facts_of(CLIENT)
    assert conditions.has_reloaded(state_of(told), CLIENT.workload)
    assert conditions.has_reloaded(state_of(replace(untold, pods=())), CLIENT.workload)
    assert not conditions.has_reloaded(state_of(untold), CLIENT.workload)


def test_a_client_that_re_reads_its_files_is_back_with_the_restored_versions_or_without_pods() -> None:
    restored = {"username": "u3", "password": "p3"}
    back = facts_of(CLIENT, **pods({"versions": restored}, {"versions": restored}))
    behind = facts_of(CLIENT, **pods({"versions": restored}, {"versions": NEW}))
    is_back = conditions.has_previous_versions(the_login)

    def asked(facts: ConsumerFacts, observation: Observation = RESTORED) -> bool:
        return is_back(state_of(facts, observation=observation), CLIENT.workload)

    assert asked(back)
    assert not asked(behind)
    assert not asked(replace(back, synced=Synced.OTHER))
    assert asked(replace(behind, pods=()))
    newest = facts_of(CLIENT, **pods({"versions": {"username": "u3", "password": "p2"}}))
    assert not asked(newest, PARTLY_RESTORED)


@pytest.mark.parametrize("synced", list(Synced))
def test_recreate_restores_a_secret_that_may_hold_failed_values(synced: Synced) -> None:
    stopped = facts_of(DATABASE, replicas=0, pods=(), synced=synced)
    is_restored = recreate._is_restored(state_of(stopped, observation=RESTORED), DATABASE.secret_key)
    assert is_restored is (synced in (Synced.ABSENT, Synced.NEWEST))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_clients_that_need_it_are_restarted_and_the_database_by_recreate_alone(strategy: Strategy) -> None:
    restarts = STRATEGIES[strategy].restarts
    assert restarts(CLIENT)
    assert not restarts(consumer_like(CLIENT, needs_restart=False))
    assert restarts(DATABASE.model_copy(update={"needs_restart": False})) is (strategy is Strategy.RECREATE)


@pytest.mark.parametrize(("minutes", "is_foreign"), [(4, False), (5, False), (6, True)])
def test_an_older_version_is_foreign_if_it_was_written_after_the_staging(minutes: int, is_foreign: bool) -> None:
    theirs = version("x1", minutes)
    password = SecretFacts("password", version("p2", 7, rotation_id="r1"), (theirs, version("p1")))
    state = state_of(observation=with_secret(PUBLISHED, password))
    assert state.foreign_versions("password") == ((theirs,) if is_foreign else ())
    disabled = replace(password, older=(replace(theirs, enabled=False), version("p1")))
    assert state_of(observation=with_secret(PUBLISHED, disabled)).foreign_versions("password") == ()
    newest = SecretFacts("password", replace(theirs, enabled=False), (version("p1"),))
    assert len(state_of(observation=with_secret(PUBLISHED, newest)).foreign_versions("password")) == 1


@pytest.mark.parametrize(
    ("done", "policies"),
    [
        (set(), [OnFailure.STOP, OnFailure.ALWAYS_ROLL_BACK, OnFailure.ALWAYS_ROLL_BACK]),
        ({"a"}, [OnFailure.ALWAYS_ROLL_BACK] * 3),
        ({"c"}, [OnFailure.ALWAYS_ROLL_BACK] * 3),
    ],
)
def test_a_failure_means_something_else_once_any_subject_is_done(done: set[str], policies: list[OnFailure]) -> None:
    rule = Rule(
        Action.PUBLISH,
        lambda state: ("a", "b", "c"),
        lambda state, subject: subject in done,
        "It is why.",
        OnFailure.STOP,
        OnFailure.ALWAYS_ROLL_BACK,
        lambda state, subject: subject != "b",
    )
    steps = rule.steps(state_of())
    assert [(step.action, step.subject, step.reason) for step, _ in steps] == [
        (Action.PUBLISH, subject, "It is why.") for subject in "abc"
    ]
    assert [step.on_failure for step, _ in steps] == policies
    assert [is_done for _, is_done in steps] == [subject in done for subject in "abc"]
    assert [step.is_needed for step, _ in steps] == [True, False, True]


FOLLOWER = consumer_like(CLIENT, name="follower", needs_restart=False)
POOLER = consumer_like(CLIENT, name="pooler", reload=Reload(container="pooler", command=("reload",)))
BACKUP = consumer_like(CLIENT, name="backup", namespace="jobs", kind=WorkloadKind.CRON_JOB)
EVERY_KIND = (DATABASE, CLIENT, FOLLOWER, POOLER, BACKUP)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("every_consumer", (DATABASE, CLIENT, FOLLOWER, POOLER)),
        ("databases", (DATABASE,)),
        ("clients_of", (CLIENT,)),
        ("followers_of", (FOLLOWER, POOLER)),
        ("reloaded_of", (POOLER,)),
        ("runs_of", (BACKUP,)),
    ],
)
def test_each_step_is_for_its_kind_of_consumer_if_that_uses_what_changes(
    name: str, expected: tuple[Consumer, ...]
) -> None:
    chosen, is_of_users = getattr(subjects, name), name.endswith("_of")
    chosen = chosen(the_login) if is_of_users else chosen
    state = state_of(*map(facts_of, EVERY_KIND))
    assert chosen(state) == tuple(consumer.workload for consumer in expected)
    others = state_of(*(replace(facts_of(consumer), uses=frozenset({"other"})) for consumer in EVERY_KIND))
    assert chosen(others) == (() if is_of_users else chosen(state))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_the_secrets_of_databases_clients_and_runs_to_come_are_refreshed_forward_and_back(strategy: Strategy) -> None:
    web = consumer_like(CLIENT, namespace="web")
    databases = () if strategy is Strategy.MANAGED else (DATABASE,)
    state = state_of(*map(facts_of, (*databases, web, FOLLOWER, POOLER, BACKUP)))
    for rules in (STRATEGIES[strategy].forward, STRATEGIES[strategy].back):
        (refreshed,) = (rule.subjects(state) for rule in rules if rule.action is Action.REFRESH_SECRET)
        assert refreshed == tuple(consumer.secret_key for consumer in (*databases, web, BACKUP))


@pytest.mark.parametrize("sync", list(Sync))
def test_a_sync_that_nobody_has_to_wait_for_is_shown_as_not_needed(sync: Sync) -> None:
    consumers = (facts_of(CLIENT), facts_of(FOLLOWER), facts_of(SECOND, replicas=0, pods=()))
    credential = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=tuple(facts.consumer for facts in consumers))
    options = OPTIONS.model_copy(update={"sync": sync})
    observation = with_candidate(replace(PUBLISHED, consumers=consumers), strategy=Strategy.IN_PLACE)
    plan = make_plan(credential, options, observation, "r1")
    needed = {str(step.subject): step.is_needed for step in plan.done if step.action is Action.AWAIT_SYNC}
    assert needed == {
        str(CLIENT.workload): sync is Sync.WAIT,
        str(FOLLOWER.workload): True,
        str(SECOND.workload): False,
    }


def test_a_plan_waits_for_the_client_whose_second_pod_is_behind() -> None:
    """The whole way through the planner: in-place, two consumers, and one pod of one of them has not polled."""
    credential = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(DATABASE, CLIENT))
    behind = facts_of(CLIENT, **pods({}, {"versions": OLD}))
    observation = with_candidate(
        replace(
            HEALTHY,
            secrets=(SecretFacts("username", version("u1")), PUBLISHED.secrets[1]),
            logins=Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED),
            consumers=(
                facts_of(DATABASE, **pods({"versions": OLD | {"password": "p2"}})),
                replace(behind, pods=tuple(replace(pod, versions=OLD) for pod in behind.pods)),
            ),
        ),
        strategy=Strategy.IN_PLACE,
        created_at=T0 + timedelta(minutes=5),
    )
    plan = make_plan(credential, OPTIONS, observation, "r1")
    waiting = [str(step.subject) for step in plan.steps if step.action is Action.AWAIT_SYNC]
    assert waiting == [str(CLIENT.workload)]
    assert Action.PUBLISH not in actions(plan.steps)
