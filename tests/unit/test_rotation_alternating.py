"""The plans of two logins that take turns, of a server's administrator, and of the migration between them."""

from dataclasses import replace

import pytest
from pydantic import ValidationError
from rotation_facts import OPTIONS, PUBLISHED, STAGED, TARGET, WELL, actions, version

from infra.errors import AccessDenied, Conflict, InvalidInput, LoginRefused, Refused, SyncPending
from infra.rotation.migration import LoginFacts, plan_migration
from infra.rotation.observation import Logins, LoginState, Observation, Phase, SecretFacts, Synced
from infra.rotation.plan import Plan, make_plan
from infra.rotation.steps import Action
from infra.rotation.usernames import choose_login
from infra.rotation.verdict import Verdict, judge
from infra.targets import WALKTHROUGH_CONSUMER, Strategy, Sync, Target, Through

DATABASE = WALKTHROUGH_CONSUMER
CLIENT = DATABASE.model_copy(update={"workload": "client", "is_database": False})
READER = CLIENT.model_copy(update={"workload": "reader", "needs_restart": False})
ALTERNATING = TARGET.model_copy(update={"strategy": Strategy.ALTERNATING})
MANAGED = Target(strategy=Strategy.MANAGED, through=Through.SERVER, consumers=())
MIGRATED = replace(WELL, other_logins=0)
BOTH_WORK = Logins(LoginState.WORKS, LoginState.WORKS, LoginState.WORKS)


def with_consumers(observation: Observation, *names: object) -> Observation:
    known = observation.consumers[0]
    return replace(observation, consumers=tuple(replace(known, names=one) for one in names))  # type: ignore[arg-type]


def plan_for(target: Target, observation: Observation, **options: object) -> Plan:
    target = target.model_copy(update={"consumers": tuple(one.names for one in observation.consumers)})
    return make_plan(target, OPTIONS.model_copy(update=options), observation, "r1")


def published(strategy: Strategy = Strategy.ALTERNATING, **changes: object) -> Observation:
    candidate = replace(STAGED, strategy=strategy)
    return replace(PUBLISHED, candidate=candidate, logins=BOTH_WORK, other_logins=1, **changes)  # type: ignore[arg-type]


def subjects(plan: Plan, action: Action) -> list[str]:
    return [step.subject for step in plan.steps if step.action is action]


def test_the_other_login_is_opened_before_anything_is_published_and_the_former_closed_after_all_have_the_new() -> None:
    plan = plan_for(ALTERNATING, with_consumers(MIGRATED, DATABASE, CLIENT))
    assert plan.refusal is None
    assert actions(plan.steps) == [
        Action.PROVE_CURRENT,
        Action.REHEARSE_OPENING,
        Action.STAGE,
        Action.HOLD,
        Action.OPEN_LOGIN,
        Action.PROVE_CANDIDATE,
        Action.PUBLISH,
        Action.PUBLISH,
        Action.RELEASE,
        Action.AWAIT_SYNC,
        Action.AWAIT_SYNC,
        Action.REFRESH_SECRET,
        Action.RESTART,
        Action.AWAIT_READY,
        Action.CLOSE_LOGIN,
        Action.VERIFY,
        Action.RETIRE,
        Action.RETIRE,
        Action.FINISH,
    ]


def test_express_waits_for_the_clients_that_follow_their_files_and_for_nobody_else() -> None:
    plan = plan_for(ALTERNATING, with_consumers(MIGRATED, DATABASE, CLIENT, READER), sync=Sync.EXPRESS)
    assert subjects(plan, Action.AWAIT_SYNC) == [READER.key]


def test_a_login_that_becomes_no_owner_is_refused_with_the_flow_that_prepares_it() -> None:
    refusal = plan_for(ALTERNATING, WELL).refusal
    assert type(refusal) is Refused
    assert refusal.code == "NotMigrated"
    assert "migrate" in refusal.fix


def test_a_login_that_does_not_work_is_told_before_the_migration_is_asked_for() -> None:
    broken = replace(WELL, logins=Logins(LoginState.REFUSED))
    assert type(plan_for(ALTERNATING, broken).refusal) is LoginRefused


def test_a_class_held_for_this_rotation_is_released_when_both_are_published() -> None:
    held = published()
    held = replace(held, consumers=(replace(held.consumers[0], held_for="r1"),))
    plan = plan_for(ALTERNATING, held)
    assert Action.HOLD in actions(plan.done)
    assert subjects(plan, Action.RELEASE) == [DATABASE.class_key]


def test_a_class_held_for_an_earlier_rotation_is_held_anew() -> None:
    held = replace(MIGRATED, consumers=(replace(WELL.consumers[0], held_for="r0"),), candidate=staged())
    assert Action.HOLD in actions(plan_for(ALTERNATING, held).steps)


def staged() -> object:
    return replace(STAGED, strategy=Strategy.ALTERNATING)


def test_a_sync_that_does_not_come_is_waited_for_again_since_both_logins_work() -> None:
    plan = plan_for(ALTERNATING, published())
    step = next(one for one in plan.steps if one.action is Action.AWAIT_SYNC)
    failure = judge(plan, step, SyncPending("late", name="x"))
    assert not failure.rolls_back
    assert failure.verdict is Verdict.SYNC_PENDING


