"""What a virtual machine stands on: security group, network, public address and interface.

azure.mgmt.network takes seconds to import, so it is imported where it is used.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_last, get_location, get_resource_id
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import NotFound
from infra.provisioning.plan import Found
from infra.provisioning.resources import Network, NetworkInterface, PublicAddress, SecurityGroup
from infra.settings import Settings

if TYPE_CHECKING:
    from azure.mgmt.network import NetworkManagementClient, models

T = TypeVar("T")
_KIND = "Microsoft.Network"


def find_security_group(name: str, group: str, settings: Settings) -> Found | None:
    """Return a network security group, or None."""
    found = _find(name, settings, lambda client: client.network_security_groups.get(group, name))
    return None if found is None else _found(SecurityGroup(name=name, location=get_location(found.location)), found)


def put_security_group(wanted: SecurityGroup, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a security group with Azure's default rules: nothing comes in from the internet."""
    parameters: Any = {"location": wanted.location}
    with _opened("Cannot create the network security group", wanted.name, settings) as client:
        poller = client.network_security_groups.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"Creating the network security group {wanted.name}", on_progress)


def find_public_address(name: str, group: str, settings: Settings) -> Found | None:
    """Return a public address, or None."""
    found = _find(name, settings, lambda client: client.public_ip_addresses.get(group, name))
    if found is None:
        return None
    sku = str(getattr(found.sku and found.sku.name, "value", found.sku and found.sku.name) or "Basic")
    return _found(PublicAddress(name=name, location=get_location(found.location), sku=sku), found)


def put_public_address(wanted: PublicAddress, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a static public address."""
    parameters: Any = {
        "location": wanted.location,
        "sku": {"name": wanted.sku},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    with _opened("Cannot create the public address", wanted.name, settings) as client:
        poller = client.public_ip_addresses.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"Creating the public address {wanted.name}", on_progress)


def find_network(wanted: Network, group: str, settings: Settings) -> Found | None:
    """Return a virtual network, with the security group of the wanted subnet, or None."""
    found = _find(wanted.name, settings, lambda client: client.virtual_networks.get(group, wanted.name))
    if found is None:
        return None
    properties = found.properties
    space = properties and properties.address_space and properties.address_space.address_prefixes
    subnet = _get_subnet(found, wanted.subnet)
    guard = subnet and subnet.properties and subnet.properties.network_security_group
    seen = Network(
        name=wanted.name,
        location=get_location(found.location),
        addresses=", ".join(space or []),
        subnet=wanted.subnet if subnet else "",
        security_group=get_last(guard.id if guard else ""),
    )
    return _found(seen, found)


def put_network(wanted: Network, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a virtual network with its subnet, or give the subnet its security group; other subnets are kept."""
    guard = _id(settings, group, "networkSecurityGroups", wanted.security_group)
    found = _find(wanted.name, settings, lambda client: client.virtual_networks.get(group, wanted.name))
    subnet: Any = {
        "name": wanted.subnet,
        "properties": {"addressPrefix": wanted.addresses, "networkSecurityGroup": {"id": guard}},
    }
    with _opened("Cannot create the virtual network", wanted.name, settings) as client:
        if found is not None:
            poller: Any = client.subnets.begin_create_or_update(group, wanted.name, wanted.subnet, subnet)
        else:
            parameters: Any = {
                "location": wanted.location,
                "properties": {"addressSpace": {"addressPrefixes": [wanted.addresses]}, "subnets": [subnet]},
            }
            poller = client.virtual_networks.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"Creating the virtual network {wanted.name}", on_progress)


def find_interface(name: str, group: str, settings: Settings) -> Found | None:
    """Return a network interface with the names of its network and public address, or None."""
    found = _find(name, settings, lambda client: client.network_interfaces.get(group, name))
    if found is None:
        return None
    configurations = (found.properties and found.properties.ip_configurations) or []
    first = configurations[0].properties if configurations else None
    subnet = (first and first.subnet and first.subnet.id) or ""
    seen = NetworkInterface(
        name=name,
        location=get_location(found.location),
        network=get_last(subnet.rsplit("/subnets/", 1)[0]),
        subnet=get_last(subnet),
        public_address=get_last(first.public_ip_address.id if first and first.public_ip_address else ""),
    )
    return _found(seen, found)


def put_interface(wanted: NetworkInterface, group: str, settings: Settings, on_progress: OnProgress = ignore) -> None:
    """Make a network interface with one address in the subnet and the public address."""
    network = _id(settings, group, "virtualNetworks", wanted.network)
    address = _id(settings, group, "publicIPAddresses", wanted.public_address)
    configuration = {
        "name": "primary",
        "properties": {
            "privateIPAllocationMethod": "Dynamic",
            "subnet": {"id": f"{network}/subnets/{wanted.subnet}"},
            "publicIPAddress": {"id": address},
        },
    }
    parameters: Any = {"location": wanted.location, "properties": {"ipConfigurations": [configuration]}}
    with _opened("Cannot create the network interface", wanted.name, settings) as client:
        poller = client.network_interfaces.begin_create_or_update(group, wanted.name, parameters)
        finish(poller, f"Creating the network interface {wanted.name}", on_progress)


def _id(settings: Settings, group: str, kind: str, name: str) -> str:
    return get_resource_id(settings.subscription_id, group, f"{_KIND}/{kind}", name)


def _get_subnet(found: "models.VirtualNetwork", name: str) -> "models.Subnet | None":
    subnets = (found.properties and found.properties.subnets) or []
    return next((one for one in subnets if one.name == name), None)


def _found(seen: Any, found: Any) -> Found:
    state = found.properties.provisioning_state if found.properties else ""
    said = str(getattr(state, "value", state) or "")
    return Found(seen, get_state(said), said)


def _find(name: str, settings: Settings, get: Callable[["NetworkManagementClient"], T]) -> T | None:
    try:
        with _opened("Cannot look at the network", name, settings) as client:
            return get(client)
    except NotFound:
        return None


@contextmanager
def _opened(what: str, name: str, settings: Settings) -> Iterator["NetworkManagementClient"]:
    from azure.mgmt.network import NetworkManagementClient

    with (
        translated(what, name=name, role="Network Contributor", scope="the resource group"),
        managed(NetworkManagementClient, settings) as client,
    ):
        yield client
