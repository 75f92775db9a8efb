"""Resource groups through the real client."""

import pytest
from arm_world import GROUP, LOCATION, SCOPE, World
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.mgmt.resource.resources import ResourceManagementClient

from lab.azure.directory import Principal


@pytest.fixture
def groups(world: World):
    return world.client(ResourceManagementClient).resource_groups


def test_a_group_is_created_updated_and_found_whatever_the_case(groups):
    made = groups.create_or_update("My-Group", {"location": "East US 2", "tags": {"a": "1"}})
    assert (made.name, made.location, made.tags) == ("My-Group", "eastus2", {"a": "1"})
    assert made.properties.provisioning_state == "Succeeded"
    assert groups.get("MY-group").id == f"{SCOPE}/resourceGroups/My-Group"
    groups.update("my-group", {"tags": {"b": "2"}})
    assert groups.get("My-Group").tags == {"b": "2"}
    assert [item.name for item in groups.list()] == ["My-Group"]


def test_existence_is_answered_by_head(groups):
    assert not groups.check_existence(GROUP)
    groups.create_or_update(GROUP, {"location": LOCATION})
    assert groups.check_existence(GROUP.upper())


def test_a_missing_group_is_named_in_the_error(groups):
    with pytest.raises(ResourceNotFoundError) as caught:
        groups.get("nowhere-rg")
    assert caught.value.error.code == "ResourceGroupNotFound"
    assert caught.value.error.message == "Resource group 'nowhere-rg' could not be found."


@pytest.mark.parametrize(("name", "wrong"), [("ends-with.", "."), ("has space", " "), ("h@t", "@")])
def test_a_name_that_azure_refuses_is_refused(groups, name, wrong):
    with pytest.raises(HttpResponseError) as caught:
        groups.create_or_update(name, {"location": LOCATION})
    assert caught.value.status_code == 400
    assert caught.value.error.code == "InvalidResourceGroup"
    assert f"has these invalid characters: '{wrong}'" in caught.value.error.message
    assert list(groups.list()) == []


def test_a_group_does_not_move(groups):
    groups.create_or_update(GROUP, {"location": LOCATION})
    with pytest.raises(HttpResponseError) as caught:
        groups.create_or_update(GROUP, {"location": "westus"})
    assert (caught.value.status_code, caught.value.error.code) == (409, "InvalidResourceGroupLocation")
    assert groups.get(GROUP).location == LOCATION


def test_an_unknown_region_is_refused(groups):
    with pytest.raises(HttpResponseError) as caught:
        groups.create_or_update(GROUP, {"location": "atlantis"})
    assert caught.value.error.code == "LocationNotAvailableForResourceType"


def test_deleting_a_group_that_is_not_there_is_an_error(groups):
    with pytest.raises(ResourceNotFoundError) as caught:
        groups.begin_delete("nowhere-rg")
    assert caught.value.error.code == "ResourceGroupNotFound"


def test_a_stranger_is_told_which_action_is_missing(world, group):
    outsider: Principal = world.directory.add_user_identity("/x/outsider")
    client = world.client(ResourceManagementClient, outsider)
    with pytest.raises(HttpResponseError) as caught:
        client.resource_groups.get(group)
    assert (caught.value.status_code, caught.value.error.code) == (403, "AuthorizationFailed")
    assert caught.value.error.message == (
        f"The client '{outsider.client_id}' with object id '{outsider.object_id}' does not have authorization to "
        f"perform action 'Microsoft.Resources/subscriptions/resourceGroups/read' over scope "
        f"'{SCOPE}/resourcegroups/{group}' or the scope is invalid. If access was recently granted, please refresh "
        "your credentials."
    )


def test_an_identity_that_was_deleted_is_not_recognised(world):
    outsider: Principal = world.directory.add_user_identity("/x/outsider")
    world.directory.remove(outsider.object_id)
    client = world.client(ResourceManagementClient, outsider)
    with pytest.raises(ClientAuthenticationError) as caught:
        client.resource_groups.get(GROUP)
    assert caught.value.error.code == "InvalidAuthenticationToken"
    assert 'authorization_uri="https://login.microsoftonline.com/' in caught.value.response.headers["WWW-Authenticate"]
