"""What a stack is made of: the server's login is its own, and everything stands after what it needs."""

import pytest

from infra.credentials import load_inventory
from infra.errors import InvalidInput
from infra.provisioning.changes import Verb, plan_changes
from infra.provisioning.first_login import RESERVED_LOGINS, check_first_username, read_first_password
from infra.provisioning.kinds import Found
from infra.provisioning.options import ProvisionOptions, load_stack
from infra.provisioning.resources import DatabaseServer
from infra.provisioning.wanted import list_wanted
from testing.labs import ROOT

STACK = load_stack("walkthrough", ROOT / "manifests", load_inventory(ROOT / "credentials.yaml"))
TENANT = "72f988bf-0000-4000-8000-2d7cd011db47"
SERVER_SECRETS = ("secret dexterkeyvault/server-username", "secret dexterkeyvault/server-password")


def wanted_server(username: str = "") -> tuple[DatabaseServer, tuple[str, ...]]:
    """The server, and the keys of what it needs."""
    for wanted in list_wanted(STACK, ProvisionOptions(), TENANT, {}, username):
        if isinstance(wanted.resource, DatabaseServer):
            return wanted.resource, wanted.after
    pytest.fail("no server")


def test_everything_is_created_from_nothing_in_an_order_that_works() -> None:
    plan = plan_changes(list_wanted(STACK, ProvisionOptions(), TENANT, {}), {})
    assert {change.verb for change in plan.changes} == {Verb.CREATE}
    keys = [change.resource.key for change in plan.changes]
    assert len(set(keys)) == len(keys)
    assert {"secret dexterkeyvault/username", "secret dexterkeyvault/password", *SERVER_SECRETS} <= set(keys)


def test_the_server_needs_its_own_secrets_and_not_those_that_are_rotated() -> None:
    _, after = wanted_server()
    assert set(SERVER_SECRETS) <= set(after)
    assert not {"secret dexterkeyvault/username", "secret dexterkeyvault/password"} & set(after)


@pytest.mark.parametrize(("found", "differs"), [("dexter", False), ("chief", False), ("outsider", True)])
def test_a_server_may_have_the_first_administrator_or_the_one_in_the_vault(found: str, differs: bool) -> None:
    server, _ = wanted_server("chief")
    there = DatabaseServer(**{**vars(server), "administrators": (found,)})
    assert bool(server.differences(there)) is differs
    plan = plan_changes(list_wanted(STACK, ProvisionOptions(), TENANT, {}, "chief"), {there.key: Found(there)})
    change = next(change for change in plan.changes if change.resource.key == there.key)
    assert change.verb is (Verb.REFUSE if differs else Verb.LEAVE)


@pytest.mark.parametrize("login", [*RESERVED_LOGINS, "pg_chief"])
def test_a_reserved_login_is_no_administrator(login: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_first_username(login)
    assert (caught.value.name, caught.value.seen) == ("first_username", login)


@pytest.mark.parametrize(
    ("value", "code", "seen"),
    [
        ("", "FirstPasswordMissing", ""),
        ("Sh0rt!7", "FirstPasswordWeak", "8 to 128 characters"),
        ("Aa1" * 43, "FirstPasswordWeak", "8 to 128 characters"),
        ("onlylowercase1", "FirstPasswordWeak", "fewer than three kinds"),
        ("With-DEXTER-in-it-1", "FirstPasswordWeak", "contains the username"),
    ],
)
def test_a_weak_first_password_is_refused_and_never_said(value: str, code: str, seen: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_first_password("FIRST", "dexter", {"FIRST": value})
    assert (caught.value.code, caught.value.name) == (code, "FIRST")
    assert seen in caught.value.seen
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("value", ["Abcdefg1", "abcdefg-1", "Aa1-" * 32])
def test_a_password_of_three_kinds_is_accepted(value: str) -> None:
    assert read_first_password("FIRST", "dexter", {"FIRST": value}) == value
