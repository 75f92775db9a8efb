"""The plan of a migration to two logins: what is left to do, and what stands against it."""

from dataclasses import replace

import pytest

from infra.errors import Code, Refused
from infra.rotation.migration import DatabaseFacts, LoginFacts, plan_migration
from testing.walkthrough import DEXTER

READY = LoginFacts(
    alternate_logins=None,
    is_owner_name_taken=False,
    relations=3,
    sessions=2,
    settings=4,
    may_rename=True,
    server_version=150018,
)
OWN_SCHEMA = DatabaseFacts("shop", finds_own_schema=True)


def test_a_login_without_an_owner_role_gets_one_and_keeps_what_it_has() -> None:
    migration = plan_migration(DEXTER, READY)
    assert (migration.refusal, migration.findings) == (None, ())
    assert [step.what for step in migration.steps] == [
        "rename the login's role to its name with _owner",
        "disable login for the owner role",
        "create a login with the current name and password, as a member of the owner role",
        "give it the attributes, the comment and the 4 settings of the current login",
        "let its sessions start as the owner role",
    ]
    assert "3 relations in postgres" in migration.steps[0].why


@pytest.mark.parametrize("alternate_logins", [0, 1])
def test_a_login_with_an_owner_role_needs_nothing_and_nothing_stands_against_it(alternate_logins: int) -> None:
    facts = replace(READY, alternate_logins=alternate_logins, is_owner_name_taken=True, may_rename=False)
    migration = plan_migration(DEXTER, facts, unfinished="20260101-000000-abcd")
    assert (migration.steps, migration.refusal) == ((), None)


@pytest.mark.parametrize(
    ("facts", "unfinished", "code", "seen"),
    [
        (READY, "20260101-000000-abcd", Code.UNFINISHED, "20260101-000000-abcd"),
        (replace(READY, is_owner_name_taken=True), "", "42710", "_owner"),
        (replace(READY, may_rename=False), "", "42501", "superuser"),
        (replace(READY, starts_as_another=True), "", Code.STARTS_AS_ANOTHER, "`role`"),
        (
            replace(READY, followers=("role batch", "database shop")),
            "",
            Code.FOLLOWED_BY_SETTING,
            "role batch, database shop",
        ),
        (replace(READY, subscriptions=("orders_in",)), "", Code.OWNS_SUBSCRIPTIONS, "orders_in"),
        (
            replace(READY, databases=(replace(OWN_SCHEMA, sessions=2),)),
            "",
            Code.SCHEMA_OF_ITS_NAME,
            "2 sessions in shop",
        ),
    ],
    ids=[
        "a rotation is unfinished",
        "the owner role's name is taken",
        "the login may not be renamed",
        "the login starts as another role",
        "others start as the login",
        "the login owns subscriptions",
        "open sessions find the schema of its name",
    ],
)
def test_what_blocks_it_is_said_beside_the_plan(facts: LoginFacts, unfinished: str, code: str, seen: str) -> None:
    migration = plan_migration(DEXTER, facts, unfinished)
    assert migration.steps, "the plan is shown all the same"
    assert isinstance(migration.refusal, Refused)
    assert (migration.refusal.code, migration.refusal.name) == (code, "dexter")
    assert seen in migration.refusal.seen
    assert migration.refusal.fix
    assert ("`administrator`" in migration.refusal.fix) == (code == "42501")


@pytest.mark.parametrize(
    ("version", "is_kept"),
    [
        (150009, False),
        (150010, True),
        (170001, False),
        (170002, True),
        (160002, False),
        (180000, True),
        (110020, False),
    ],
)
def test_a_server_that_does_not_keep_the_role_of_a_session_blocks_it(version: int, is_kept: bool) -> None:
    refusal = plan_migration(DEXTER, replace(READY, server_version=version)).refusal
    assert (refusal is None) is is_kept
    assert refusal is None or refusal.code == Code.ROLE_NOT_KEPT


def test_everything_that_blocks_it_is_told_at_once() -> None:
    migration = plan_migration(DEXTER, replace(READY, may_rename=False, subscriptions=("orders_in",)))
    assert migration.refusal is not None
    assert migration.refusal.code == Code.PREFLIGHT
    assert [finding.error.code for finding in migration.findings] == ["42501", Code.OWNS_SUBSCRIPTIONS]


def test_a_schema_of_the_logins_name_gets_a_step_where_no_session_is_open() -> None:
    migration = plan_migration(DEXTER, replace(READY, databases=(OWN_SCHEMA, DatabaseFacts("spare", sessions=3))))
    assert migration.refusal is None
    assert [step.what for step in migration.steps if "search_path" in step.what] == [
        'set its search_path in shop to what it is, with the schema\'s name in place of "$user"'
    ]


def test_members_and_what_asks_for_the_current_user_are_named_and_block_nothing() -> None:
    asking = tuple(f"view v{number}" for number in range(12))
    facts = replace(READY, members=("batch",), databases=(DatabaseFacts("shop", asking=asking),))
    migration = plan_migration(DEXTER, facts)
    assert migration.refusal is None
    assert [(finding.error.code, finding.is_blocking) for finding in migration.findings] == [
        (Code.HAS_MEMBERS, False),
        (Code.ASKS_CURRENT_USER, False),
    ]
    assert migration.findings[0].error.seen == "batch"
    assert migration.findings[1].error.seen.startswith("view v0 in shop, view v1 in shop")
    assert migration.findings[1].error.seen.endswith(" and 2 more")


def test_the_first_version_that_can_keep_a_role_is_accepted() -> None:
    assert plan_migration(DEXTER, replace(READY, server_version=120022)).refusal is None
    assert plan_migration(DEXTER, replace(READY, server_version=120021)).refusal is not None


def test_what_is_told_names_the_credential() -> None:
    asking = (DatabaseFacts("shop", asking=("view v",)),)
    facts = replace(READY, may_rename=False, subscriptions=("orders_in",), members=("batch",), databases=asking)
    migration = plan_migration(DEXTER, facts)
    assert migration.refusal is not None
    assert {error.name for error in (migration.refusal, *(found.error for found in migration.findings))} == {"dexter"}
