"""What it takes to be allowed: name checks, operations, role definitions, and providers that are registered first."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World

from lab.azure.directory import Principal
from lab.azure.roles import find_role_by_name
from lab.control.options import TENANT_ID

DEFINITIONS = "/providers/Microsoft.Authorization/roleDefinitions"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
RIGHTS = f"{SCOPE}{DEFINITIONS}/{READER}?api-version=2022-04-01"
VAULT_URL = f"{SCOPE}/resourceGroups/{GROUP}/providers/Microsoft.KeyVault/vaults/freshkeyvault?api-version=2023-07-01"
VAULT = {
    "location": LOCATION,
    "properties": {"tenantId": TENANT_ID, "sku": {"family": "A", "name": "standard"}, "accessPolicies": []},
}
CHECKS = {
    "vault": "Microsoft.KeyVault/checkNameAvailability?api-version=2023-07-01",
    "account": "Microsoft.Storage/checkNameAvailability?api-version=2024-01-01",
    "server": "Microsoft.DBforPostgreSQL/checkNameAvailability?api-version=2024-08-01",
    "server there": "Microsoft.DBforPostgreSQL/locations/eastus2/checkNameAvailability?api-version=2024-08-01",
}
GROUP_SCOPE = f"{SCOPE}/resourceGroups/{GROUP}"
Somebody = Callable[..., Principal]


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return count()


@pytest.fixture
def somebody(shared: World, numbers: Iterator[int]) -> Somebody:
    """Makes a principal with one role at a scope, or with none."""

    def make(role: str = "", scope: str = SCOPE) -> Principal:
        number = next(numbers)
        made = shared.directory.add_application(f"somebody-{number}")[0]
        if found := find_role_by_name(role):
            shared.access.assign(scope, found.guid, made.object_id, f"{number:08}-0000-4000-8000-000000000000")
        return made

    return make


@pytest.mark.parametrize(
    ("check", "role", "scope", "refusal"),
    [
        ("vault", "", SCOPE, (403, "AuthorizationFailed")),
        ("vault", "Contributor", GROUP_SCOPE, (403, "AuthorizationFailed")),
        ("vault", "Reader", SCOPE, (200, "")),
        ("vault", "Key Vault Contributor", SCOPE, (200, "")),
        ("account", "Owner", GROUP_SCOPE, (403, "AuthorizationFailed")),
        ("account", "Reader", SCOPE, (200, "")),
        ("server", "Reader", SCOPE, (403, "AuthorizationFailed")),
        ("server", "Contributor", SCOPE, (200, "")),
        ("server there", "Reader", SCOPE, (403, "AuthorizationFailed")),
        ("server there", "Contributor", SCOPE, (200, "")),
    ],
)
def test_whether_a_name_is_free_is_told_to_those_with_a_right_in_the_subscription(
    shared: World, somebody: Somebody, check: str, role: str, scope: str, refusal: tuple[int, str]
) -> None:
    url = f"{SCOPE}/providers/{CHECKS[check]}"
    assert shared.refusal("POST", url, {"name": "somename", "type": "any"}, somebody(role, scope)) == refusal


@pytest.mark.parametrize(
    ("role", "scope", "refusal"),
    [
        ("", SCOPE, (403, "AuthorizationFailed")),
        ("Owner", GROUP_SCOPE, (403, "AuthorizationFailed")),
        ("Reader", SCOPE, (200, "")),
    ],
)
def test_an_operation_is_followed_by_whoever_began_it_and_by_readers(
    shared: World, somebody: Somebody, numbers: Iterator[int], role: str, scope: str, refusal: tuple[int, str]
) -> None:
    beginner = somebody("Contributor", GROUP_SCOPE)
    url = f"{GROUP_SCOPE}/providers/Microsoft.Network/virtualNetworks/vnet{next(numbers)}?api-version=2024-05-01"
    body = {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    operation = shared.ask("PUT", url, body, beginner).headers["Azure-AsyncOperation"]
    assert shared.refusal("GET", operation, principal=beginner) == (200, "")
    assert shared.refusal("GET", operation, principal=somebody(role, scope)) == refusal


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        (f"{DEFINITIONS}?api-version=2022-04-01", (200, "")),
        (f"{DEFINITIONS}/{READER}?api-version=2022-04-01", (200, "")),
        (f"{DEFINITIONS}/{TENANT_ID}?api-version=2022-04-01", (404, "RoleDefinitionDoesNotExist")),
        (RIGHTS, (403, "AuthorizationFailed")),
        ("/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01", (403, "AuthorizationFailed")),
    ],
)
def test_roles_are_read_in_the_tenant_by_whoever_signs_in(
    shared: World, somebody: Somebody, url: str, refusal: tuple[int, str]
) -> None:
    assert shared.refusal("GET", url, principal=somebody()) == refusal


def test_nothing_of_a_provider_is_written_before_it_is_registered(fresh: World) -> None:
    answer = fresh.ask("PUT", VAULT_URL, VAULT)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "MissingSubscriptionRegistration")
    assert error["message"].startswith("The subscription is not registered to use namespace 'Microsoft.KeyVault'.")
    assert fresh.ask("GET", VAULT_URL).status_code == 404
    check = f"{SCOPE}/providers/{CHECKS['vault']}"
    assert fresh.refusal("POST", check, {"name": "free"}) == (409, "MissingSubscriptionRegistration")
    assert fresh.vaults.live() == []


def test_registering_takes_a_while_and_writes_are_taken_meanwhile(fresh: World) -> None:
    provider = f"{SCOPE}/providers/Microsoft.KeyVault"
    before = fresh.ask("GET", f"{provider}?api-version=2022-09-01").json()
    begun = fresh.ask("POST", f"{provider}/register?api-version=2022-09-01").json()
    assert (before["registrationState"], begun["registrationState"]) == ("NotRegistered", "Registering")
    assert fresh.ask("PUT", VAULT_URL, VAULT).status_code == 200
    states = (fresh.ask("GET", f"{provider}?api-version=2022-09-01").json()["registrationState"] for _ in range(500))
    assert "Registered" in states
    storage = fresh.ask("GET", f"{SCOPE}/providers/Microsoft.Storage?api-version=2022-09-01").json()
    assert storage["registrationState"] == "NotRegistered"


@pytest.mark.parametrize(
    ("role", "scope", "refusal"),
    [
        ("Reader", SCOPE, (403, "AuthorizationFailed")),
        ("Contributor", GROUP_SCOPE, (403, "AuthorizationFailed")),
        ("Key Vault Contributor", SCOPE, (200, "")),
        ("Contributor", SCOPE, (200, "")),
    ],
)
def test_a_provider_is_registered_by_those_with_the_right_in_the_subscription(
    shared: World, somebody: Somebody, role: str, scope: str, refusal: tuple[int, str]
) -> None:
    url = f"{SCOPE}/providers/Microsoft.KeyVault/register?api-version=2022-09-01"
    assert shared.refusal("POST", url, principal=somebody(role, scope)) == refusal