def test_back_opens_the_former_login_first_and_closes_the_failed_one_last() -> None:
    failed = published()
    failed = replace(failed, candidate=replace(failed.candidate, phase=Phase.ROLLING_BACK))  # type: ignore[type-var]
    failed = replace(failed, logins=Logins(LoginState.WORKS, LoginState.WORKS, LoginState.REFUSED))
    steps = actions(plan_for(ALTERNATING, with_consumers(failed, DATABASE, READER)).steps)
    assert steps[0] is Action.REOPEN_LOGIN
    assert steps.index(Action.RESTORE) < steps.index(Action.AWAIT_SYNC) < steps.index(Action.CLOSE_CANDIDATE)
    assert steps[-2:] == [Action.CLOSE_CANDIDATE, Action.FINISH_ROLLBACK]


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
def test_the_owners_other_login_has_its_turn(logins: tuple[str, ...], wanted: str, chosen: str) -> None:
    assert choose_login("dexter", logins, wanted) == chosen


@pytest.mark.parametrize(
    ("logins", "wanted", "code"),
    [
        (("dexter", "a", "b"), "", "ManyLogins"),
        (("dexter", "a"), "c", "ThirdLogin"),
        (("dexter", "a"), "dexter", "ThirdLogin"),
    ],
)
def test_a_third_login_is_refused(logins: tuple[str, ...], wanted: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_login("dexter", logins, wanted)
    assert caught.value.code == code


def test_the_administrator_is_proven_before_its_password_is_published() -> None:
    assert actions(plan_for(MANAGED, replace(WELL, consumers=())).steps) == [
        Action.PROVE_CURRENT,
        Action.STAGE,
        Action.SET_ADMINISTRATOR,
        Action.PROVE_CANDIDATE,
        Action.PUBLISH,
        Action.VERIFY,
        Action.RETIRE,
        Action.FINISH,
    ]


def test_an_administrators_password_that_cannot_be_published_is_taken_back() -> None:
    seen = replace(
        WELL,
        consumers=(),
        candidate=replace(STAGED, strategy=Strategy.MANAGED),
        logins=Logins(LoginState.REFUSED, LoginState.WORKS, LoginState.REFUSED),
    )
    plan = plan_for(MANAGED, seen)
    step = next(one for one in plan.steps if one.action is Action.PUBLISH)
    assert judge(plan, step, AccessDenied("no", name="vault")).rolls_back


@pytest.mark.parametrize(
    ("observation", "options", "code"),
    [(WELL, {}, "NoDatabaseHere"), (replace(WELL, consumers=()), {"new_username": "x"}, "UsernameStays")],
)
def test_what_makes_no_sense_for_a_server_is_refused(
    observation: Observation, options: dict[str, object], code: str
) -> None:
    refusal = plan_for(MANAGED, observation, **options).refusal
    assert refusal is not None
    assert refusal.code == code


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"strategy": "managed"}, "through to server"),
        ({"strategy": "recreate", "through": "server"}, "through to service"),
        ({"admin_username_secret": "admin"}, "given together"),
        ({"admin_username_secret": "USERNAME", "admin_password_secret": "x"}, "name of its own"),
    ],
)
def test_a_target_that_does_not_fit_together_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Target.model_validate(fields)


@pytest.mark.parametrize(("keep", "left"), [(0, 2), (1, 1), (2, 0), (5, 0)])
def test_as_many_older_versions_stay_enabled_as_asked_for(keep: int, left: int) -> None:
    older = (version("p1"), version("p0", -5))
    seen = published(
        username=SecretFacts("username", version("u2", 6, rotation_id="r1"), (version("u1"),)),
        password=SecretFacts("password", version("p2", 6, rotation_id="r1"), older),
    )
    seen = replace(seen, candidate=replace(seen.candidate, phase=Phase.PROVEN))  # type: ignore[type-var]
    seen = replace(seen, consumers=(replace(seen.consumers[0], synced=Synced.NEWEST),))
    plan = plan_for(ALTERNATING, seen, keep_versions=keep)
    assert ("password" in subjects(plan, Action.RETIRE)) is bool(left)


PLAIN = LoginFacts(others=None, is_name_taken=False, relations=12, sessions=3, settings=1, may_rename=True)


def test_a_migration_says_what_it_does_and_what_it_keeps() -> None:
    plan = plan_migration(ALTERNATING, PLAIN)
    assert plan.refusal is None
    assert len(plan.changes) == 5
    assert "12 relations in postgres" in plan.changes[0].why


def test_a_migration_that_was_made_leaves_nothing_to_do() -> None:
    plan = plan_migration(ALTERNATING, replace(PLAIN, others=0, is_name_taken=True, may_rename=False))
    assert (plan.changes, plan.refusal) == ((), None)


@pytest.mark.parametrize(
    ("facts", "unfinished", "kind"),
    [
        (replace(PLAIN, is_name_taken=True), "", Conflict),
        (replace(PLAIN, may_rename=False), "", Refused),
        (PLAIN, "r7", Conflict),
    ],
)
def test_a_migration_that_must_not_be_made_is_refused(facts: LoginFacts, unfinished: str, kind: type) -> None:
    plan = plan_migration(ALTERNATING, facts, unfinished)
    assert type(plan.refusal) is kind
    assert plan.refusal.fix
