"""Microsoft.Network: virtual networks, subnets, security groups, public addresses and interfaces.

They are kept and checked against each other; no packet goes through them.
https://learn.microsoft.com/rest/api/virtualnetwork
"""

import hashlib
import ipaddress
from itertools import islice
from typing import Any, ClassVar

from lab.azure.arm import errors, ids, names
from lab.azure.arm.bodies import dig
from lab.azure.arm.context import Call
from lab.azure.arm.errors import ArmError
from lab.azure.arm.kinds import Kind
from lab.azure.arm.network_rules import (
    ADDRESS_RULES,
    DEFAULT_RULES,
    INTERFACE_RULES,
    NEW_ADDRESS_RULES,
    check_security_rules,
)
from lab.azure.arm.operations import Reply
from lab.azure.arm.store import Resource


class Network(Kind):
    """What the network's types have in common: names, and that nothing in use is deleted."""

    name_rule = names.NETWORK_NAME
    has_etag = True
    making_state = "Updating"
    in_use: ClassVar[tuple[str, str]]
    """Code and text for a deletion while others use it; `{id}` and `{user}` are replaced."""

    async def patch(self, call: Call) -> Reply:
        """Change the tags; the network's types take nothing else by PATCH."""
        resource = self.require(call.path)
        resource.body["tags"] = dict(call.body.get("tags") or {})
        return Reply(200, self.present(resource))

    def check_removal(self, resource: Resource) -> None:
        """Refuse while another resource names this one."""
        if users := self.store.users_of(resource.id):
            code, text = self.in_use
            raise ArmError(400, code, text.replace("{id}", resource.id).replace("{user}", users[0].id))

    def check_reference(self, referenced: str, by: str) -> None:
        """Raise unless a resource that another one names is there."""
        if referenced and self.store.find(referenced) is None:
            raise errors.reference_not_found(referenced, by)


class Parent(Network):
    """A type whose nested resources are written with it or by themselves."""

    nested: ClassVar[str]
    """The nested collection, as "subnets"."""

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body, nested resources included."""
        body = super().present(resource)
        body["properties"][self.nested] = [
            {name: value for name, value in nested.body.items() if name != "properties"}
            | {"id": nested.id, "name": nested.name, "type": nested.type}
            | {"properties": {**nested.properties, "provisioningState": nested.state}}
            for nested in self.store.within(resource.id, f"{self.type_name}/{self.nested}")
        ]
        return body

    async def make(self, resource: Resource, call: Call) -> None:
        """Replace the nested resources by those in the body, if it has any."""
        given = resource.properties.pop(self.nested, None)
        if given is None:
            return
        for child in self.store.within(resource.id, f"{self.type_name}/{self.nested}"):
            if child.name.lower() not in {str(new.get("name", "")).lower() for new in given}:
                self.store.delete(child.id)
        for new in given:
            nested_id = f"{resource.id}/{self.nested}/{new['name']}"
            body = {"properties": dict(new.get("properties") or {})}
            self.store.put(Resource(nested_id, f"{self.type_name}/{self.nested}", new["name"], body, is_real=True))


class VirtualNetworks(Parent):
    """Virtual networks."""

    type_name = "Microsoft.Network/virtualNetworks"
    nested = "subnets"
    rank = 3
    in_use = ("InUseVirtualNetworkCannotBeDeleted", "Virtual network {id} is in use by {user} and cannot be deleted.")

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the address space and that the subnets are in it."""
        prefixes = dig(body, "properties.addressSpace.addressPrefixes", [])
        if not prefixes:
            text = f"Address prefix cannot be null or empty for resource {call.path}."
            raise ArmError(400, "NullOrEmptyAddressPrefix", text)
        for subnet in dig(body, "properties.subnets", []):
            check_subnet(str(subnet.get("name")), dig(subnet, "properties", {}), prefixes)

    def check_removal(self, resource: Resource) -> None:
        """Refuse while a subnet is in use."""
        for subnet in self.store.within(resource.id, Subnets.type_name):
            if users := self.store.users_of(subnet.id):
                raise subnet_in_use(subnet.name, users[0].id)


class Subnets(Network):
    """Subnets, when written by themselves."""

    type_name = "Microsoft.Network/virtualNetworks/subnets"
    methods = ("GET", "PUT", "DELETE")
    is_tracked = False

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check that the subnet is in its network's address space."""
        parent = self.store.find(str(call.path.owner))
        prefixes = dig(parent.body if parent else {}, "properties.addressSpace.addressPrefixes", [])
        check_subnet(call.path.name, body["properties"], prefixes)
        self.check_reference(dig(body, "properties.networkSecurityGroup.id", ""), str(call.path))

    def check_removal(self, resource: Resource) -> None:
        """Refuse while an interface is in it."""
        if users := self.store.users_of(resource.id):
            raise subnet_in_use(resource.name, users[0].id)


class SecurityGroups(Parent):
    """Network security groups."""

    type_name = "Microsoft.Network/networkSecurityGroups"
    nested = "securityRules"
    rank = 4
    in_use = (
        "InUseNetworkSecurityGroupCannotBeDeleted",
        "Network security group {id} cannot be deleted because it is in use by the following resources: {user}. In "
        "order to delete the Network security group, remove the association with the resource(s).",
    )

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the rules, each and beside the others."""
        body["properties"].pop("defaultSecurityRules", None)
        check_security_rules(dig(body, "properties.securityRules", []))

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body, with the rules that every group has."""
        body = super().present(resource)
        body["properties"]["defaultSecurityRules"] = [
            {
                "id": f"{resource.id}/defaultSecurityRules/{rule['name']}",
                "type": f"{self.type_name}/defaultSecurityRules",
                **rule,
                "properties": {**rule["properties"], "provisioningState": resource.state},
            }
            for rule in DEFAULT_RULES
        ]
        return body


