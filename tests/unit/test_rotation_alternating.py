"""The plans of two logins that take turns and of a server's administrator, case by case."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from rotation_facts import (
    HEALTHY,
    OPTIONS,
    PUBLISHED,
    STAGED,
    actions,
    fail,
    subjects,
    version,
    with_candidate,
    with_secret,
)

from infra.credentials import ConnectionString, Consumer, Credential, Strategy
from infra.errors import AccessDenied, InvalidInput, LoginRefused, Refused, SyncPending
from infra.rotation.execution import Verdict
from infra.rotation.new_logins import choose_login
from infra.rotation.observation import Logins, LoginState, Observation, Phase, SecretFacts, Synced
from infra.rotation.options import Sync
from infra.rotation.plan import Plan, make_plan
from infra.rotation.steps import Action
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like

CLIENT = consumer_like(DATABASE, name="client", is_database=False)
FOLLOWER = consumer_like(CLIENT, name="follower", needs_restart=False)
ALTERNATING = change(DEXTER, strategy=Strategy.ALTERNATING)
MANAGED = change(SERVER, secrets=DEXTER.secrets)
MIGRATED = replace(HEALTHY, alternates=0)
WITHOUT_CONSUMERS = replace(HEALTHY, consumers=())
BOTH_WORK = Logins(LoginState.WORKS, LoginState.WORKS, LoginState.WORKS)
PUBLISHED_ALTERNATE = replace(with_candidate(PUBLISHED, strategy=Strategy.ALTERNATING), logins=BOTH_WORK, alternates=1)


def with_consumers(observation: Observation, *consumers: Consumer) -> Observation:
    known = observation.consumers[0]
    return replace(observation, consumers=tuple(replace(known, consumer=consumer) for consumer in consumers))


def pinned_for(observation: Observation, rotation_id: str, **pinned: str) -> Observation:
    versions = {"username": "u1", "password": "p1"} | pinned
    facts = replace(observation.consumers[0], pinned_for=rotation_id, pinned=versions)
    return replace(observation, consumers=(facts,))


def plan_for(credential: Credential, observation: Observation, **options: Any) -> Plan:
    credential = change(credential, consumers=tuple(facts.consumer for facts in observation.consumers))
    return make_plan(credential, OPTIONS.model_copy(update=options), observation, "r1")


def test_the_alternate_login_is_enabled_before_publishing_and_the_previous_one_disabled_when_nobody_uses_it() -> None:
    plan = plan_for(ALTERNATING, with_consumers(MIGRATED, DATABASE, CLIENT))
    assert plan.refusal is None
    assert actions(plan.steps) == [
        Action.STAGE,
        Action.PIN,
        Action.ENABLE_ALTERNATE,
        Action.PUBLISH,
        Action.PUBLISH,
        Action.UNPIN,
        Action.AWAIT_SYNC,
        Action.AWAIT_SYNC,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.DISABLE_PREVIOUS,
        Action.VERIFY,
        Action.RETIRE,
        Action.RETIRE,
        Action.FINISH,
    ]


def test_express_waits_only_for_clients_that_re_read_their_files() -> None:
    plan = plan_for(ALTERNATING, with_consumers(MIGRATED, DATABASE, CLIENT, FOLLOWER), sync=Sync.EXPRESS)
    assert subjects(plan, Action.AWAIT_SYNC) == [FOLLOWER.key]


def test_a_login_without_an_owner_role_is_refused_and_the_fix_names_the_flow_that_makes_it() -> None:
    refusal = plan_for(ALTERNATING, HEALTHY).refusal
    assert type(refusal) is Refused
    assert refusal.code == "NotMigrated"
    assert "migrate" in refusal.fix


def test_a_login_that_does_not_work_is_reported_before_a_missing_migration() -> None:
    broken = replace(HEALTHY, logins=Logins(LoginState.REFUSED))
    assert type(plan_for(ALTERNATING, broken).refusal) is LoginRefused


def test_a_source_pinned_for_this_rotation_is_unpinned_once_both_secrets_are_published() -> None:
    plan = plan_for(ALTERNATING, pinned_for(PUBLISHED_ALTERNATE, "r1"))
    assert Action.PIN in actions(plan.done)
    assert subjects(plan, Action.UNPIN) == [DATABASE.source_key] == ["dexter/postgresql-kvname"]


def test_a_source_pinned_for_an_earlier_rotation_is_pinned_again() -> None:
    staged = with_candidate(pinned_for(MIGRATED, "r0"), strategy=Strategy.ALTERNATING)
    assert Action.PIN in actions(plan_for(ALTERNATING, staged).steps)


@pytest.mark.parametrize("pinned", [{"username": "", "password": ""}, {"password": "p0"}], ids=["gone", "one differs"])
def test_a_source_whose_pins_somebody_took_away_is_not_pinned_whatever_its_annotation_says(
    pinned: dict[str, str],
) -> None:
    staged = with_candidate(pinned_for(MIGRATED, "r1", **pinned), strategy=Strategy.ALTERNATING)
    assert Action.PIN in actions(plan_for(ALTERNATING, staged).steps)
    rolling_back = with_candidate(pinned_for(PUBLISHED_ALTERNATE, "r1", **pinned), phase=Phase.ROLLING_BACK)
    assert Action.PIN in actions(plan_for(ALTERNATING, rolling_back).steps)
    whole = with_candidate(pinned_for(PUBLISHED_ALTERNATE, "r1"), phase=Phase.ROLLING_BACK)
    assert Action.PIN in actions(plan_for(ALTERNATING, whole).done)


def test_a_sync_that_times_out_is_waited_for_again_since_both_logins_work() -> None:
    plan = plan_for(ALTERNATING, PUBLISHED_ALTERNATE)
    assert fail(plan, Action.AWAIT_SYNC, SyncPending("late", name="x")) == (False, Verdict.SYNC_PENDING)


def test_rolling_back_enables_the_previous_login_first_and_disables_the_failed_one_last() -> None:
    failed = with_candidate(PUBLISHED_ALTERNATE, phase=Phase.ROLLING_BACK)
    failed = replace(failed, logins=Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED))
    steps = actions(plan_for(ALTERNATING, with_consumers(failed, DATABASE, FOLLOWER)).steps)
    assert steps[0] is Action.REENABLE_PREVIOUS
    assert steps.index(Action.RESTORE) < steps.index(Action.AWAIT_SYNC) < steps.index(Action.DISABLE_CANDIDATE)
    assert steps[-2:] == [Action.DISABLE_CANDIDATE, Action.FINISH_ROLLBACK]


@pytest.mark.parametrize(
    ("logins", "wanted", "chosen"),
    [
        (("dexter",), "", "dexter_b"),
        (("dexter", "dexter_b"), "", "dexter_b"),
        (("dexter", "other"), "", "other"),
        (("dexter", "a", "b"), "b", "b"),
        (("dexter",), "blue", "blue"),
    ],
)
def test_the_alternate_login_is_the_owners_other_one_or_a_new_one(
    logins: tuple[str, ...], wanted: str, chosen: str
) -> None:
    assert choose_login("dexter", logins, wanted) == chosen


@pytest.mark.parametrize(
    ("logins", "wanted", "code"),
    [
        (("dexter", "a", "b"), "", "ManyLogins"),
        (("dexter", "a"), "c", "ThirdLogin"),
        (("dexter", "a"), "dexter", "ThirdLogin"),
        (("dexter",), "dexter", "ThirdLogin"),
    ],
)
def test_a_third_login_is_refused(logins: tuple[str, ...], wanted: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_login("dexter", logins, wanted)
    assert (caught.value.code, caught.value.name) == (code, "new_username")


def test_the_administrators_new_password_is_proven_before_it_is_published() -> None:
    assert actions(plan_for(MANAGED, WITHOUT_CONSUMERS).steps) == [
        Action.STAGE,
        Action.SET_ADMINISTRATOR,
        Action.PUBLISH,
        Action.VERIFY,
        Action.RETIRE,
        Action.FINISH,
    ]


def test_an_administrators_password_that_cannot_be_published_is_rolled_back() -> None:
    accepted = replace(
        WITHOUT_CONSUMERS,
        candidate=replace(STAGED, strategy=Strategy.MANAGED),
        logins=Logins(LoginState.REFUSED, LoginState.WORKS, LoginState.REFUSED),
    )
    assert fail(plan_for(MANAGED, accepted), Action.PUBLISH, AccessDenied("no", name="vault"))[0]


@pytest.mark.parametrize(
    ("observation", "options", "code"),
    [(HEALTHY, {}, "NoDatabaseHere"), (WITHOUT_CONSUMERS, {"new_username": "x"}, "UsernameStays")],
)
def test_what_a_flexible_server_does_not_have_is_refused(
    observation: Observation, options: dict[str, Any], code: str
) -> None:
    refusal = plan_for(MANAGED, observation, **options).refusal
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize(
    ("credential", "changes", "message"),
    [
        (DEXTER, {"strategy": "managed"}, "give an endpoint of kind flexible-server"),
        (SERVER, {"strategy": "recreate"}, "give an endpoint of kind load-balancer"),
        (DEXTER, {"administrator": {"username": "admin"}}, r"administrator\.pair\.password\s+Field required"),
        (DEXTER, {"administrator": {"username": "USERNAME", "password": "x"}}, "give each a name of its own"),
        (DEXTER, {"administrator": {"username": "x", "password": "X"}}, "username and password have the same secret"),
        (DEXTER, {"consumers": (DATABASE, DATABASE)}, "deployment dexter/postgres-pod-kv is listed more than once"),
    ],
)
def test_a_credential_that_does_not_fit_together_is_refused(
    credential: Credential, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        change(credential, **changes)


@pytest.mark.parametrize(("keep", "is_retired"), [(0, True), (1, True), (2, False), (5, False)])
def test_as_many_older_versions_stay_enabled_as_asked_for(keep: int, is_retired: bool) -> None:
    newest = version("p2", 6, rotation_id="r1")
    proven = with_candidate(PUBLISHED_ALTERNATE, phase=Phase.PROVEN)
    proven = with_secret(proven, SecretFacts("password", newest, (version("p1"), version("p0", -5))))
    proven = replace(proven, consumers=(replace(proven.consumers[0], synced=Synced.NEWEST),))
    plan = plan_for(ALTERNATING, proven, keep_versions=keep)
    assert ("password" in subjects(plan, Action.RETIRE)) is is_retired


def test_one_secret_is_published_atomically_so_nothing_is_pinned_or_unpinned() -> None:
    url = ConnectionString(secret="url")
    pod = replace(MIGRATED.consumers[0].pods[0], versions={"url": "s1"})
    client = replace(MIGRATED.consumers[0], consumer=CLIENT, uses=frozenset({"url"}), pods=(pod,))
    seen = replace(MIGRATED, secrets=(SecretFacts("url", version("s1")),), consumers=(client,))
    plan = plan_for(change(ALTERNATING, secrets=url), seen)
    assert plan.refusal is None
    assert actions(plan.steps) == [
        Action.STAGE,
        Action.ENABLE_ALTERNATE,
        Action.PUBLISH,
        Action.AWAIT_SYNC,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.DISABLE_PREVIOUS,
        Action.VERIFY,
        Action.RETIRE,
        Action.FINISH,
    ]
    assert not any("pinned" in note for note in plan.notes)
    failing = replace(with_candidate(seen, strategy=Strategy.ALTERNATING, base={"url": "s1"}), logins=BOTH_WORK)
    back = plan_for(change(ALTERNATING, secrets=url), with_candidate(failing, phase=Phase.ROLLING_BACK))
    assert not {Action.PIN, Action.UNPIN} & set(actions(back.steps))
