"""Storage accounts and containers through the real client."""

import pytest
from arm_world import LOCATION, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.storage import StorageManagementClient

ACCOUNT = "integrateakskvtachotacho"
BODY = {"location": LOCATION, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}


@pytest.fixture
def storage(world: World, group: str) -> StorageManagementClient:
    return world.client(StorageManagementClient)


@pytest.fixture
def account(storage, group):
    return storage.storage_accounts.begin_create(group, ACCOUNT, BODY).result()


def test_an_account_has_its_endpoints(world, account, storage, group):
    assert account.provisioning_state == "Succeeded"
    assert account.primary_endpoints.blob == f"https://{ACCOUNT}.blob.core.windows.net/"
    assert account.sku.tier == "Standard"
    assert world.storage.find(ACCOUNT).resource_id.lower() == account.id.lower()
    assert [item.name for item in storage.storage_accounts.list_by_resource_group(group)] == [ACCOUNT]


def test_creating_an_account_again_leaves_its_blobs(world, account, storage, group):
    world.call(lambda: world.storage.find(ACCOUNT).create_container("dexter"))
    again = storage.storage_accounts.begin_create(group, ACCOUNT, BODY).result()
    assert (again.id, again.creation_time) == (account.id, account.creation_time)
    assert world.storage.find(ACCOUNT).find_container("dexter")


@pytest.mark.parametrize("name", ["Upper", "with-hyphen", "a" * 25, "ab"])
def test_a_name_that_azure_refuses_is_refused(world, storage, group, name):
    with pytest.raises((HttpResponseError, ValueError)) as caught:
        storage.storage_accounts.begin_create(group, name, BODY)
    if isinstance(caught.value, HttpResponseError):
        assert (caught.value.status_code, caught.value.error.code) == (400, "AccountNameInvalid")
        assert caught.value.error.message.startswith(f"{name} is not a valid storage account name.")
    assert world.storage.live() == []


def test_a_kind_cannot_change(account, storage, group):
    with pytest.raises(HttpResponseError) as caught:
        storage.storage_accounts.begin_create(group, ACCOUNT, {**BODY, "kind": "BlobStorage"})
    assert (caught.value.error.code, caught.value.error.target) == ("PropertyChangeNotAllowed", "kind")
    assert storage.storage_accounts.get_properties(group, ACCOUNT).kind == "StorageV2"


def test_containers_are_made_on_either_plane(world, account, storage, group):
    made = storage.blob_containers.create(group, ACCOUNT, "dexter", {})
    assert made.name == "dexter"
    world.call(lambda: world.storage.find(ACCOUNT).create_container("other"))
    assert [item.name for item in storage.blob_containers.list(group, ACCOUNT)] == ["dexter", "other"]
    assert storage.blob_containers.get(group, ACCOUNT, "other").lease_state == "Available"
    storage.blob_containers.delete(group, ACCOUNT, "dexter")
    assert world.storage.find(ACCOUNT).find_container("dexter") is None
    with pytest.raises(ResourceNotFoundError) as caught:
        storage.blob_containers.get(group, ACCOUNT, "dexter")
    assert caught.value.error.code == "ContainerNotFound"


def test_a_container_needs_its_account(storage, group):
    with pytest.raises(ResourceNotFoundError) as caught:
        storage.blob_containers.create(group, "nowhere", "dexter", {})
    assert caught.value.error.code == "ResourceNotFound"


def test_settings_are_changed_by_patch(account, storage, group):
    changed = storage.storage_accounts.update(group, ACCOUNT, {"properties": {"minimumTlsVersion": "TLS1_3"}})
    assert changed.minimum_tls_version == "TLS1_3"
    assert changed.primary_endpoints.blob == account.primary_endpoints.blob


def test_a_deleted_account_is_gone_with_its_data(world, account, storage, group):
    storage.storage_accounts.delete(group, ACCOUNT)
    assert world.storage.find(ACCOUNT) is None
    with pytest.raises(ResourceNotFoundError):
        storage.storage_accounts.get_properties(group, ACCOUNT)
    storage.storage_accounts.delete(group, ACCOUNT)
    assert storage.storage_accounts.check_name_availability({"name": ACCOUNT}).name_available is True


def test_a_name_that_another_group_has_is_taken(world, account, storage):
    from azure.mgmt.resource.resources import ResourceManagementClient

    world.client(ResourceManagementClient).resource_groups.create_or_update("other-rg", {"location": LOCATION})
    with pytest.raises(ResourceExistsError) as caught:
        storage.storage_accounts.begin_create("other-rg", ACCOUNT, BODY)
    assert caught.value.error.code == "StorageAccountAlreadyTaken"
