"""Roles and role assignments: who may do what, where and from when on."""

from datetime import UTC, datetime, timedelta

import pytest

from lab.azure.access import Access
from lab.azure.errors import AzureError
from lab.azure.roles import BUILT_IN, find_role, find_role_by_name

SUBSCRIPTION = "/subscriptions/0b1f6471-0000-4000-8000-112233445566"
GROUP = f"{SUBSCRIPTION}/resourceGroups/integrateakskv-rg"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/dexterkeyvault"
GET_SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"
WRITE_VAULT = "Microsoft.KeyVault/vaults/write"
ASSIGN = "Microsoft.Authorization/roleAssignments/write"
WHO = "11111111-0000-4000-8000-000000000001"


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


def assign(access: Access, role: str, scope: str, name: str = "a") -> None:
    found = find_role_by_name(role)
    assert found, role
    access.assign(scope, f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{found.guid}", WHO, name)


@pytest.fixture
def access() -> Access:
    return Access(Clock())


@pytest.mark.parametrize("scope", ["/", SUBSCRIPTION, f"{GROUP}/", VAULT.upper(), f"{VAULT}/secrets/username"])
def test_a_role_counts_at_its_scope_and_inside(access: Access, scope: str) -> None:
    assign(access, "Key Vault Secrets User", scope)
    assert access.is_allowed(WHO, GET_SECRET, f"{VAULT}/secrets/username", data=True)


@pytest.mark.parametrize("scope", [f"{GROUP}2", f"{VAULT}/secrets/user", VAULT.replace("dexter", "other")])
def test_a_scope_is_compared_by_whole_segments(access: Access, scope: str) -> None:
    assign(access, "Key Vault Secrets User", scope)
    assert not access.is_allowed(WHO, GET_SECRET, f"{VAULT}/secrets/username", data=True)


@pytest.mark.parametrize(
    ("role", "action", "data", "allowed"),
    [
        ("Owner", ASSIGN, False, True),
        ("Owner", GET_SECRET, True, False),
        ("Contributor", WRITE_VAULT, False, True),
        ("Contributor", ASSIGN, False, False),
        ("Reader", "Microsoft.KeyVault/vaults/read", False, True),
        ("Reader", WRITE_VAULT, False, False),
        ("Role Based Access Control Administrator", ASSIGN, False, True),
        ("User Access Administrator", WRITE_VAULT, False, False),
        ("Key Vault Secrets Officer", "Microsoft.KeyVault/vaults/secrets/purge/action", True, True),
        ("Key Vault Administrator", GET_SECRET, True, True),
        ("Key Vault Contributor", GET_SECRET, True, False),
        ("Key Vault Reader", GET_SECRET, True, False),
        ("Key Vault Reader", "Microsoft.KeyVault/vaults/secrets/readMetadata/action", True, True),
    ],
)
def test_built_in_roles_allow_what_azures_do(access: Access, role: str, action: str, data: bool, allowed: bool) -> None:
    assign(access, role, SUBSCRIPTION)
    assert access.is_allowed(WHO, action, VAULT, data=data) is allowed
    assert access.is_allowed(WHO, action.lower(), VAULT, data=data) is allowed


def test_nobody_else_gets_the_role(access: Access) -> None:
    assign(access, "Owner", SUBSCRIPTION)
    assert not access.is_allowed("22222222-0000-4000-8000-000000000002", WRITE_VAULT, VAULT)


def test_an_assignment_takes_effect_when_its_propagation_is_over() -> None:
    clock = Clock()
    access = Access(clock, timedelta(seconds=30))
    assign(access, "Owner", SUBSCRIPTION)
    assert not access.is_allowed(WHO, WRITE_VAULT, VAULT)
    clock.moment += timedelta(seconds=30)
    assert access.is_allowed(WHO, WRITE_VAULT, VAULT)


def test_an_assignment_that_waits_for_nothing_has_effect_though_the_clock_is_set_back() -> None:
    clock = Clock()
    access = Access(clock)
    assign(access, "Owner", SUBSCRIPTION)
    clock.moment -= timedelta(minutes=1)
    assert access.is_allowed(WHO, WRITE_VAULT, VAULT)


def test_the_owner_of_a_subscription_waits_for_nothing() -> None:
    access = Access(Clock(), timedelta(hours=1))
    access.make_owner(WHO, SUBSCRIPTION)
    assert access.is_allowed(WHO, WRITE_VAULT, VAULT)


def test_a_removed_assignment_loses_effect_at_once(access: Access) -> None:
    assign(access, "Owner", SUBSCRIPTION, name="A")
    assert access.remove("a")
    assert access.remove("a") is None
    assert not access.is_allowed(WHO, WRITE_VAULT, VAULT)


def test_the_same_assignment_is_refused_under_any_name(access: Access) -> None:
    assign(access, "Owner", GROUP, name="a")
    for name in ("a", "b"):
        with pytest.raises(AzureError) as caught:
            assign(access, "Owner", GROUP.upper(), name=name)
        assert (caught.value.status, caught.value.code) == (409, "RoleAssignmentExists")
    assert len(access.list(GROUP)) == 1


def test_a_name_that_is_taken_is_not_given_to_something_else(access: Access) -> None:
    assign(access, "Owner", GROUP, name="a")
    with pytest.raises(AzureError) as caught:
        assign(access, "Reader", GROUP, name="a")
    assert (caught.value.status, caught.value.code) == (400, "RoleAssignmentUpdateNotPermitted")


def test_an_unknown_role_is_refused(access: Access) -> None:
    with pytest.raises(AzureError) as caught:
        access.assign(GROUP, "00000000-0000-4000-8000-000000000000", WHO, "a")
    assert (caught.value.status, caught.value.code) == (404, "RoleDefinitionDoesNotExist")


def test_a_list_has_what_concerns_a_scope(access: Access) -> None:
    for name, scope in (("above", SUBSCRIPTION), ("at", GROUP), ("below", VAULT), ("beside", f"{GROUP}2")):
        assign(access, "Reader", scope, name=name)
    assert {item.name for item in access.list(GROUP)} == {"above", "at", "below"}
    assert {item.name for item in access.list(GROUP, below=False)} == {"above", "at"}
    assert {item.name for item in access.list(GROUP, above=False)} == {"at", "below"}


def test_a_deleted_resource_takes_its_assignments_along(access: Access) -> None:
    for name, scope in (("above", SUBSCRIPTION), ("at", GROUP), ("below", VAULT)):
        assign(access, "Reader", scope, name=name)
    access.remove_below(GROUP)
    assert {item.name for item in access.list(SUBSCRIPTION)} == {"above"}


def test_roles_are_found_by_id_and_by_name() -> None:
    for role in BUILT_IN:
        assert find_role(f"/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role.guid.upper()}/")
        assert find_role_by_name(role.name.upper()) == role
    assert len({role.guid for role in BUILT_IN}) == len(BUILT_IN)
