"""Long-running operations as clients see them: status, restarts, failures, and a group that goes with all it holds."""

import time

import pytest
from arm_world import GROUP, LOCATION, OPERATION_SECONDS, SCOPE, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.polling import LROPoller
from azure.identity import DefaultAzureCredential
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.core.polling.arm_polling import ARMPolling
from azure.mgmt.keyvault import KeyVaultManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from test_arm_clusters import CLUSTER
from test_arm_clusters import body as cluster_body
from test_arm_network import VNET
from test_arm_vaults import VAULT
from test_arm_vaults import body as vault_body

from lab.control.options import SUBSCRIPTION_ID


@pytest.fixture
def clusters(world: World, group: str):
    return world.client(ContainerServiceClient).managed_clusters


@pytest.fixture
def groups(world: World):
    return world.client(ResourceManagementClient).resource_groups


def first_answer(client_method, *arguments):
    """The HTTP answer that began an operation."""
    seen = []
    poller = client_method(*arguments, raw_response_hook=lambda item: seen.append(item.http_response))
    return seen[0], poller


def test_an_operation_is_under_way_until_the_backend_is_done(world, clusters, group):
    world.pause()
    answer, poller = first_answer(clusters.begin_create_or_update, group, CLUSTER, cluster_body())
    assert answer.status_code == 201
    assert (
        "/providers/Microsoft.ContainerService/locations/eastus2/operations/" in answer.headers["Azure-AsyncOperation"]
    )
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    poller.wait(0.3)
    assert not poller.done()
    assert poller.status() == "InProgress"
    world.resume()
    poller.wait(10)
    assert poller.status() == "Succeeded"


def test_an_operation_takes_its_least_time(world, clusters, group):
    began = time.monotonic()
    clusters.begin_create_or_update(group, CLUSTER, cluster_body()).result()
    assert time.monotonic() - began >= OPERATION_SECONDS


def test_clients_are_told_to_come_back_soon(clusters, group):
    answer, poller = first_answer(clusters.begin_create_or_update, group, CLUSTER, cluster_body())
    assert 50 <= int(answer.headers["x-ms-retry-after-ms"]) <= 200
    assert "Retry-After" not in answer.headers
    poller.result()


def test_another_client_goes_on_where_the_first_one_died(world, clusters, group):
    world.pause()
    poller = clusters.begin_create_or_update(group, CLUSTER, cluster_body())
    token = poller.continuation_token()
    world.resume()
    another = world.client(ContainerServiceClient)
    resumed = another.managed_clusters.begin_create_or_update(group, CLUSTER, cluster_body(), continuation_token=token)
    assert resumed.result().provisioning_state == "Succeeded"
    poller.result()


def test_a_restarted_client_finds_the_state_on_the_resource(world, clusters, group):
    world.pause()
    poller = clusters.begin_create_or_update(group, CLUSTER, cluster_body())
    another = world.client(ContainerServiceClient).managed_clusters
    assert another.get(group, CLUSTER).provisioning_state == "Creating"
    world.resume()
    poller.result()
    assert another.get(group, CLUSTER).provisioning_state == "Succeeded"


def test_operations_whose_id_nobody_knows_are_not_found(world, group):
    client = world.client(ResourceManagementClient)
    url = f"{world.url}{SCOPE}/providers/Microsoft.Compute/locations/eastus2/operations/none?api-version=2025-04-01"
    from azure.core.rest import HttpRequest

    answer = client._client.send_request(HttpRequest("GET", url))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")


def test_deleting_while_something_is_created_waits_for_it(world, clusters, group):
    world.pause()
    clusters.begin_create_or_update(group, CLUSTER, cluster_body(), polling=False)
    deleting = clusters.begin_delete(group, CLUSTER)
    again = clusters.begin_delete(group, CLUSTER)
    assert clusters.get(group, CLUSTER).provisioning_state == "Deleting"
    world.resume()
    deleting.wait(10)
    again.wait(10)
    assert world.backends.clusters[CLUSTER].stopped
    with pytest.raises(ResourceNotFoundError):
        clusters.get(group, CLUSTER)


