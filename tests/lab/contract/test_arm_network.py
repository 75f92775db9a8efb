"""Networks, interfaces and machines through the real clients."""

import pytest
from arm_world import LOCATION, SCOPE, World
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient

from lab.azure.backends import CommandResult
from lab.control.options import TENANT_ID

VNET = {
    "location": LOCATION,
    "properties": {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.1.0/24"}}],
    },
}
PASSWORD = "Canary-Machine-1"
IMAGE = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}


def machine_body(interface_id: str, **changes):
    return {
        "location": LOCATION,
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {"imageReference": IMAGE, "osDisk": {"createOption": "FromImage"}},
            "osProfile": {"computerName": "AzureVM-Server", "adminUsername": "azureuser", "adminPassword": PASSWORD},
            "networkProfile": {"networkInterfaces": [{"id": interface_id}]},
            **changes,
        },
    }


@pytest.fixture
def network(world: World) -> NetworkManagementClient:
    return world.client(NetworkManagementClient)


@pytest.fixture
def machines(world: World):
    return world.client(ComputeManagementClient).virtual_machines


@pytest.fixture
def interface(network, group):
    vnet = network.virtual_networks.begin_create_or_update(group, "vnet", VNET).result()
    address = {"location": LOCATION, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    public = network.public_ip_addresses.begin_create_or_update(group, "ip", address).result()
    settings = {"subnet": {"id": vnet.subnets[0].id}, "publicIPAddress": {"id": public.id}}
    body = {"location": LOCATION, "properties": {"ipConfigurations": [{"name": "main", "properties": settings}]}}
    return network.network_interfaces.begin_create_or_update(group, "nic", body).result()


@pytest.fixture
def machine(machines, group, interface):
    return machines.begin_create_or_update(group, "AzureVM-Server", machine_body(interface.id)).result()


def test_an_interface_gets_an_address_in_its_subnet(network, interface, group):
    configuration = interface.ip_configurations[0]
    assert configuration.private_ip_address == "10.0.1.4"
    assert interface.provisioning_state == "Succeeded"
    assert network.public_ip_addresses.get(group, "IP").ip_address == "203.0.113.1"
    assert network.subnets.get(group, "vnet", "default").address_prefix == "10.0.1.0/24"


def test_subnets_and_rules_are_written_alone_too(network, group):
    network.virtual_networks.begin_create_or_update(group, "vnet", VNET).result()
    network.subnets.begin_create_or_update(
        group, "vnet", "second", {"properties": {"addressPrefix": "10.0.2.0/24"}}
    ).result()
    assert [item.name for item in network.virtual_networks.get(group, "vnet").subnets] == ["default", "second"]
    rule = {
        "protocol": "Tcp", "direction": "Inbound", "access": "Allow", "priority": 100, "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22",
    }  # fmt: skip
    body = {"location": LOCATION, "properties": {"securityRules": [{"name": "ssh", "properties": rule}]}}
    made = network.network_security_groups.begin_create_or_update(group, "nsg", body).result()
    assert [(item.name, item.priority) for item in made.security_rules] == [("ssh", 100)]


def test_a_subnet_outside_of_its_network_is_refused(network, group):
    network.virtual_networks.begin_create_or_update(group, "vnet", VNET).result()
    with pytest.raises(HttpResponseError) as caught:
        network.subnets.begin_create_or_update(
            group, "vnet", "far", {"properties": {"addressPrefix": "192.168.0.0/24"}}
        )
    assert caught.value.error.code == "NetcfgSubnetRangeOutsideVnet"
    assert [item.name for item in network.subnets.list(group, "vnet")] == ["default"]


def test_an_interface_in_a_subnet_that_is_not_there_is_refused(network, group):
    settings = {
        "subnet": {"id": f"{SCOPE}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/a/subnets/b"}
    }
    body = {"location": LOCATION, "properties": {"ipConfigurations": [{"name": "main", "properties": settings}]}}
    with pytest.raises(HttpResponseError) as caught:
        network.network_interfaces.begin_create_or_update(group, "nic", body)
    assert (caught.value.status_code, caught.value.error.code) == (400, "InvalidResourceReference")


def test_what_is_in_use_is_not_deleted(network, machine, group):
    for begin, code in (
        (lambda: network.network_interfaces.begin_delete(group, "nic"), "NicInUse"),
        (lambda: network.subnets.begin_delete(group, "vnet", "default"), "InUseSubnetCannotBeDeleted"),
        (lambda: network.virtual_networks.begin_delete(group, "vnet"), "InUseSubnetCannotBeDeleted"),
        (lambda: network.public_ip_addresses.begin_delete(group, "ip"), "PublicIPAddressCannotBeDeleted"),
    ):
        with pytest.raises(HttpResponseError) as caught:
            begin()
        assert (caught.value.status_code, caught.value.error.code) == (400, code)


def test_a_machine_has_an_identity_of_its_own_and_shows_no_password(world, machine, machines, group):
    principal = world.directory.by_resource_id(machine.id)
    assert machine.identity.principal_id == principal.object_id
    assert machine.identity.tenant_id == TENANT_ID
    assert machine.provisioning_state == "Succeeded"
    assert world.backends.machines == {machine.id.lower(): "AzureVM-Server"}
    assert PASSWORD not in str(machine.as_dict())
    assert machines.get(group, "AZUREVM-SERVER").name == "AzureVM-Server"


def test_a_machine_may_have_identities_of_others(world, machine, machines, group):
    identity = world.client(ManagedServiceIdentityClient).user_assigned_identities.create_or_update(
        group, "id-aks-uai", {"location": LOCATION}
    )
    both = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {identity.id: {}}}
    changed = machines.begin_update(group, "AzureVM-Server", {"identity": both}).result()
    assert changed.identity.user_assigned_identities[identity.id].client_id == identity.client_id
    assert changed.identity.principal_id == machine.identity.principal_id
    assert [item.object_id for item in world.directory.attached(machine.id)] == [identity.principal_id]
    machines.begin_update(group, "AzureVM-Server", {"identity": {"type": "None"}}).result()
    assert world.directory.attached(machine.id) == []
    assert world.directory.by_resource_id(machine.id) is None


