"""The caller's permissions on a resource, through the real client."""

import pytest
from arm_world import World
from azure.core.exceptions import HttpResponseError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.keyvault import KeyVaultManagementClient

from lab.azure.directory import Principal
from lab.control.options import SUBSCRIPTION_ID, TENANT_ID

VAULT = "permissionskv"
OFFICER, READER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "acdd72a7-3385-48ef-bd42-f606fba81ae7"
PROPERTIES = {"tenantId": TENANT_ID, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}


@pytest.fixture
def vault(world: World, group: str) -> str:
    client = world.client(KeyVaultManagementClient)
    body = {"location": "eastus2", "properties": {**PROPERTIES, "accessPolicies": []}}
    return str(client.vaults.begin_create_or_update(group, VAULT, body).result().id)


@pytest.fixture
def somebody(world: World) -> Principal:
    made: Principal = world.directory.add_application("somebody")[0]
    return made


def permissions(world: World, group: str, principal: Principal | None = None) -> list[dict[str, list[str]]]:
    client = world.client(AuthorizationManagementClient, principal)
    found = client.permissions.list_for_resource(group, "Microsoft.KeyVault", "", "vaults", VAULT)
    return [permission.as_dict() for permission in found]


def test_the_owner_may_do_everything_but_use_the_data(world: World, group: str, vault: str) -> None:
    (owner,) = permissions(world, group)
    assert owner["actions"] == ["*"]
    assert not owner["data_actions"]


def test_each_role_that_is_in_effect_at_or_above_the_resource_is_an_entry(
    world: World, group: str, vault: str, somebody: Principal
) -> None:
    for name, (role, scope) in enumerate(((OFFICER, vault), (READER, f"/subscriptions/{SUBSCRIPTION_ID}"))):
        world.access.assign(scope, role, somebody.object_id, f"{name:08}-0000-4000-8000-000000000000")
    officer, reader = permissions(world, group, somebody)
    assert officer["data_actions"] == ["Microsoft.KeyVault/vaults/secrets/*"]
    assert reader["actions"] == ["*/read"]


def test_who_has_no_role_may_not_even_ask(world: World, group: str, vault: str, somebody: Principal) -> None:
    with pytest.raises(HttpResponseError) as caught:
        permissions(world, group, somebody)
    assert (caught.value.status_code, caught.value.error and caught.value.error.code) == (403, "AuthorizationFailed")


def test_a_resource_that_does_not_exist_is_named(world: World, group: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        permissions(world, group)
    assert caught.value.status_code == 404
