"""What a virtual machine stands on: security group, network, public address and interface.

azure.mgmt.network takes seconds to import, so it is imported where it is used.
"""

from typing import TYPE_CHECKING, Any

from infra.azure.arm import ArmKind, as_found, get_last, get_location, word
from infra.provisioning.kinds import Found, OnProgress, R, ignore
from infra.provisioning.resources import Network, NetworkInterface, PublicAddress, SecurityGroup

if TYPE_CHECKING:
    from azure.mgmt.network import NetworkManagementClient, models


def _open_client(*arguments: Any, **options: Any) -> "NetworkManagementClient":
    from azure.mgmt.network import NetworkManagementClient

    return NetworkManagementClient(*arguments, **options)


class NetworkKind(ArmKind[R, "NetworkManagementClient"]):
    """Base of the kinds of Microsoft.Network."""

    role = "Network Contributor"

    open_client = staticmethod(_open_client)

    def id_of(self, collection: str, name: str) -> str:
        """Return the id of a resource in a collection like "virtualNetworks"."""
        return self.azure.resource_id(self.group, f"Microsoft.Network/{collection}", name)


class SecurityGroups(NetworkKind[SecurityGroup]):
    """Network security groups with Azure's default rules: nothing comes in from the internet."""

    resource = SecurityGroup
    action = "Microsoft.Network/networkSecurityGroups/write"

    def find(self, wanted: SecurityGroup) -> Found | None:
        """Return a security group, or None."""
        found = self.look(wanted.name, lambda client: client.network_security_groups.get(self.group, wanted.name))
        if found is None:
            return None
        return _as_found(SecurityGroup(name=wanted.name, location=get_location(found.location)), found)

    def put(self, wanted: SecurityGroup, on_progress: OnProgress = ignore) -> None:
        """Make a security group."""
        parameters: Any = {"location": wanted.location}
        with self.changing(wanted.name) as client:
            poller = client.network_security_groups.begin_create_or_update(self.group, wanted.name, parameters)
            self.follow(poller, "Creating", wanted.name, on_progress)


class PublicAddresses(NetworkKind[PublicAddress]):
    """Static public addresses."""

    resource = PublicAddress
    action = "Microsoft.Network/publicIPAddresses/write"

    def find(self, wanted: PublicAddress) -> Found | None:
        """Return a public address, or None."""
        found = self.look(wanted.name, lambda client: client.public_ip_addresses.get(self.group, wanted.name))
        if found is None:
            return None
        sku = word(found.sku and found.sku.name) or "Basic"
        return _as_found(PublicAddress(name=wanted.name, location=get_location(found.location), sku=sku), found)

    def put(self, wanted: PublicAddress, on_progress: OnProgress = ignore) -> None:
        """Make a static public address."""
        parameters: Any = {
            "location": wanted.location,
            "sku": {"name": wanted.sku},
            "properties": {"publicIPAllocationMethod": "Static"},
        }
        with self.changing(wanted.name) as client:
            poller = client.public_ip_addresses.begin_create_or_update(self.group, wanted.name, parameters)
            self.follow(poller, "Creating", wanted.name, on_progress)


class Networks(NetworkKind[Network]):
    """Virtual networks, each with the one subnet that is wanted; other subnets are kept."""

    resource = Network
    action = "Microsoft.Network/virtualNetworks/write"

    def find(self, wanted: Network) -> Found | None:
        """Return a virtual network, with the security group of the wanted subnet, or None."""
        found = self._find(wanted.name)
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
        return _as_found(seen, found)

    def put(self, wanted: Network, on_progress: OnProgress = ignore) -> None:
        """Make a virtual network with its subnet, or give the subnet its security group."""
        exists = self._find(wanted.name) is not None
        guard = self.id_of("networkSecurityGroups", wanted.security_group)
        subnet: Any = {
            "name": wanted.subnet,
            "properties": {"addressPrefix": wanted.addresses, "networkSecurityGroup": {"id": guard}},
        }
        parameters: Any = {
            "location": wanted.location,
            "properties": {"addressSpace": {"addressPrefixes": [wanted.addresses]}, "subnets": [subnet]},
        }
        with self.changing(wanted.name) as client:
            poller: Any
            if exists:
                poller = client.subnets.begin_create_or_update(self.group, wanted.name, wanted.subnet, subnet)
            else:
                poller = client.virtual_networks.begin_create_or_update(self.group, wanted.name, parameters)
            self.follow(poller, "Changing" if exists else "Creating", wanted.name, on_progress)

    def _find(self, name: str) -> "models.VirtualNetwork | None":
        return self.look(name, lambda client: client.virtual_networks.get(self.group, name))


class NetworkInterfaces(NetworkKind[NetworkInterface]):
    """Network interfaces with one address in the subnet and a public one."""

    resource = NetworkInterface
    action = "Microsoft.Network/networkInterfaces/write"

    def find(self, wanted: NetworkInterface) -> Found | None:
        """Return a network interface with the names of its network and public address, or None."""
        found = self.look(wanted.name, lambda client: client.network_interfaces.get(self.group, wanted.name))
        if found is None:
            return None
        configurations = (found.properties and found.properties.ip_configurations) or []
        first = configurations[0].properties if configurations else None
        subnet = (first and first.subnet and first.subnet.id) or ""
        seen = NetworkInterface(
            name=wanted.name,
            location=get_location(found.location),
            network=get_last(subnet.rsplit("/subnets/", 1)[0]),
            subnet=get_last(subnet),
            public_address=get_last(first.public_ip_address.id if first and first.public_ip_address else ""),
        )
        return _as_found(seen, found)

    def put(self, wanted: NetworkInterface, on_progress: OnProgress = ignore) -> None:
        """Make a network interface."""
        network = self.id_of("virtualNetworks", wanted.network)
        configuration = {
            "name": "primary",
            "properties": {
                "privateIPAllocationMethod": "Dynamic",
                "subnet": {"id": f"{network}/subnets/{wanted.subnet}"},
                "publicIPAddress": {"id": self.id_of("publicIPAddresses", wanted.public_address)},
            },
        }
        parameters: Any = {"location": wanted.location, "properties": {"ipConfigurations": [configuration]}}
        with self.changing(wanted.name) as client:
            poller = client.network_interfaces.begin_create_or_update(self.group, wanted.name, parameters)
            self.follow(poller, "Creating", wanted.name, on_progress)


def _get_subnet(found: "models.VirtualNetwork", name: str) -> "models.Subnet | None":
    subnets = (found.properties and found.properties.subnets) or []
    return next((subnet for subnet in subnets if subnet.name == name), None)


def _as_found(seen: Any, found: Any) -> Found:
    return as_found(seen, found.properties.provisioning_state if found.properties else "")
