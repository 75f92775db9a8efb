"""What a stack is made of: the server's login is its own, and everything stands after what it needs."""

from dataclasses import replace

import pytest

from infra.credentials import load_inventory
from infra.errors import CannotChange, InvalidInput, Refused
from infra.provisioning.changes import ProvisioningPlan, ResourceChange, Verb, plan_changes
from infra.provisioning.first_login import RESERVED_LOGINS, check_first_username, read_first_password
from infra.provisioning.kinds import Found
from infra.provisioning.options import ProvisionOptions, load_stack
from infra.provisioning.resources import DatabaseServer, Vault
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


POLICY = "11111111-0000-4000-8000-000000000001 (secrets get, list)"


def plan_for_vault(options: ProvisionOptions, policies: tuple[str, ...]) -> ProvisioningPlan:
    """The plan for a vault without RBAC."""
    wanted = list_wanted(STACK, options, TENANT, {})
    vault = next(each.resource for each in wanted if isinstance(each.resource, Vault))
    return plan_changes(wanted, {vault.key: Found(replace(vault, rbac=False, policies=policies))})


def change_of_vault(plan: ProvisioningPlan) -> ResourceChange:
    return next(change for change in plan.changes if isinstance(change.resource, Vault))


def test_a_vault_with_access_policies_is_not_put_into_rbac_mode_without_consent() -> None:
    plan = plan_for_vault(ProvisionOptions(), (POLICY, "another (keys get)"))
    assert change_of_vault(plan).verb is Verb.REFUSE
    with pytest.raises(Refused) as caught:
        plan.raise_if_refused()
    assert (caught.value.code, caught.value.name) == ("ConsentToLosses", "vault dexterkeyvault")
    assert POLICY in caught.value.seen
    assert "another (keys get)" in caught.value.seen
    assert "drop_access_policies" in caught.value.fix


def test_with_consent_the_plan_names_the_policies_that_lose_their_effect() -> None:
    change = change_of_vault(plan_for_vault(ProvisionOptions(drop_access_policies=True), (POLICY,)))
    assert change.verb is Verb.CHANGE
    assert "rbac: off -> on" in change.details
    assert POLICY in change.details


def test_a_vault_without_policies_loses_nothing_by_rbac() -> None:
    change = change_of_vault(plan_for_vault(ProvisionOptions(), ()))
    assert (change.verb, change.said) == (Verb.CHANGE, "")


def test_what_cannot_change_is_refused_together_with_what_nobody_consented_to() -> None:
    wanted = list_wanted(STACK, ProvisionOptions(), TENANT, {})
    vault = next(each.resource for each in wanted if isinstance(each.resource, Vault))
    found = {vault.key: Found(replace(vault, rbac=False, policies=(POLICY,), location="westus"))}
    with pytest.raises(CannotChange, match="location is westus") as caught:
        plan_changes(wanted, found).raise_if_refused()
    assert POLICY in caught.value.seen


def test_a_server_of_any_version_is_left_unless_a_newer_one_is_wanted() -> None:
    server, _ = wanted_server()
    assert server.differences(replace(server, version="14")) == ()
    wanted = replace(server, version="16")
    assert [each.field for each in wanted.differences(replace(server, version="14"))] == ["version"]
    assert wanted.differences(replace(server, version="17")) == ()


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