class SecurityRules(Network):
    """Rules of a security group, when written by themselves."""

    type_name = "Microsoft.Network/networkSecurityGroups/securityRules"
    methods = ("GET", "PUT", "DELETE")
    is_tracked = False

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the rule, and that its place among the group's rules is free."""
        others = [rule for rule in self.store.within(str(call.path.owner), self.type_name) if rule is not old]
        given = [{"name": rule.name, "properties": rule.properties} for rule in others]
        check_security_rules([*given, {"name": call.path.name, **body}])


class PublicAddresses(Network):
    """Public IP addresses, out of the block that is kept for documentation."""

    type_name = "Microsoft.Network/publicIPAddresses"
    rules, new_rules = ADDRESS_RULES, NEW_ADDRESS_RULES
    rank = 4
    in_use = (
        "PublicIPAddressCannotBeDeleted",
        "Public IP address {id} can not be deleted since it is still allocated to resource {user}. In order to delete "
        "the public IP, disassociate/detach the Public IP address from the resource.",
    )

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Allocate an address, which then stays."""
        body["sku"] = {"tier": "Regional", **(body.get("sku") or (old.body["sku"] if old else {}))}
        taken = {address.properties.get("ipAddress") for address in self.store.within("", self.type_name)}
        free = (str(host) for host in ipaddress.ip_network("203.0.113.0/24").hosts() if str(host) not in taken)
        body["properties"]["ipAddress"] = old.properties["ipAddress"] if old else next(free)
        body["properties"].setdefault("publicIPAddressVersion", "IPv4")
        body["properties"].setdefault("idleTimeoutInMinutes", 4)


class Interfaces(Network):
    """Network interfaces."""

    type_name = "Microsoft.Network/networkInterfaces"
    rules = INTERFACE_RULES
    rank = 2
    in_use = (
        "NicInUse",
        "Network Interface {id} is used by existing resource {user}. In order to delete the network interface, it "
        "must be dissociated from the resource. To learn more, see aka.ms/deletenic.",
    )

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check what the interface names, and give it addresses."""
        configurations = dig(body, "properties.ipConfigurations", [])
        if not configurations:
            raise errors.invalid_parameter("ipConfigurations")
        for configuration in configurations:
            given = configuration.setdefault("properties", {})
            subnet = dig(given, "subnet.id", "")
            self.check_reference(subnet, str(call.path))
            self.check_reference(dig(given, "publicIPAddress.id", ""), str(call.path))
            configuration["id"] = f"{call.path}/ipConfigurations/{configuration.get('name')}"
            given.setdefault("privateIPAddress", self._free_address(subnet, call.path.name))
            given.setdefault("privateIPAllocationMethod", "Dynamic")
            given["provisioningState"] = "Succeeded"
        configurations[0]["properties"].setdefault("primary", True)
        self.check_reference(dig(body, "properties.networkSecurityGroup.id", ""), str(call.path))

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body, with the machine that the interface is attached to."""
        body = super().present(resource)
        for user in self.store.users_of(resource.id):
            if user.type.lower() == "microsoft.compute/virtualmachines":
                digest = hashlib.sha256(ids.key(resource.id).encode()).hexdigest().upper()
                mac = "-".join(("00", "0D", "3A", digest[:2], digest[2:4], digest[4:6]))
                body["properties"] |= {"virtualMachine": {"id": user.id}, "macAddress": mac, "primary": True}
        return body

    def _free_address(self, subnet_id: str, name: str) -> str:
        subnet = self.store.find(subnet_id)
        if subnet is None:
            return ""
        taken = {
            dig(configuration, "properties.privateIPAddress")
            for interface in self.store.within("", self.type_name)
            if interface.name.lower() != name.lower()
            for configuration in interface.properties["ipConfigurations"]
            if ids.key(dig(configuration, "properties.subnet.id", "")) == ids.key(subnet_id)
        }
        # Azure keeps the first addresses of a subnet for itself.
        hosts = islice(ipaddress.ip_network(subnet.properties["addressPrefix"]).hosts(), 3, None)
        return next((str(host) for host in hosts if str(host) not in taken), "")


def check_subnet(name: str, properties: dict[str, Any], prefixes: list[str]) -> None:
    """Raise a 400 unless the subnet's prefix is valid and inside one of `prefixes`."""
    properties.setdefault("addressPrefix", next(iter(properties.get("addressPrefixes") or []), None))
    try:
        inner = ipaddress.ip_network(properties["addressPrefix"])
        outer = [ipaddress.ip_network(prefix) for prefix in prefixes]
    except ValueError:
        text = f"The address prefix {properties['addressPrefix']} is not valid for subnet {name}."
        raise ArmError(400, "InvalidAddressPrefixFormat", text) from None
    if not any(inner.version == block.version and inner.subnet_of(block) for block in outer):  # type: ignore[arg-type]
        text = f"Subnet '{name}' is not valid because its IP address range is outside the IP address range of virtual "
        raise ArmError(400, "NetcfgSubnetRangeOutsideVnet", text + "network.")


def subnet_in_use(name: str, user: str) -> ArmError:
    """A subnet that still has something in it."""
    return ArmError(
        400,
        "InUseSubnetCannotBeDeleted",
        f"Subnet {name} is in use by {user} and cannot be deleted. In order to delete the subnet, delete all the "
        "resources within the subnet. See aka.ms/deletesubnet.",
    )