def test_a_group_goes_with_everything_in_it(world, clusters, groups, group):
    clusters.begin_create_or_update(group, CLUSTER, cluster_body()).result()
    vaults = world.client(KeyVaultManagementClient).vaults
    vaults.begin_create_or_update(group, VAULT, vault_body()).result()
    network = world.client(NetworkManagementClient)
    network.virtual_networks.begin_create_or_update(group, "vnet", VNET).result()
    groups.create_or_update("other-rg", {"location": LOCATION})
    answer, poller = first_answer(groups.begin_delete, group)
    assert answer.status_code == 202
    assert "/operationresults/" in answer.headers["Location"]
    poller.result()
    assert world.backends.clusters[CLUSTER].stopped
    assert [item.name for item in groups.list()] == ["other-rg"]
    assert [item.name for item in vaults.list_deleted()] == [VAULT]
    with pytest.raises(ResourceNotFoundError) as caught:
        network.virtual_networks.get(group, "vnet")
    assert caught.value.error.code == "ResourceGroupNotFound"


def test_a_group_that_is_being_deleted_takes_nothing_new(world, clusters, groups, group):
    world.pause()
    clusters.begin_create_or_update(group, CLUSTER, cluster_body(), polling=False)
    deleting = groups.begin_delete(group)
    assert groups.get(group).properties.provisioning_state == "Deleting"
    network = world.client(NetworkManagementClient)
    with pytest.raises(ResourceExistsError) as caught:
        network.virtual_networks.begin_create_or_update(group, "vnet", VNET)
    assert (caught.value.status_code, caught.value.error.code) == (409, "ResourceGroupBeingDeleted")
    world.resume()
    deleting.result()
    assert not groups.check_existence(GROUP)


def test_a_failed_removal_leaves_the_group_and_says_why(world, clusters, groups, group, monkeypatch):
    clusters.begin_create_or_update(group, CLUSTER, cluster_body()).result()

    async def refuse():
        raise RuntimeError("a process does not end")

    with monkeypatch.context() as patch, pytest.raises(HttpResponseError) as caught:
        patch.setattr(world.backends.clusters[CLUSTER], "stop", refuse)
        groups.begin_delete(group).result()
    assert "ResourceGroupDeletionBlocked" in str(caught.value)
    assert "a process does not end" in str(caught.value)
    assert groups.get(group).properties.provisioning_state == "Succeeded"
    groups.begin_delete(group).result()
    assert not groups.check_existence(group)


def test_a_credential_from_the_environment_is_all_that_a_client_needs(world, group):
    with DefaultAzureCredential() as credential, ResourceManagementClient(credential, SUBSCRIPTION_ID) as client:
        assert [item.name for item in client.resource_groups.list()] == [group]


def test_resources_are_listed_in_group_and_subscription(world, clusters, group):
    client = world.client(ResourceManagementClient)
    clusters.begin_create_or_update(group, CLUSTER, cluster_body()).result()
    listed = [(item.name, item.type) for item in client.resources.list_by_resource_group(group)]
    assert listed == [(CLUSTER, "Microsoft.ContainerService/managedClusters")]
    assert [item.name for item in client.resources.list()] == [CLUSTER]
    assert client.providers.get("microsoft.compute").registration_state == "Registered"


def test_polling_that_nobody_set_up_is_quick_by_itself(world, group):
    """The SDK's own default is 30 s between two questions."""
    network = world.client(NetworkManagementClient)
    began = time.monotonic()
    poller: LROPoller = network.virtual_networks.begin_create_or_update(group, "vnet", VNET)
    assert isinstance(poller.polling_method(), ARMPolling)
    poller.result()
    assert time.monotonic() - began < 5
