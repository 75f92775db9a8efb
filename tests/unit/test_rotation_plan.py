"""The plan, case by case: what is left, what is refused by class and code, and what a failed step means."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rotation_facts import (
    HEALTHY,
    OPTIONS,
    POD,
    PUBLISHED,
    T0,
    USES,
    actions,
    fail,
    find_step,
    subjects,
    version,
    with_candidate,
    with_secret,
)

from infra.credentials import Reload, Strategy
from infra.errors import (
    AccessDenied,
    Code,
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
from infra.rotation.execution import Verdict, explain_stop, judge, judge_refusal, rolls_back
from infra.rotation.observation import (
    CandidateFacts,
    ConsumerFacts,
    Grace,
    Logins,
    LoginState,
    Observation,
    Phase,
    Pod,
    SecretFacts,
    Synced,
    Version,
)
from infra.rotation.options import Sync
from infra.rotation.plan import Plan, PlanStatus, make_plan, new_rotation_id
from infra.rotation.state import RotationState
from infra.rotation.steps import Action, OnFailure, Rule, Step
from infra.rotation.strategies import STRATEGIES
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like


def plan_for(observation: Observation, rotation_id: str = "r1", **options: Any) -> Plan:
    return make_plan(DEXTER, OPTIONS.model_copy(update=options), observation, rotation_id)


def published_with(**changes: Any) -> Observation:
    """Return the published observation with other facts about its consumer."""
    return replace(PUBLISHED, consumers=(replace(PUBLISHED.consumers[0], **changes),))


ROLLING_BACK = with_candidate(PUBLISHED, phase=Phase.ROLLING_BACK)
PROVEN = with_candidate(PUBLISHED, phase=Phase.PROVEN)


def test_a_new_rotation_has_every_step_in_the_order_of_the_design() -> None:
    plan = plan_for(HEALTHY)
    assert plan.status is PlanStatus.OPEN
    assert plan.refusal is None
    assert actions(plan.steps) == [
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
    assert subjects(plan, Action.PUBLISH) == ["username", "password"]
    assert str(plan.steps[4]) == "scale deployment dexter/postgres-pod-kv to 0"
    assert all(step.reason for step in plan.steps)


def test_express_does_not_wait_for_the_poll_and_says_so() -> None:
    plan = plan_for(HEALTHY, sync=Sync.EXPRESS)
    assert Action.AWAIT_SYNC not in actions(plan.steps)
    assert any("poll is not waited for" in note for note in plan.notes)


def test_every_plan_says_that_the_data_is_lost() -> None:
    assert any("All data in the database is lost" in note for note in plan_for(HEALTHY).notes)


def test_after_publishing_the_next_step_is_the_sync() -> None:
    plan = plan_for(PUBLISHED)
    assert actions(plan.steps)[0] is Action.AWAIT_SYNC
    assert actions(plan.done) == [Action.STAGE, Action.PUBLISH, Action.PUBLISH]


@pytest.mark.parametrize(
    ("password", "synced", "waits"),
    [
        ("p1", Synced.NEWEST, True),
        ("p2", Synced.OTHER, True),
        ("p2", Synced.ABSENT, True),
        ("p2", Synced.NEWEST, False),
    ],
)
def test_a_consumer_is_synced_once_both_versions_are_mounted_and_its_secret_holds_them(
    password: str, synced: Synced, waits: bool
) -> None:
    pod = replace(POD, versions={"username": "u2", "password": password})
    plan = plan_for(published_with(pods=(pod,), synced=synced))
    assert (Action.AWAIT_SYNC in actions(plan.steps)) is waits


def test_a_stopped_consumer_is_not_waited_for_but_its_stale_secret_is_refreshed() -> None:
    plan = plan_for(published_with(replicas=0, pods=(), stopped_replicas=1))
    assert actions(plan.steps)[:2] == [Action.REFRESH_SECRET, Action.START]


def test_a_restart_made_for_this_rotation_is_not_repeated() -> None:
    pods = (replace(POD, uid="uid-2", ready=False),)
    plan = plan_for(published_with(restarted_for="r1", pods=pods, synced=Synced.NEWEST))
    assert actions(plan.steps)[:2] == [Action.AWAIT_READY, Action.VERIFY]


def test_the_restart_of_another_rotation_does_not_count() -> None:
    assert Action.STOP in actions(plan_for(published_with(restarted_for="r0")).steps)


def test_a_manual_restart_counts_when_the_logins_prove_it() -> None:
    logins = Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED)
    plan = plan_for(replace(published_with(synced=Synced.NEWEST), logins=logins))
    assert actions(plan.steps)[0] is Action.VERIFY


def test_nothing_is_retired_before_the_proof() -> None:
    steps = actions(plan_for(PUBLISHED).steps)
    assert steps.index(Action.VERIFY) < steps.index(Action.RETIRE)
    assert Action.VERIFY not in actions(plan_for(PROVEN).steps)


def test_an_unfinished_rotation_is_resumed_before_the_one_asked_for() -> None:
    plan = plan_for(PUBLISHED, "r2")
    assert plan.rotation_id == "r1"
    assert plan.notes[0] == "Rotation r1 is unfinished and is resumed first."


def test_a_finished_rotation_leaves_nothing_to_do() -> None:
    ended = replace(PUBLISHED, candidate=None, logins=Logins(LoginState.WORKS))
    plan = plan_for(ended, "r1")
    assert (plan.status, plan.steps) == (PlanStatus.DONE, ())
    assert plan_for(ended, "r2").status is PlanStatus.OPEN


def test_the_leftover_candidate_of_a_finished_rotation_is_deleted() -> None:
    plan = plan_for(with_candidate(PUBLISHED, phase=Phase.DONE))
    assert actions(plan.steps) == [Action.FINISH]


def test_a_rolled_back_rotation_is_not_repeated_under_its_id() -> None:
    newest = version("u3", 9, rotation_id="r1", restores="u1")
    restored = SecretFacts("username", newest, PUBLISHED.secret("username").versions)
    plan = plan_for(replace(with_secret(PUBLISHED, restored), candidate=None))
    assert plan.status is PlanStatus.ROLLED_BACK
    assert_refused(plan, Refused, "RolledBack")


def test_rolling_back_restores_both_secrets_and_restarts_what_does_not_run_on_the_previous_values() -> None:
    down = Logins(LoginState.UNREACHABLE, LoginState.UNREACHABLE, LoginState.UNREACHABLE)
    plan = plan_for(replace(ROLLING_BACK, logins=down))
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


def test_rolling_back_does_not_restart_a_database_that_still_accepts_the_previous_login() -> None:
    plan = plan_for(ROLLING_BACK)
    assert Action.STOP not in actions(plan.steps)
    assert actions(plan.steps)[0] is Action.RESTORE


def test_rolling_back_starts_a_database_scaled_to_0_although_its_last_pod_still_accepts_the_previous_login() -> None:
    stopping = published_with(replicas=0, stopped_replicas=1)
    plan = plan_for(with_candidate(stopping, phase=Phase.ROLLING_BACK))
    assert Action.START in actions(plan.steps)


def assert_refused(plan: Plan, kind: type[KeyturnError], code: str) -> KeyturnError:
    assert type(plan.refusal) is kind
    assert plan.refusal.code == code
    assert plan.refusal.fix
    return plan.refusal


def test_recreate_without_consent_is_refused_and_says_what_to_set() -> None:
    refusal = assert_refused(plan_for(HEALTHY, data_loss="no"), Refused, "ConsentMissing")
    assert refusal.name == "data_loss"
    assert "I accept data loss" in str(refusal)


def test_after_the_restart_no_consent_is_needed_again() -> None:
    after = published_with(restarted_for="r1", synced=Synced.NEWEST)
    assert plan_for(after, data_loss="no").refusal is None


def test_recreate_is_refused_where_a_volume_keeps_the_data() -> None:
    kept = replace(HEALTHY, consumers=(replace(HEALTHY.consumers[0], keeps_data=True),))
    refusal = assert_refused(plan_for(kept), Refused, "VolumeKeepsData")
    assert refusal.name == DATABASE.key


@pytest.mark.parametrize("name", ["username", "password"])
def test_a_disabled_newest_version_is_refused(name: str) -> None:
    disabled = with_secret(HEALTHY, SecretFacts(name, replace(version("x"), enabled=False)))
    refusal = assert_refused(plan_for(disabled), SecretUnusable, "SecretDisabled")
    assert refusal.name == f"dexterkeyvault/{name}"


WRONG_PASSWORD = LoginRefused("The database refused the login", name="db", seen="a wrong password", code="28P01")


def broken_by(error: KeyturnError, state: LoginState = LoginState.REFUSED) -> Observation:
    return replace(HEALTHY, logins=Logins(state, error=error))


def test_no_rotation_starts_with_a_login_that_is_refused() -> None:
    refusal = assert_refused(plan_for(broken_by(WRONG_PASSWORD)), LoginRefused, "28P01")
    assert refusal.cause is WRONG_PASSWORD
    assert "set the secrets" in refusal.fix


def test_a_role_that_may_not_log_in_is_not_told_as_a_wrong_password() -> None:
    disabled = LoginRefused("The database refused the login", name="db", seen="the role may not log in", code="28000")
    refusal = assert_refused(plan_for(broken_by(disabled)), LoginRefused, "28000")
    assert "ALTER ROLE ... LOGIN" in refusal.fix
    assert "28P01" not in str(refusal)


def test_a_client_that_is_not_admitted_is_told_with_its_own_fix_and_the_secrets_are_left() -> None:
    blocked = DatabaseUnreachable(Code.CLIENT_NOT_ADMITTED, name="db", seen="refused for 20.1.2.3")
    refusal = assert_refused(
        plan_for(broken_by(blocked, LoginState.UNREACHABLE)), DatabaseUnreachable, "ClientNotAdmitted"
    )
    assert refusal.cause is blocked
    assert str(refusal).count(Code.CLIENT_NOT_ADMITTED.fix) == 1
    assert "20.1.2.3" in str(refusal)
    assert "28P01" not in str(refusal)
    assert "set the secrets" not in str(refusal)


def test_versions_written_by_hand_that_never_reached_the_database_are_explained() -> None:
    logins = Logins(LoginState.REFUSED, previous=LoginState.WORKS, error=WRONG_PASSWORD)
    refusal = assert_refused(plan_for(replace(HEALTHY, logins=logins)), LoginRefused, "28P01")
    assert "written by hand" in refusal.fix


@pytest.mark.parametrize("state", [LoginState.UNREACHABLE, LoginState.STARTING])
def test_no_rotation_starts_while_the_database_does_not_answer(state: LoginState) -> None:
    silent = DatabaseUnreachable("The database does not answer", name="db", seen="Connection refused")
    plan = plan_for(broken_by(silent, state))
    assert type(plan.refusal) is DatabaseUnreachable
    assert "Connection refused" in str(plan.refusal)


def test_a_newer_version_by_somebody_else_is_a_conflict_that_names_it() -> None:
    theirs = SecretFacts("password", version("p3", 8), PUBLISHED.secret("password").versions)
    refusal = assert_refused(plan_for(with_secret(PUBLISHED, theirs)), Conflict, "NewerVersion")
    assert "p3" in refusal.seen
    assert "username-password-candidate" in refusal.fix


def test_an_older_version_by_somebody_else_is_a_conflict_until_it_is_disabled() -> None:
    def with_theirs(enabled: bool) -> Observation:
        theirs = replace(version("u9"), created_at=T0 + timedelta(minutes=5, seconds=30), enabled=enabled)
        secret = SecretFacts("username", PUBLISHED.secret("username").newest, (theirs, version("u1")))
        return with_secret(PUBLISHED, secret)

    assert_refused(plan_for(with_theirs(enabled=True)), Conflict, "NewerVersion")
    assert plan_for(with_theirs(enabled=False)).refusal is None


HALF_PUBLISHED = with_secret(PUBLISHED, HEALTHY.secret("password"))


def test_a_half_published_login_without_its_candidate_needs_an_operator() -> None:
    plan = plan_for(replace(HALF_PUBLISHED, candidate=None))
    refusal = assert_refused(plan, NeedsOperator, "CandidateLost")
    assert "write the secrets by hand" in refusal.fix
    assert refusal.name == "dexter, rotation r1"
    assert plan.steps == ()


@pytest.mark.parametrize(
    "error", [Unverified("x", name="y"), WorkloadUnhealthy("x", name="y"), LoginRefused("x", name="y")]
)
def test_a_proof_that_fails_after_publishing_rolls_back(error: KeyturnError) -> None:
    assert fail(plan_for(PUBLISHED), Action.VERIFY, error)[0]


def test_a_sync_that_times_out_changes_nothing_and_may_be_waited_for_again() -> None:
    timeout = SyncPending("x", name="y")
    assert fail(plan_for(PUBLISHED), Action.AWAIT_SYNC, timeout) == (False, Verdict.SYNC_PENDING)


def test_a_sync_that_times_out_says_how_the_rotation_is_resumed_and_names_express() -> None:
    plan = plan_for(PUBLISHED)
    timeout = SyncPending("x", name="y", fix="look")
    error = explain_stop(plan, find_step(plan, Action.AWAIT_SYNC), timeout, Verdict.SYNC_PENDING)
    assert type(error) is SyncPending
    assert "rotation r1 resumes here" in error.fix
    assert "express" in error.fix


def test_a_failure_before_anything_is_staged_is_a_refusal_with_the_error_itself() -> None:
    plan, denied = plan_for(HEALTHY), AccessDenied("x", name="y")
    assert fail(plan, Action.STAGE, denied) == (False, Verdict.REFUSED)
    assert explain_stop(plan, find_step(plan, Action.STAGE), denied, Verdict.REFUSED) is denied


@pytest.mark.parametrize("published", [HEALTHY, HALF_PUBLISHED], ids=["in one run", "by an earlier run"])
def test_a_password_that_cannot_be_published_after_its_username_rolls_back(published: Observation) -> None:
    assert fail(plan_for(published), Action.PUBLISH, ServiceFailed("x", name="y"), "password")[0]


def test_a_username_that_cannot_be_published_stops_the_rotation() -> None:
    error = ServiceFailed("x", name="y")
    assert fail(plan_for(HEALTHY), Action.PUBLISH, error, "username") == (False, Verdict.NEEDS_OPERATOR)


@pytest.mark.parametrize("action", [Action.RETIRE, Action.FINISH])
def test_what_is_proven_is_never_rolled_back(action: Action) -> None:
    assert fail(plan_for(PROVEN), action, Unverified("x", name="y")) == (False, Verdict.NEEDS_OPERATOR)


def test_a_stop_names_its_step_and_says_how_the_rotation_is_resumed() -> None:
    plan = plan_for(PUBLISHED)
    denied = AccessDenied("no rights", name="w", code="Forbidden")
    error = explain_stop(plan, find_step(plan, Action.STOP), denied, Verdict.NEEDS_OPERATOR)
    assert type(error) is NeedsOperator
    assert "scale deployment dexter/postgres-pod-kv to 0" in error.what
    assert (error.name, error.code, error.cause) == (DATABASE.key, "Forbidden", denied)
    assert "rotation r1 resumes here" in error.fix
    assert "no rights" in str(error)


def test_a_rollback_that_fails_needs_an_operator_and_shows_both_causes() -> None:
    plan = plan_for(ROLLING_BACK)
    unverified = Unverified("the previous login fails", name="db")
    assert fail(plan, Action.VERIFY_RESTORED, unverified) == (False, Verdict.NEEDS_OPERATOR)
    step = find_step(plan, Action.VERIFY_RESTORED)
    unhealthy = WorkloadUnhealthy("no pod came up", name="w")
    error = explain_stop(plan, step, unverified, Verdict.NEEDS_OPERATOR, cause=unhealthy)
    assert type(error) is NeedsOperator
    assert type(error.cause) is Unverified
    assert error.cause.cause is unhealthy
    assert "rolling back" in error.seen
    assert "Cause: the previous login fails: db.\nCause: no pod came up: w." in str(error)
    assert "Nothing was deleted" in error.fix


def test_the_verdict_of_a_refusal_says_whether_a_person_must_act() -> None:
    assert judge_refusal(Refused("x", name="y")) is Verdict.REFUSED
    assert judge_refusal(Conflict("x", name="y")) is Verdict.NEEDS_OPERATOR
    assert judge_refusal(LoginRefused("x", name="y")) is Verdict.REFUSED


def test_a_rotation_is_named_after_its_start() -> None:
    assert new_rotation_id(T0, "k3f9") == "20260101-000000-k3f9"


_REFUSE, _STOP, _PENDING = OnFailure.REFUSE, OnFailure.STOP, OnFailure.PENDING
_ROLL_BACK, _ALWAYS = OnFailure.ROLL_BACK, OnFailure.ALWAYS_ROLL_BACK
_CLIENTS = [(Action.RELOAD, _ROLL_BACK), (Action.RESTART, _ROLL_BACK), (Action.AWAIT_READY, _ROLL_BACK)]
_END = [(Action.VERIFY, _ROLL_BACK), (Action.RETIRE, _STOP), (Action.FINISH, _STOP)]
_RETURN_CLIENTS = [
    (Action.RESTART, _STOP),
    (Action.AWAIT_READY, _STOP),
    (Action.AWAIT_SYNC, _PENDING),
    (Action.RELOAD, _STOP),
    (Action.VERIFY_RESTORED, _STOP),
]
FORWARD = {
    Strategy.RECREATE: [
        (Action.STAGE, _REFUSE),
        (Action.PUBLISH, _STOP),
        (Action.PUBLISH, _ALWAYS),
        (Action.AWAIT_SYNC, _PENDING),
        (Action.STOP, _ROLL_BACK),
        (Action.REFRESH_SECRET, _ROLL_BACK),
        (Action.START, _ROLL_BACK),
        (Action.AWAIT_READY, _ROLL_BACK),
        *_CLIENTS,
        *_END,
    ],
    Strategy.IN_PLACE: [
        (Action.STAGE, _REFUSE),
        (Action.PUBLISH, _STOP),
        (Action.AWAIT_SYNC, _ROLL_BACK),
        (Action.SET_PASSWORD, _ROLL_BACK),
        (Action.REFRESH_SECRET, _ROLL_BACK),
        *_CLIENTS,
        *_END,
    ],
    Strategy.ALTERNATING: [
        (Action.STAGE, _REFUSE),
        (Action.PIN, _STOP),
        (Action.ENABLE_ALTERNATE, _ROLL_BACK),
        (Action.PUBLISH, _STOP),
        (Action.PUBLISH, _ALWAYS),
        (Action.UNPIN, _STOP),
        (Action.AWAIT_SYNC, _PENDING),
        (Action.REFRESH_SECRET, _ROLL_BACK),
        *_CLIENTS,
        (Action.BEGIN_GRACE, _ROLL_BACK),
        (Action.DISABLE_PREVIOUS, _ROLL_BACK),
        *_END,
    ],
    Strategy.MANAGED: [
        (Action.STAGE, _REFUSE),
        (Action.SET_ADMINISTRATOR, _ROLL_BACK),
        (Action.PUBLISH, _ALWAYS),
        (Action.AWAIT_SYNC, _PENDING),
        (Action.REFRESH_SECRET, _ROLL_BACK),
        *_CLIENTS,
        *_END,
    ],
}
BACK = {
    Strategy.RECREATE: [
        (Action.RESTORE, _STOP),
        (Action.STOP, _STOP),
        (Action.REFRESH_SECRET, _STOP),
        (Action.START, _STOP),
        (Action.AWAIT_READY, _STOP),
        *_RETURN_CLIENTS,
        (Action.FINISH_ROLLBACK, _STOP),
    ],
    Strategy.IN_PLACE: [
        (Action.RESTORE_PASSWORD, _STOP),
        (Action.RESTORE, _STOP),
        (Action.REFRESH_SECRET, _STOP),
        *_RETURN_CLIENTS,
        (Action.FINISH_ROLLBACK, _STOP),
    ],
    Strategy.ALTERNATING: [
        (Action.REENABLE_PREVIOUS, _STOP),
        (Action.PIN, _STOP),
        (Action.RESTORE, _STOP),
        (Action.UNPIN, _STOP),
        (Action.REFRESH_SECRET, _STOP),
        *_RETURN_CLIENTS,
        (Action.DISABLE_CANDIDATE, _STOP),
        (Action.FINISH_ROLLBACK, _STOP),
    ],
    Strategy.MANAGED: [
        (Action.RESTORE_ADMINISTRATOR, _STOP),
        (Action.RESTORE, _STOP),
        (Action.REFRESH_SECRET, _STOP),
        *_RETURN_CLIENTS,
        (Action.FINISH_ROLLBACK, _STOP),
    ],
}
CLIENT = consumer_like(DATABASE, name="client", is_database=False)
FOLLOWER = consumer_like(CLIENT, name="follower", needs_restart=False)
POOLER = consumer_like(CLIENT, name="pooler", reload=Reload(container="pooler", command=("reload",)))
EVERY_KIND = (DATABASE, CLIENT, FOLLOWER, POOLER)


def policies(rules: tuple[Rule, ...]) -> list[tuple[Action, OnFailure]]:
    """What a failure of each step means before anything is done, with a consumer of every kind; repetitions once."""
    consumers = tuple(replace(HEALTHY.consumers[0], consumer=consumer) for consumer in EVERY_KIND)
    credential = change(DEXTER, consumers=EVERY_KIND)
    state = RotationState(credential, OPTIONS, replace(HEALTHY, consumers=consumers), "r1")
    table = []
    for rule in rules:
        steps = [step for step, _ in rule.steps(state)]
        assert steps, f"{rule.action.name} has no subject"
        table += dict.fromkeys((step.action, step.on_failure) for step in steps)
    return table


@pytest.mark.parametrize("strategy", list(Strategy))
def test_the_meaning_of_every_failure_is_what_the_design_says(strategy: Strategy) -> None:
    assert policies(STRATEGIES[strategy].forward) == FORWARD[strategy]
    assert policies(STRATEGIES[strategy].back) == BACK[strategy]


def test_every_action_is_in_a_strategy() -> None:
    rules = [rule for strategy in STRATEGIES.values() for rule in (*strategy.forward, *strategy.back)]
    assert {rule.action for rule in rules} == set(Action)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_failure_refuses_the_rotation_only_until_its_candidate_is_staged(strategy: Strategy) -> None:
    forward = policies(STRATEGIES[strategy].forward)
    staging = [action for action, _ in forward].index(Action.STAGE)
    refusing = [index for index, (_, policy) in enumerate(forward) if policy is OnFailure.REFUSE]
    assert refusing == list(range(staging + 1))
    assert OnFailure.REFUSE not in [policy for _, policy in policies(STRATEGIES[strategy].back)]


PROOF, TIMEOUT, OTHER = Unverified("x", name="y"), SyncPending("x", name="y"), ServiceFailed("x", name="y")
NOT_ROLLED_BACK = {
    OnFailure.REFUSE: Verdict.REFUSED,
    OnFailure.STOP: Verdict.NEEDS_OPERATOR,
    OnFailure.PENDING: Verdict.NEEDS_OPERATOR,
    OnFailure.ROLL_BACK: Verdict.NEEDS_OPERATOR,
    OnFailure.ALWAYS_ROLL_BACK: Verdict.NEEDS_OPERATOR,
}
ROLLED_BACK = {
    (OnFailure.ROLL_BACK, PROOF),
    (OnFailure.ROLL_BACK, TIMEOUT),
    (OnFailure.ALWAYS_ROLL_BACK, PROOF),
    (OnFailure.ALWAYS_ROLL_BACK, TIMEOUT),
    (OnFailure.ALWAYS_ROLL_BACK, OTHER),
}
each_failure = pytest.mark.parametrize(
    ("policy", "error"), [(policy, error) for policy in OnFailure for error in (PROOF, TIMEOUT, OTHER)]
)


@each_failure
def test_a_failure_is_rolled_back_if_its_policy_says_so(policy: OnFailure, error: KeyturnError) -> None:
    step = Step(Action.RESTART, CLIENT.workload, on_failure=policy)
    assert rolls_back(plan_for(PUBLISHED), step, error) is ((policy, error) in ROLLED_BACK)


@each_failure
@pytest.mark.parametrize("observation", [ROLLING_BACK, PROVEN], ids=["rolling back", "proven"])
def test_no_failure_of_a_rollback_or_after_the_proof_is_rolled_back(
    observation: Observation, policy: OnFailure, error: KeyturnError
) -> None:
    step = Step(Action.RESTART, CLIENT.workload, on_failure=policy)
    assert not rolls_back(plan_for(observation), step, error)


@each_failure
def test_a_failure_that_is_not_rolled_back_ends_the_run_as_its_policy_says(
    policy: OnFailure, error: KeyturnError
) -> None:
    step = Step(Action.RESTART, CLIENT.workload, on_failure=policy)
    is_pending = policy is OnFailure.PENDING and error is TIMEOUT
    expected = Verdict.SYNC_PENDING if is_pending else NOT_ROLLED_BACK[policy]
    assert judge(plan_for(PUBLISHED), step, error) is expected


def test_a_rollback_never_ends_as_a_refusal() -> None:
    step = Step(Action.RESTORE, "password", on_failure=OnFailure.REFUSE)
    assert judge(plan_for(ROLLING_BACK), step, OTHER) is Verdict.NEEDS_OPERATOR


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
candidates = st.builds(
    CandidateFacts,
    version=st.just("c1"),
    rotation_id=st.sampled_from(["r1", "r2"]),
    phase=st.sampled_from(list(Phase)),
    created_at=st.just(T0 + timedelta(minutes=4)),
    base=st.fixed_dictionaries({"username": st.sampled_from(["u1", "u2"]), "password": st.sampled_from(["p1", "p2"])}),
    strategy=st.sampled_from(list(Strategy)),
)
consumers = st.builds(
    ConsumerFacts,
    consumer=st.just(DATABASE),
    uses=st.just(USES),
    synced=st.sampled_from(list(Synced)),
    replicas=st.integers(0, 2),
    pods=st.lists(st.builds(Pod, st.just("pod"), st.just("uid"), st.booleans()), max_size=2).map(tuple),
    stopped_replicas=st.none() | st.just(1),
    restarted_for=st.sampled_from(["", "r1", "r1.rollback"]),
    start_checked=st.booleans(),
    keeps_data=st.booleans(),
    settled=st.booleans(),
    pinned_for=st.sampled_from(["", "r1", "r2"]),
)
observations = st.builds(
    Observation,
    secrets=st.tuples(facts("username"), facts("password")),
    candidate=st.none() | candidates,
    logins=st.builds(Logins, states, states, states),
    consumers=st.tuples(consumers),
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
    assert plan.steps or plan.refusal or plan.status is PlanStatus.DONE
    assert plan == plan_for(observation, rotation_id, sync=sync) or plan.refusal


GRACE = with_candidate(
    replace(PUBLISHED, logins=Logins(LoginState.WORKS, LoginState.WORKS, LoginState.WORKS)),
    phase=Phase.GRACE,
    strategy=Strategy.ALTERNATING,
    grace=Grace(T0 + timedelta(hours=1), is_over=True),
)


@pytest.mark.parametrize(("asked", "notes"), [("r1", 0), ("r2", 1)])
def test_the_end_of_a_grace_is_planned_by_its_own_strategy_and_says_so_where_another_was_asked_for(
    asked: str, notes: int
) -> None:
    plan = make_plan(change(DEXTER, strategy=Strategy.ALTERNATING, grace="1h"), OPTIONS, GRACE, asked)
    assert (plan.status, plan.strategy, len(plan.notes)) == (PlanStatus.GRACE, Strategy.ALTERNATING, notes)
    assert (plan.rotation_id, plan.refusal, plan.done) == ("r1", None, ())
    assert actions(plan.steps)[0] is Action.DISABLE_PREVIOUS


def test_the_end_of_a_grace_is_refused_where_a_newest_version_is_disabled() -> None:
    disabled = replace(PUBLISHED.secrets[1], newest=replace(PUBLISHED.secrets[1].newest, enabled=False))
    plan = make_plan(
        change(DEXTER, strategy=Strategy.ALTERNATING, grace="1h"), OPTIONS, with_secret(GRACE, disabled), "r1"
    )
    assert type(plan.refusal) is SecretUnusable
