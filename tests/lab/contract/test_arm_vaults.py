"""Vaults through the real client: names, settings that stay, soft delete and purge."""

import pytest
from arm_world import LOCATION, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.keyvault import KeyVaultManagementClient

from lab.control.options import TENANT_ID

VAULT = "dexterkeyvault"


def body(**properties):
    given = {"tenantId": TENANT_ID, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}
    return {"location": LOCATION, "properties": {**given, "accessPolicies": [], **properties}}


@pytest.fixture
def vaults(world: World, group: str):
    return world.client(KeyVaultManagementClient).vaults


@pytest.fixture
def vault(vaults, group):
    return vaults.begin_create_or_update(group, VAULT, body()).result()


def test_a_vault_is_ready_when_its_operation_is_over(world, vault, vaults, group):
    assert vault.properties.provisioning_state == "Succeeded"
    assert vault.properties.vault_uri == f"https://{VAULT}.vault.azure.net/"
    assert vault.properties.enable_rbac_authorization is True
    assert vault.properties.soft_delete_retention_in_days == 90
    assert world.vaults.find(VAULT).resource_id.lower() == vault.id.lower()
    assert vaults.get(group.upper(), VAULT.upper()).id == vault.id


def test_a_vault_that_is_being_made_says_so(world, vaults, group):
    poller = vaults.begin_create_or_update(group, VAULT, body())
    assert poller.status() == "RegisteringDns"
    assert poller.result().properties.provisioning_state == "Succeeded"


@pytest.mark.parametrize("name", ["1starts-with-digit", "two--hyphens", "ends-", "ab", "a" * 25, "under_score"])
def test_a_name_that_azure_refuses_is_refused(world, vaults, group, name):
    # The client checks some of it itself, before it asks.
    with pytest.raises((HttpResponseError, ValueError)) as caught:
        vaults.begin_create_or_update(group, name, body())
    if isinstance(caught.value, HttpResponseError):
        assert (caught.value.status_code, caught.value.error.code) == (400, "VaultNameNotValid")
        assert caught.value.error.message.startswith(f"The vault name '{name}' is invalid. A vault's name must be")
    assert world.vaults.live() == []


def test_a_name_that_another_group_has_is_taken(world, vault, vaults):
    from azure.mgmt.resource.resources import ResourceManagementClient

    world.client(ResourceManagementClient).resource_groups.create_or_update("other-rg", {"location": LOCATION})
    with pytest.raises(ResourceExistsError) as caught:
        vaults.begin_create_or_update("other-rg", VAULT, body())
    assert (caught.value.status_code, caught.value.error.code) == (409, "VaultAlreadyExists")
    with pytest.raises(ResourceNotFoundError):
        vaults.get("other-rg", VAULT)


def test_a_deleted_vault_holds_its_name_until_it_is_purged(world, vault, vaults, group):
    vaults.delete(group, VAULT)
    with pytest.raises(ResourceNotFoundError) as caught:
        vaults.get(group, VAULT)
    assert caught.value.error.code == "ResourceNotFound"
    deleted = vaults.get_deleted(VAULT, LOCATION)
    assert deleted.properties.vault_id == vault.id
    assert [item.name for item in vaults.list_deleted()] == [VAULT]
    with pytest.raises(ResourceExistsError) as conflict:
        vaults.begin_create_or_update(group, VAULT, body())
    assert conflict.value.error.code == "ConflictError"
    vaults.begin_purge_deleted(VAULT, LOCATION).result()
    with pytest.raises(ResourceNotFoundError) as gone:
        vaults.get_deleted(VAULT, LOCATION)
    assert gone.value.error.code == "DeletedVaultNotFound"
    assert vaults.begin_create_or_update(group, VAULT, body()).result().name == VAULT


def test_a_deleted_vault_comes_back_with_its_secrets(world, vault, vaults, group):
    world.call(lambda: world.vaults.find(VAULT).set_secret("username", "dexter"))
    vaults.delete(group, VAULT)
    vaults.begin_create_or_update(group, VAULT, body(createMode="recover")).result()
    assert world.vaults.find(VAULT).read_version("username").value == "dexter"
    assert list(vaults.list_deleted()) == []


def test_purge_protection_is_not_taken_back_and_refuses_the_purge(vaults, group):
    vaults.begin_create_or_update(group, VAULT, body(enablePurgeProtection=True)).result()
    with pytest.raises(HttpResponseError) as caught:
        vaults.update(group, VAULT, {"properties": {"enablePurgeProtection": False}})
    assert 'The property "enablePurgeProtection" cannot be set to false.' in caught.value.message
    vaults.delete(group, VAULT)
    with pytest.raises(HttpResponseError) as purge:
        vaults.begin_purge_deleted(VAULT, LOCATION)
    assert "purge protection is enabled" in purge.value.message
    assert [item.name for item in vaults.list_deleted()] == [VAULT]


def test_retention_cannot_change(vault, vaults, group):
    with pytest.raises(HttpResponseError) as caught:
        vaults.begin_create_or_update(group, VAULT, body(softDeleteRetentionInDays=7))
    assert 'The property "softDeleteRetentionInDays" has been set already' in caught.value.message
    assert vaults.get(group, VAULT).properties.soft_delete_retention_in_days == 90


def test_the_data_plane_follows_the_authorization_mode(world, vault, vaults, group):
    vaults.update(group, VAULT, {"properties": {"enableRbacAuthorization": False}, "tags": {"a": "b"}})
    assert vaults.get(group, VAULT).tags == {"a": "b"}
    assert world.vaults.find(VAULT).rbac is False


def test_a_vault_does_not_move(vault, vaults, group):
    with pytest.raises(ResourceExistsError) as caught:
        vaults.begin_create_or_update(group, VAULT, {**body(), "location": "westus"})
    assert caught.value.error.code == "InvalidResourceLocation"


def test_vaults_are_listed_in_group_and_subscription(vault, vaults, group):
    for found in (vaults.list_by_resource_group(group), vaults.list_by_subscription(), vaults.list()):
        assert [item.name for item in found] == [VAULT]


def test_names_are_told_to_be_free_or_not(vault, vaults):
    def check(name):
        return vaults.check_name_availability({"name": name, "type": "Microsoft.KeyVault/vaults"})

    assert check("anotherkeyvault").name_available is True
    assert (check(VAULT).name_available, check(VAULT).reason) == (False, "AlreadyExists")
    assert check("1bad").reason == "AccountNameInvalid"
