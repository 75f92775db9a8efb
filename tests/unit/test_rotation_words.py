"""What a plan tells people: reasons and notes are sentences, and a refusal says what was seen, and on what."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rotation_facts import HEALTHY, OPTIONS, PUBLISHED, STAGED, T0, version, with_candidate, with_secret

from infra.credentials import Credential, Strategy
from infra.errors import (
    Code,
    Conflict,
    DatabaseUnreachable,
    InvalidInput,
    LoginRefused,
    NeedsOperator,
    Refused,
    SecretUnusable,
)
from infra.rotation.guards import check_guards
from infra.rotation.migration import DatabaseFacts, LoginFacts, plan_migration
from infra.rotation.new_logins import choose_login
from infra.rotation.observation import Grace, Logins, LoginState, Observation, Phase, SecretFacts
from infra.rotation.options import Guards, Sync
from infra.rotation.plan import Plan, PlanStatus, make_plan
from infra.rotation.preflight import Finding, refuse
from infra.rotation.state import RotationState
from infra.rotation.strategies import STRATEGIES
from testing.walkthrough import DATABASE, DEXTER, SERVER, change

each_strategy = pytest.mark.parametrize("strategy", list(Strategy))
ALTERNATING = change(DEXTER, strategy=Strategy.ALTERNATING)
IN_PLACE = change(DEXTER, strategy=Strategy.IN_PLACE)
GIVES_GRACE = change(ALTERNATING, grace="1h")
MANAGED = change(SERVER, secrets=DEXTER.secrets)
NOBODY = replace(HEALTHY, consumers=())


def is_sentence(text: str) -> bool:
    return text[:1].isupper() and text.endswith(".") and not text.isupper()


def plan_for(credential: Credential, observation: Observation, asked: str = "r1", **options: Any) -> Plan:
    credential = change(credential, consumers=tuple(facts.consumer for facts in observation.consumers))
    return make_plan(credential, OPTIONS.model_copy(update=options), observation, asked)


@each_strategy
def test_every_rule_says_why_in_a_sentence_and_its_steps_repeat_it(strategy: Strategy) -> None:
    state = RotationState(DEXTER, OPTIONS, HEALTHY, "r1")
    for rule in (*STRATEGIES[strategy].forward, *STRATEGIES[strategy].back):
        assert is_sentence(rule.reason), rule.action.name
        assert {step.reason for step, _ in rule.steps(state)} <= {rule.reason}


@each_strategy
@pytest.mark.parametrize("sync", list(Sync))
def test_every_note_of_a_strategy_is_a_sentence(strategy: Strategy, sync: Sync) -> None:
    state = RotationState(DEXTER, OPTIONS.model_copy(update={"sync": sync}), HEALTHY, "r1")
    notes = STRATEGIES[strategy].notes(state)
    assert notes
    assert all(map(is_sentence, notes))


KEPT = replace(HEALTHY, consumers=(replace(HEALTHY.consumers[0], keeps_data=True),))
NO_ANSWER = replace(HEALTHY, logins=Logins(LoginState.STARTING))
SILENT = replace(HEALTHY, logins=Logins(LoginState.UNREACHABLE, error=DatabaseUnreachable("no", name="x", code="Lost")))
WRONG = replace(HEALTHY, logins=Logins(LoginState.REFUSED))
ODD = replace(HEALTHY, logins=Logins(LoginState.REFUSED, oddity="the password ends with a line break"))
DISABLED = with_secret(HEALTHY, SecretFacts("password", replace(version("p9"), enabled=False)))
THEIRS = with_secret(
    PUBLISHED, SecretFacts("password", version("p4", 9), (version("p3", 8), *PUBLISHED.secrets[1].versions))
)
HALF = replace(with_secret(PUBLISHED, HEALTHY.secret("password")), candidate=None)
ADDRESS = str(DEXTER.endpoint)


@pytest.mark.parametrize(
    ("credential", "observation", "options", "expected"),
    [
        (DEXTER, NOBODY, {}, (Refused, "consumers", "none of them is marked as the database")),
        (DEXTER, HEALTHY, {"data_loss": "no"}, (Refused, "data_loss", "'no'; the database is empty after the restart")),
        (
            IN_PLACE,
            HEALTHY,
            {"new_username": "x"},
            (Refused, "new_username", "the strategy is in-place, and one is given"),
        ),
        (
            MANAGED,
            NOBODY,
            {"new_username": "x"},
            (Refused, "new_username", "the strategy is managed, and one is given"),
        ),
        (MANAGED, HEALTHY, {}, (Refused, DATABASE.key, "it is marked as the database itself")),
        (DEXTER, NO_ANSWER, {}, (DatabaseUnreachable, ADDRESS, "database starting")),
        (DEXTER, SILENT, {}, (DatabaseUnreachable, ADDRESS, "")),
        (DEXTER, WRONG, {}, (LoginRefused, ADDRESS, "no unfinished rotation explains it")),
        (DEXTER, ODD, {}, (LoginRefused, ADDRESS, "the password ends with a line break")),
        (
            DEXTER,
            DISABLED,
            {},
            (SecretUnusable, "dexterkeyvault/password", "version p9; a mount of the newest version fails"),
        ),
        (
            DEXTER,
            THEIRS,
            {},
            (
                Conflict,
                "dexterkeyvault/password",
                "version p4, p3, written during rotation r1; it is not overwritten",
            ),
        ),
        (
            DEXTER,
            HALF,
            {},
            (
                NeedsOperator,
                "dexter, rotation r1",
                "only a part of its new login is published: username and password do not belong together",
            ),
        ),
        (DEXTER, HEALTHY, {"rotation_id": "r1"}, (Refused, "r1", "")),
    ],
)
def test_a_refusal_says_what_was_seen_and_on_what(
    credential: Credential, observation: Observation, options: dict[str, Any], expected: tuple[type, str, str]
) -> None:
    plan = plan_for(credential, observation, **options)
    assert (plan.rotation_id, plan.status) == ("r1", PlanStatus.OPEN)
    assert plan.refusal is not None
    assert (type(plan.refusal), plan.refusal.name, plan.refusal.seen) == expected


@pytest.mark.parametrize(("observation", "code"), [(SILENT, "Lost"), (NO_ANSWER, ""), (WRONG, ""), (ODD, "")])
def test_a_login_that_does_not_work_has_the_code_of_its_cause(observation: Observation, code: str) -> None:
    refusal = plan_for(DEXTER, observation).refusal
    assert refusal is not None
    assert (refusal.code, refusal.cause) == (code, observation.logins.error)


@pytest.mark.parametrize(
    ("credential", "observation", "code"),
    [(DEXTER, KEPT, Code.VOLUME_KEEPS_DATA), (ALTERNATING, replace(HEALTHY, alternates=None), Code.NOT_MIGRATED)],
)
def test_a_refusal_with_a_long_story_names_its_thing_and_has_its_code(
    credential: Credential, observation: Observation, code: Code
) -> None:
    refusal = plan_for(credential, observation).refusal
    assert refusal is not None
    assert (refusal.code, refusal.name) == (code, DATABASE.key if observation is KEPT else "dexter")
    assert refusal.seen


def in_grace(until: timedelta | None = None, **changes: Any) -> Observation:
    grace = Grace(None if until is None else T0 + until, is_over=False)
    observation = replace(PUBLISHED, logins=Logins(LoginState.WORKS, LoginState.WORKS, LoginState.WORKS))
    return with_candidate(
        observation, **{"phase": Phase.GRACE, "strategy": Strategy.ALTERNATING, "grace": grace} | changes
    )


def test_a_grace_is_told_with_its_end() -> None:
    plan = plan_for(GIVES_GRACE, in_grace(timedelta(hours=1)))
    assert (plan.status, plan.steps, plan.refusal) == (PlanStatus.GRACE, (), None)
    assert plan.notes == ("The previous login works until 2026-01-01 01:00 UTC.",)


def test_a_new_rotation_is_refused_while_the_grace_of_another_lasts_and_told_until_when() -> None:
    plan = plan_for(GIVES_GRACE, in_grace(timedelta(hours=1)), "r2")
    assert plan.notes == (
        "Rotation r1 is finished first: it left its previous login a grace until 2026-01-01 01:00 UTC.",
    )
    assert plan.refusal is not None
    assert (plan.refusal.code, plan.refusal.name) == (Code.GRACE, "dexter")
    assert plan.refusal.seen == "the login before works until 2026-01-01 01:00 UTC"


def test_a_grace_until_the_next_rotation_ends_with_it() -> None:
    plan = plan_for(GIVES_GRACE, in_grace(), "r2")
    assert (plan.rotation_id, plan.refusal) == ("r1", None)
    assert plan.notes == ("Rotation r1 is finished first: it left its previous login a grace until the next rotation.",)
    assert plan.steps


def test_a_rotation_whose_strategy_has_no_grace_is_planned_whole_although_the_credential_gives_one_by_now() -> None:
    plan = plan_for(GIVES_GRACE, PUBLISHED)
    assert plan.strategy is Strategy.RECREATE
    assert plan.steps == plan_for(DEXTER, PUBLISHED).steps
    assert plan.steps


@pytest.mark.parametrize(
    ("options", "end"), [({}, "is resumed first."), ({"rotation_id": "r2"}, "is resumed instead of r2.")]
)
def test_a_rotation_that_is_resumed_before_another_says_so(options: dict[str, str], end: str) -> None:
    assert plan_for(DEXTER, PUBLISHED, "r2", **options).notes[0] == f"Rotation r1 is unfinished and {end}"


def test_a_plan_says_that_it_rolls_back_and_by_which_strategy() -> None:
    back = with_candidate(PUBLISHED, phase=Phase.ROLLING_BACK, strategy=Strategy.RECREATE)
    assert plan_for(IN_PLACE, back).notes[:2] == (
        "It began with the strategy recreate and ends with it.",
        "Rotation r1 failed and is being rolled back.",
    )


def test_a_rotation_that_was_rolled_back_is_refused_by_its_id() -> None:
    secrets = tuple(replace(secret, newest=replace(secret.newest, restores="before")) for secret in PUBLISHED.secrets)
    plan = plan_for(DEXTER, replace(PUBLISHED, candidate=None, secrets=secrets))
    assert (plan.status, plan.rotation_id, plan.steps) == (PlanStatus.ROLLED_BACK, "r1", ())
    assert plan.refusal is not None
    assert (plan.refusal.code, plan.refusal.name) == (Code.ROLLED_BACK, "r1")


def test_the_leftover_candidate_of_an_ended_rotation_is_deleted_with_a_reason() -> None:
    plan = plan_for(DEXTER, replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.DONE)))
    assert [(str(step), step.subject) for step in plan.steps] == [("delete the candidate of dexter", "dexter")]
    assert is_sentence(plan.steps[0].reason)
    others = replace(PUBLISHED, candidate=replace(STAGED, phase=Phase.DONE, rotation_id="r0"))
    assert plan_for(DEXTER, others).steps == ()


def test_what_blocks_is_told_before_what_only_warns_and_keeps_the_first_refusal() -> None:
    warning, paused, held = (Finding(Refused(text, name=text), text != "warns") for text in ("warns", "paused", "held"))
    plan = plan_for(DEXTER, HEALTHY).with_findings((warning, paused, held), "dexter")
    assert plan.findings == (paused, held, warning)
    assert plan.refusal is not None
    assert (plan.refusal.code, plan.refusal.name, plan.refusal.seen) == (Code.PREFLIGHT, "dexter", "2 findings")
    refused = plan_for(DEXTER, HEALTHY, data_loss="no")
    assert refused.with_findings((warning, paused), "dexter") == replace(refused, findings=(paused, warning))
    assert plan_for(DEXTER, HEALTHY).with_findings((warning,), "dexter").refusal is None


def test_one_finding_refuses_with_its_own_parts_and_cause_and_several_follow_one_another() -> None:
    root = Refused("the root", name="root")
    first, second = Refused("first", name="a", seen="x", fix="do", code="A", cause=root), Conflict("second", name="b")
    alone = refuse([Finding(first)], "dexter")
    assert alone is not None
    assert (alone.what, alone.name, alone.seen, alone.fix, alone.code, alone.cause) == (
        *("first", "a", "x", "do", "A"),
        root,
    )
    both = refuse([Finding(first), Finding(second)], "dexter")
    assert both is not None
    assert both.cause is not None
    assert (type(both.cause), both.cause.what) == (Refused, "first")
    assert both.cause.cause is not None
    assert (type(both.cause.cause), both.cause.cause.what, both.cause.cause.cause) == (Conflict, "second", None)


DENIED = LoginRefused("no", name="db", code="28000")
FIX = "set the secrets to a login that the database accepts"


@pytest.mark.parametrize(
    ("logins", "starts", "ends"),
    [
        (Logins(LoginState.REFUSED), f"{FIX}, or", "restart the workload so that it gets theirs"),
        (Logins(LoginState.REFUSED, error=DENIED), "let the role log in (ALTER ROLE ... LOGIN), or ", FIX),
        (Logins(LoginState.REFUSED, oddity="a line break"), "write the value again without it", "and editors do"),
        (
            Logins(LoginState.REFUSED, previous=LoginState.WORKS),
            "the versions before",
            "once its Secret has the new ones",
        ),
        (
            Logins(LoginState.REFUSED, previous=LoginState.WORKS, oddity="x", error=DENIED),
            "the versions before",
            "ones",
        ),
    ],
)
def test_the_fix_of_a_refused_login_is_the_one_that_its_signs_point_to(logins: Logins, starts: str, ends: str) -> None:
    refusal = plan_for(DEXTER, replace(HEALTHY, logins=logins)).refusal
    assert refusal is not None
    assert refusal.fix.startswith(starts)
    assert refusal.fix.endswith(ends)
    assert (refusal.code, refusal.cause) == ("28000" if logins.error else "", logins.error)


READY = LoginFacts(None, False, 3, 2, 4, True, 150018)


def test_every_step_of_a_migration_says_what_it_is_for() -> None:
    facts = replace(READY, databases=(DatabaseFacts("shop", finds_own_schema=True),))
    assert [step.why for step in plan_migration(DEXTER, facts).steps] == [
        "it keeps everything it has: 3 relations in postgres, grants and memberships everywhere",
        "nobody logs in as the role that owns everything",
        "clients log in as before, with no downtime",
        "membership passes on none of them, and its sessions start as before",
        'its sessions act as the owner role, whose name "$user" would mean',
        "what they create belongs to the owner role, whichever login created it; from now on, grant to that role",
    ]


def test_everything_that_blocks_a_migration_says_what_was_seen_on_the_credential() -> None:
    facts = replace(
        READY,
        is_owner_name_taken=True,
        server_version=110009,
        starts_as_another=True,
        followers=("batch", "shop"),
        subscriptions=("orders_in",),
        databases=(DatabaseFacts("shop", 2, finds_own_schema=True), DatabaseFacts("spare", 2)),
    )
    findings = plan_migration(DEXTER, facts, unfinished="r1").findings
    assert [(finding.error.code, finding.error.name, finding.error.seen) for finding in findings] == [
        (Code.UNFINISHED, "dexter", "rotation r1"),
        ("42710", "dexter", "a role has the current login's name with _owner"),
        (Code.ROLE_NOT_KEPT, "dexter", "PostgreSQL 11.9"),
        (Code.STARTS_AS_ANOTHER, "dexter", "the login has a setting `role` of its own"),
        (Code.FOLLOWED_BY_SETTING, "dexter", "batch, shop"),
        (Code.OWNS_SUBSCRIPTIONS, "dexter", "orders_in"),
        (Code.SCHEMA_OF_ITS_NAME, "dexter", "2 sessions in shop"),
    ]
    assert all(finding.is_blocking for finding in findings)


@pytest.mark.parametrize(
    ("logins", "wanted", "seen"),
    [
        (("a",), "dexter", "it is the current username"),
        (("a",), "c", "it is not one of the owner's logins"),
        (("a", "b", "c"), "", "the owner role has 3 other logins"),
    ],
)
def test_a_login_that_cannot_be_chosen_says_why(logins: tuple[str, ...], wanted: str, seen: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_login("dexter", ("dexter", *logins), wanted)
    assert (caught.value.name, caught.value.seen) == ("new_username", seen)


def test_what_keeps_a_rotation_from_starting_says_since_when_and_until_when() -> None:
    blocker = check_guards(Guards(minimum_age_hours=2000), HEALTHY, T0 + timedelta(hours=1801.25))
    assert blocker is not None
    assert blocker.reason == (
        "The password is 1801.2 hours old, younger than 2000: it is due at Wednesday 2026-03-25 08:00 Etc/UTC. "
        "With guards.force a rotation starts now."
    )
    window = Guards(window_start="02:00", window_end="05:00", time_zone="Europe/Berlin")
    blocker = check_guards(window, HEALTHY, T0)
    assert blocker is not None
    assert blocker.reason == (
        "It is Thursday 2026-01-01 01:00 Europe/Berlin, and the maintenance window opens at "
        "Thursday 2026-01-01 02:00 Europe/Berlin. With guards.force a rotation starts now."
    )


@pytest.mark.parametrize(("number", "end"), [(1, "v0 in shop"), (10, "v9 in shop"), (11, "v9 in shop and 1 more")])
def test_ten_names_are_told_and_the_rest_is_counted(number: int, end: str) -> None:
    asking = tuple(f"v{place}" for place in range(number))
    facts = replace(READY, databases=(DatabaseFacts("shop", asking=asking),))
    (finding,) = plan_migration(DEXTER, facts).findings
    assert finding.error.seen.split(", ")[-1] == end