def test_an_identity_is_lent_by_those_who_may_assign_it(world, machine, group):
    identity = world.client(ManagedServiceIdentityClient).user_assigned_identities.create_or_update(
        group, "id-aks-uai", {"location": LOCATION}
    )
    principal = world.directory.add_user_identity("/x/builder")
    builder = "9980e02c-c2be-4d73-94e8-173b1dc7cf3c"
    world.call(lambda: world.access.assign(f"{SCOPE}/resourceGroups/{group}", builder, principal.object_id, "one"))
    theirs = world.client(ComputeManagementClient, principal).virtual_machines
    given = {"type": "UserAssigned", "userAssignedIdentities": {identity.id: {}}}
    with pytest.raises(HttpResponseError) as caught:
        theirs.begin_update(group, "AzureVM-Server", {"identity": given})
    assert (caught.value.status_code, caught.value.error.code) == (403, "LinkedAuthorizationFailed")
    assert world.directory.attached(machine.id) == []


def test_an_interface_knows_its_machine(network, machine, group):
    assert network.network_interfaces.get(group, "nic").virtual_machine.id == machine.id


def test_creating_a_machine_again_changes_nothing(world, machine, machines, interface, group):
    again = machines.begin_create_or_update(group, "AzureVM-Server", machine_body(interface.id)).result()
    assert again.identity.principal_id == machine.identity.principal_id
    assert again.vm_id == machine.vm_id
    assert len(world.backends.machines) == 1


def test_an_administrators_name_cannot_change(machine, machines, interface, group):
    body = machine_body(interface.id, osProfile={"computerName": "AzureVM-Server", "adminUsername": "somebody"})
    with pytest.raises(ResourceExistsError) as caught:
        machines.begin_create_or_update(group, "AzureVM-Server", body)
    assert (caught.value.status_code, caught.value.error.code) == (409, "PropertyChangeNotAllowed")
    assert caught.value.error.target == "osProfile.adminUsername"
    assert machines.get(group, "AzureVM-Server").os_profile.admin_username == "azureuser"


def test_a_command_runs_on_a_machine(world, machine, machines, group):
    world.backends.result = CommandResult("hello\n", "warned\n", 0)
    body = {"commandId": "RunShellScript", "script": ["echo hello", "echo warned >&2"]}
    result = machines.begin_run_command(group, "AzureVM-Server", body).result()
    assert [item.code for item in result.value] == ["ProvisioningState/succeeded"]
    assert result.value[0].message == "Enable succeeded: \n[stdout]\nhello\n\n[stderr]\nwarned\n"
    assert world.backends.scripts == ["echo hello\necho warned >&2\n"]


def test_a_command_that_fails_is_told_in_the_message_alone(world, machine, machines, group):
    world.backends.result = CommandResult("", "no\n", 22)
    result = machines.begin_run_command(
        group, "AzureVM-Server", {"commandId": "RunShellScript", "script": ["x"]}
    ).result()
    assert result.value[0].code == "ProvisioningState/succeeded"
    assert result.value[0].message.startswith(
        "Enable failed: failed to execute command: command terminated with exit status=22\n"
    )


def test_one_command_runs_at_a_time(world, machine, machines, group):
    body = {"commandId": "RunShellScript", "script": ["sleep 1"]}
    world.pause()
    first = machines.begin_run_command(group, "AzureVM-Server", body)
    with pytest.raises(ResourceExistsError) as caught:
        machines.begin_run_command(group, "AzureVM-Server", body)
    assert (caught.value.error.code, "Run command extension execution is in progress" in caught.value.message) == (
        "Conflict",
        True,
    )
    world.resume()
    first.result()


def test_a_machine_that_cannot_be_started_is_failed_and_can_be_tried_again(world, machines, interface, group):
    world.backends.failure = RuntimeError("no more addresses")
    with pytest.raises(HttpResponseError) as caught:
        machines.begin_create_or_update(group, "AzureVM-Server", machine_body(interface.id)).result()
    assert "no more addresses" in str(caught.value)
    assert machines.get(group, "AzureVM-Server").provisioning_state == "Failed"
    world.backends.failure = None
    body = machine_body(interface.id)
    assert machines.begin_create_or_update(group, "AzureVM-Server", body).result().provisioning_state == "Succeeded"


def test_deleting_a_machine_takes_its_identity_along(world, machine, machines, network, group):
    machines.begin_delete(group, "AzureVM-Server").result()
    assert world.backends.machines == {}
    assert world.directory.by_resource_id(machine.id) is None
    with pytest.raises(ResourceNotFoundError) as caught:
        machines.get(group, "AzureVM-Server")
    assert caught.value.error.code == "ResourceNotFound"
    assert caught.value.error.message == (
        f"The Resource 'Microsoft.Compute/virtualMachines/AzureVM-Server' under resource group '{group}' was not "
        "found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    network.network_interfaces.begin_delete(group, "nic").result()
    assert list(network.network_interfaces.list(group)) == []
