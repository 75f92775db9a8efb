"""The plan of a migration to two logins: what is left to do, and what stands against it."""

from dataclasses import replace

import pytest

from infra.errors import Conflict, KeyturnError, Refused
from infra.rotation.migration import LoginFacts, plan_migration
from testing.walkthrough import DEXTER

READY = LoginFacts(
    alternate_logins=None, is_owner_name_taken=False, relations=3, sessions=2, settings=4, may_rename=True
)


def test_a_login_without_an_owner_role_gets_one_and_keeps_what_it_has() -> None:
    migration = plan_migration(DEXTER, READY)
    assert migration.refusal is None
    assert [step.what for step in migration.steps] == [
        "rename the login's role to its name with _owner",
        "disable login for the owner role",
        "create a login with the current name and password, as a member of the owner role",
        "copy the current login's 4 settings to it",
        "let its sessions start as the owner role",
    ]
    assert "3 relations in postgres" in migration.steps[0].why


@pytest.mark.parametrize("alternate_logins", [0, 1])
def test_a_login_with_an_owner_role_needs_nothing_and_nothing_stands_against_it(alternate_logins: int) -> None:
    facts = replace(READY, alternate_logins=alternate_logins, is_owner_name_taken=True, may_rename=False)
    migration = plan_migration(DEXTER, facts, unfinished="20260101-000000-abcd")
    assert (migration.steps, migration.refusal) == ((), None)


@pytest.mark.parametrize(
    ("facts", "unfinished", "kind", "code"),
    [
        (READY, "20260101-000000-abcd", Conflict, "Unfinished"),
        (replace(READY, is_owner_name_taken=True), "", Conflict, "42710"),
        (replace(READY, may_rename=False), "", Refused, "42501"),
    ],
    ids=["a rotation is unfinished", "the owner role's name is taken", "the login may not be renamed"],
)
def test_what_stands_against_it_is_said_beside_the_plan(
    facts: LoginFacts, unfinished: str, kind: type[KeyturnError], code: str
) -> None:
    migration = plan_migration(DEXTER, facts, unfinished)
    assert migration.steps, "the plan is shown all the same"
    assert type(migration.refusal) is kind
    assert migration.refusal.code == code
    assert migration.refusal.name == "dexter"
    assert migration.refusal.fix
    assert ("`administrator`" in migration.refusal.fix) == (code == "42501")
    assert unfinished in migration.refusal.seen
