"""The plan, case by case: what is left, what is refused by class and code, and what a failed step means."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rotation_facts import KEY, OPTIONS, POD, PUBLISHED, STAGED, T0, TARGET, USES, WELL, actions, version

from infra.errors import (
    AccessDenied,
    Conflict,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    NeedsOperator,
    Refused,
    SecretUnusable,
    ServiceFailed,
    SyncPending,
    Unverified,
    WorkloadUnhealthy,
)
from infra.rotation.observation import (
    CandidateFacts,
    ConsumerFacts,
    Logins,
    LoginState,
    Observation,
    Phase,
    Pod,
    SecretFacts,
    Synced,
    Version,
)
from infra.rotation.plan import Outcome, Plan, make_plan, new_rotation_id
from infra.rotation.steps import Action
from infra.rotation.verdict import Verdict, explain_stop, judge, judge_refusal
from infra.targets import WALKTHROUGH_CONSUMER, Sync


def plan_for(observation: Observation, rotation_id: str = "r1", **options: object) -> Plan:
    return make_plan(TARGET, OPTIONS.model_copy(update=options), observation, rotation_id)


def consumer(**changes: object) -> tuple[ConsumerFacts]:
    return (replace(PUBLISHED.consumers[0], **changes),)  # type: ignore[arg-type]


def test_a_new_rotation_has_every_step_in_the_order_of_the_design() -> None:
    plan = plan_for(WELL)
    assert plan.outcome is Outcome.OPEN
    assert plan.refusal is None
    assert actions(plan.steps) == [
        Action.PROVE_CURRENT,
        Action.STAGE,
        Action.PUBLISH,
        Action.PUBLISH,
        Action.AWAIT_SYNC,
        Action.STOP,
        Action.REFRESH_SECRET,
        Action.START,
        Action.AWAIT_READY,
        Action.VERIFY,
        Action.RETIRE,
        Action.RETIRE,
        Action.FINISH,
    ]
    assert [step.subject for step in plan.steps if step.action is Action.PUBLISH] == ["username", "password"]
    assert str(plan.steps[5]) == "scale dexter/postgres-pod-kv to 0"
    assert all(step.reason for step in plan.steps)


def test_express_waits_for_no_poll_and_says_so() -> None:
    plan = plan_for(WELL, sync=Sync.EXPRESS)
    assert Action.AWAIT_SYNC not in actions(plan.steps)
    assert any("poll is not waited for" in note for note in plan.notes)


def test_the_data_loss_is_said_in_every_plan() -> None:
    assert any("All data in the database goes" in note for note in plan_for(WELL).notes)


def test_after_publishing_what_is_left_begins_with_the_sync() -> None:
    plan = plan_for(PUBLISHED)
    assert actions(plan.steps)[0] is Action.AWAIT_SYNC
    assert actions(plan.done) == [Action.PROVE_CURRENT, Action.STAGE, Action.PUBLISH, Action.PUBLISH]


def test_the_sync_is_there_only_when_both_versions_are_mounted_and_the_secret_holds_them() -> None:
    mounted = {"username": "u2", "password": "p2"}
    torn = consumer(pods=(replace(POD, versions={"username": "u2", "password": "p1"}),))
    whole = consumer(pods=(replace(POD, versions=mounted),))
    for pods, synced, waits in [
        (torn, Synced.NEWEST, True),
        (whole, Synced.OTHER, True),
        (whole, Synced.ABSENT, True),
        (whole, Synced.NEWEST, False),
    ]:
        plan = plan_for(replace(PUBLISHED, consumers=(replace(pods[0], synced=synced),)))
        assert (Action.AWAIT_SYNC in actions(plan.steps)) is waits


def test_a_consumer_that_was_stopped_is_not_waited_for_but_its_stale_secret_goes() -> None:
    plan = plan_for(replace(PUBLISHED, consumers=consumer(replicas=0, pods=(), stopped_replicas=1)))
    assert actions(plan.steps)[:2] == [Action.REFRESH_SECRET, Action.START]


def test_a_restart_that_was_made_for_this_rotation_is_not_made_again() -> None:
    pods = (replace(POD, uid="uid-2", ready=False),)
    plan = plan_for(replace(PUBLISHED, consumers=consumer(restarted_for="r1", pods=pods, synced=Synced.NEWEST)))
    assert actions(plan.steps)[:2] == [Action.AWAIT_READY, Action.VERIFY]


def test_the_restart_of_another_rotation_does_not_count() -> None:
    plan = plan_for(replace(PUBLISHED, consumers=consumer(restarted_for="r0")))
    assert Action.STOP in actions(plan.steps)


def test_a_restart_by_hand_is_believed_when_the_logins_prove_it() -> None:
    logins = Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED)
    plan = plan_for(replace(PUBLISHED, logins=logins, consumers=consumer(synced=Synced.NEWEST)))
    assert actions(plan.steps)[0] is Action.VERIFY


def test_nothing_is_retired_before_the_proof() -> None:
    steps = actions(plan_for(PUBLISHED).steps)
    assert steps.index(Action.VERIFY) < steps.index(Action.RETIRE)
    proven = plan_for(replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.PROVEN)))
    assert Action.VERIFY not in actions(proven.steps)


def test_an_unfinished_rotation_is_taken_up_before_the_one_asked_for() -> None:
    plan = plan_for(PUBLISHED, "r2")
    assert plan.rotation_id == "r1"
    assert plan.notes[0] == "Rotation r1 is unfinished and is taken up first."


def test_a_rotation_that_ended_is_done_and_leaves_nothing_to_do() -> None:
    ended = replace(PUBLISHED, candidate=None, logins=Logins(LoginState.WORKS))
    plan = plan_for(ended, "r1")
    assert (plan.outcome, plan.steps) == (Outcome.DONE, ())
    assert plan_for(ended, "r2").outcome is Outcome.OPEN


def test_the_candidate_of_a_rotation_that_ended_is_still_dropped() -> None:
    plan = plan_for(replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.DONE)))
    assert actions(plan.steps) == [Action.FINISH]


def test_a_rotation_that_was_rolled_back_is_not_begun_again_under_its_id() -> None:
    restored = SecretFacts("username", version("u3", 9, rotation_id="r1", restores="u1"), PUBLISHED.username.versions)
    plan = plan_for(replace(PUBLISHED, candidate=None, username=restored))
    assert plan.outcome is Outcome.ROLLED_BACK
    assert_refused(plan, Refused, "RolledBack")


def test_rolling_back_restores_both_secrets_and_restarts_what_does_not_run_on_the_old_values() -> None:
    failing = replace(
        PUBLISHED,
        candidate=replace(STAGED, phase=Phase.ROLLING_BACK),
        logins=Logins(LoginState.UNREACHABLE, LoginState.UNREACHABLE, LoginState.UNREACHABLE),
    )
    plan = plan_for(failing)
    assert plan.is_rolling_back
    assert plan.mark == "r1.rollback"
    assert actions(plan.steps) == [
        Action.RESTORE,
        Action.RESTORE,
        Action.STOP,
        Action.REFRESH_SECRET,
        Action.START,
        Action.AWAIT_READY,
        Action.VERIFY_RESTORED,
        Action.FINISH_ROLLBACK,
    ]


def test_rolling_back_leaves_a_database_alone_that_still_takes_the_old_login() -> None:
    plan = plan_for(replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.ROLLING_BACK)))
    assert Action.STOP not in actions(plan.steps)
    assert actions(plan.steps)[0] is Action.RESTORE


def test_rolling_back_starts_what_is_scaled_to_0_although_its_last_pod_still_takes_the_old_login() -> None:
    ending = consumer(replicas=0, stopped_replicas=1)
    plan = plan_for(replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.ROLLING_BACK), consumers=ending))
    assert Action.START in actions(plan.steps)


def assert_refused(plan: Plan, kind: type[KeyturnError], code: str) -> KeyturnError:
    assert type(plan.refusal) is kind
    assert plan.refusal.code == code
    assert plan.refusal.fix
    return plan.refusal


def test_recreate_without_consent_is_refused_by_name() -> None:
    refusal = assert_refused(plan_for(WELL, data_loss="no"), Refused, "ConsentMissing")
    assert refusal.name == "options.data_loss"
    assert "I accept data loss" in str(refusal)


def test_what_is_left_after_the_restart_needs_no_consent_again() -> None:
    after = replace(PUBLISHED, consumers=consumer(restarted_for="r1", synced=Synced.NEWEST))
    assert plan_for(after, data_loss="no").refusal is None


def test_recreate_is_refused_where_a_volume_keeps_the_data() -> None:
    kept = replace(WELL, consumers=(replace(WELL.consumers[0], keeps_data=True),))
    refusal = assert_refused(plan_for(kept), Refused, "VolumeKeepsData")
    assert refusal.name == KEY


@pytest.mark.parametrize("name", ["username", "password"])
def test_a_disabled_newest_version_is_refused(name: str) -> None:
    disabled = replace(WELL, **{name: SecretFacts(name, replace(version("x"), enabled=False))})  # type: ignore[arg-type]
    refusal = assert_refused(plan_for(disabled), SecretUnusable, "SecretDisabled")
    assert refusal.name == f"dexterkeyvault/{name}"


def test_no_rotation_begins_with_a_login_that_is_refused() -> None:
    assert_refused(plan_for(replace(WELL, logins=Logins(LoginState.REFUSED))), LoginRefused, "28P01")


def test_versions_by_hand_that_never_reached_the_database_are_explained() -> None:
    logins = Logins(LoginState.REFUSED, previous=LoginState.WORKS)
    refusal = assert_refused(plan_for(replace(WELL, logins=logins)), LoginRefused, "28P01")
    assert "written by hand" in refusal.fix


@pytest.mark.parametrize("state", [LoginState.UNREACHABLE, LoginState.STARTING])
def test_no_rotation_begins_while_the_database_does_not_answer(state: LoginState) -> None:
    plan = plan_for(replace(WELL, logins=Logins(state, detail="Connection refused")))
    assert type(plan.refusal) is DatabaseUnreachable
    assert "Connection refused" in str(plan.refusal)


def test_a_newer_version_by_somebody_else_is_a_conflict_and_names_it() -> None:
    theirs = SecretFacts("password", version("p3", 8), PUBLISHED.password.versions)
    refusal = assert_refused(plan_for(replace(PUBLISHED, password=theirs)), Conflict, "NewerVersion")
    assert "p3" in refusal.seen
    assert "username-password-candidate" in refusal.fix


def test_a_version_by_somebody_else_that_was_overtaken_is_a_conflict_until_it_is_disabled() -> None:
    def between(enabled: bool) -> Observation:
        theirs = replace(version("u9", 5), created_at=T0 + timedelta(minutes=5, seconds=30), enabled=enabled)
        secret = SecretFacts("username", PUBLISHED.username.newest, (theirs, version("u1")))
        return replace(PUBLISHED, username=secret)

    assert_refused(plan_for(between(True)), Conflict, "NewerVersion")
    assert plan_for(between(False)).refusal is None


def test_one_published_secret_without_its_candidate_needs_an_operator() -> None:
    half = replace(PUBLISHED, candidate=None, password=WELL.password)
    assert_refused(plan_for(half), NeedsOperator, "CandidateLost")


def fail(observation: Observation, action: Action, error: KeyturnError, subject: str = "") -> tuple[bool, Verdict]:
    plan = plan_for(observation)
    step = next(one for one in plan.steps if one.action is action and subject in ("", one.subject))
    failure = judge(plan, step, error)
    assert str(plan.rotation_id) in str(explain_stop(plan, failure)) or failure.verdict is Verdict.REFUSED
    return failure.rolls_back, failure.verdict


@pytest.mark.parametrize(
    "error", [Unverified("x", name="y"), WorkloadUnhealthy("x", name="y"), LoginRefused("x", name="y")]
)
def test_a_proof_that_fails_after_publishing_rolls_back(error: KeyturnError) -> None:
    assert fail(PUBLISHED, Action.VERIFY, error)[0]


def test_a_sync_that_does_not_come_changes_nothing_and_may_be_waited_for_again() -> None:
    assert fail(PUBLISHED, Action.AWAIT_SYNC, SyncPending("x", name="y")) == (False, Verdict.SYNC_PENDING)


def test_the_way_on_after_a_missing_sync_names_the_express() -> None:
    plan = plan_for(PUBLISHED)
    told = explain_stop(plan, judge(plan, plan.steps[0], SyncPending("x", name="y", fix="look")))
    assert type(told) is SyncPending
    assert "goes on from here" in told.fix
    assert "express" in told.fix


def test_a_failure_before_publishing_changed_nothing() -> None:
    assert fail(WELL, Action.STAGE, AccessDenied("x", name="y")) == (False, Verdict.REFUSED)


def test_a_password_that_cannot_follow_its_username_rolls_the_username_back() -> None:
    error = ServiceFailed("x", name="y")
    assert fail(WELL, Action.PUBLISH, error, "username") == (False, Verdict.NEEDS_OPERATOR)
    assert fail(WELL, Action.PUBLISH, error, "password")[0]
    half = replace(PUBLISHED, password=WELL.password)
    assert fail(half, Action.PUBLISH, error, "password")[0]


@pytest.mark.parametrize("action", [Action.RETIRE, Action.FINISH])
def test_what_is_proven_is_never_rolled_back(action: Action) -> None:
    proven = replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.PROVEN))
    assert fail(proven, action, Unverified("x", name="y")) == (False, Verdict.NEEDS_OPERATOR)


def test_a_rollback_that_fails_needs_an_operator_and_tells_both_causes() -> None:
    back = replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.ROLLING_BACK))
    plan = plan_for(back)
    failure = judge(plan, plan.steps[-2], Unverified("the old login fails", name="db"))
    told = explain_stop(plan, failure, WorkloadUnhealthy("no pod came up", name="w"))
    assert not failure.rolls_back
    assert type(told) is NeedsOperator
    assert "the old login fails" in told.seen
    assert "no pod came up" in told.seen
    assert "Nothing was deleted" in told.fix


def test_a_refusal_is_called_by_what_a_person_must_do() -> None:
    assert judge_refusal(Refused("x", name="y")) is Verdict.REFUSED
    assert judge_refusal(Conflict("x", name="y")) is Verdict.NEEDS_OPERATOR
    assert judge_refusal(LoginRefused("x", name="y")) is Verdict.REFUSED


def test_a_rotation_is_named_by_its_time() -> None:
    assert new_rotation_id(T0, "k3f9") == "20260101-000000-k3f9"


versions = st.builds(
    Version,
    version=st.sampled_from(["u1", "u2", "u3", "p1", "p2"]),
    enabled=st.booleans(),
    created_at=st.sampled_from([T0 + timedelta(minutes=minute) for minute in range(8)]),
    rotation_id=st.sampled_from(["", "r1", "r2"]),
    restores=st.sampled_from(["", "u1"]),
)


def facts(name: str) -> st.SearchStrategy[SecretFacts]:
    return st.builds(SecretFacts, st.just(name), versions, st.lists(versions, max_size=3).map(tuple))


states = st.sampled_from(list(LoginState))
observations = st.builds(
    Observation,
    facts("username"),
    facts("password"),
    st.none()
    | st.builds(
        CandidateFacts,
        st.just("c1"),
        st.sampled_from(["r1", "r2"]),
        st.sampled_from(list(Phase)),
        st.just(T0 + timedelta(minutes=4)),
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(["p1", "p2"]),
    ),
    st.builds(Logins, states, states, states),
    st.builds(
        ConsumerFacts,
        st.just(WALKTHROUGH_CONSUMER),
        st.just(USES),
        st.sampled_from(list(Synced)),
        st.integers(0, 2),
        st.lists(st.builds(Pod, st.just("pod"), st.just("uid"), st.booleans()), max_size=2).map(tuple),
        st.none() | st.just(1),
        st.sampled_from(["", "r1", "r1.rollback"]),
        st.booleans(),
    ).map(lambda one: (one,)),
)


@given(observations, st.sampled_from(["r1", "r2", "r3"]), st.sampled_from(list(Sync)))
def test_from_any_observation_there_is_a_plan_that_disables_nothing_unproven(
    observation: Observation, rotation_id: str, sync: Sync
) -> None:
    plan = plan_for(observation, rotation_id, sync=sync)
    steps = actions(plan.steps)
    if Action.RETIRE in steps:
        proven = observation.candidate is not None and observation.candidate.phase is Phase.PROVEN
        assert proven or steps.index(Action.VERIFY) < steps.index(Action.RETIRE)
    if plan.is_rolling_back:
        assert Action.RETIRE not in steps
        assert Action.PUBLISH not in steps
    assert plan.steps or plan.refusal or plan.outcome is Outcome.DONE
    assert plan == plan_for(observation, rotation_id, sync=sync) or plan.refusal
