"""What Microsoft.Network refuses in the bodies of public addresses, interfaces and security rules.

https://learn.microsoft.com/azure/virtual-network/ip-services/public-ip-addresses
https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview
"""

from collections.abc import Mapping
from typing import Any

from lab.azure.arm.bodies import dig
from lab.azure.arm.errors import ArmError
from lab.azure.arm.rules import Rule, between, check, holding, one_of

PRIORITIES = (100, 4096)
_METHODS = ("Static", "Dynamic")
_UNSUPPORTED = "SecurityRuleParameterContainsUnsupportedValue"


def _invalid(name: str) -> str:
    return f"Value '{{value}}' of property '{name}' is not one of {{allowed}}."


def _is_static(body: Mapping[str, Any]) -> bool:
    is_basic = str(dig(body, "sku.name", "Basic")).lower() == "basic"
    return is_basic or str(dig(body, "properties.publicIPAllocationMethod", "Dynamic")).lower() == "static"


ADDRESS_RULES: tuple[Rule, ...] = (
    one_of("sku.name", ("Basic", "Standard", "StandardV2"), "InvalidRequestFormat", _invalid("sku.name")),
    one_of("sku.tier", ("Regional", "Global"), "InvalidRequestFormat", _invalid("sku.tier")),
    one_of(
        "properties.publicIPAllocationMethod", _METHODS, "InvalidRequestFormat", _invalid("publicIPAllocationMethod")
    ),
    one_of("properties.publicIPAddressVersion", ("IPv4", "IPv6"), "InvalidRequestFormat", _invalid("version")),
    between(
        "properties.idleTimeoutInMinutes",
        4,
        30,
        "PublicIPAddressIdleTimeoutOutOfRange",
        "Public IP address has invalid Idle Timeout. The value must be between 4 and 30.",
    ),
    holding(
        _is_static,
        "StandardSkuPublicIPAddressesMustBeStatic",
        "Standard sku public IP addresses must have AllocationMethod set to Static.",
    ),
)
NEW_ADDRESS_RULES: tuple[Rule, ...] = (
    holding(
        lambda body: str(dig(body, "sku.name", "Basic")).lower() != "basic",
        "IPv4BasicSkuPublicIpCountLimitReached",
        "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region.",
    ),
)
"""An address without a sku is a basic one, and there are no new ones of these since the end of September 2025."""
INTERFACE_RULES: tuple[Rule, ...] = (
    one_of(
        "properties.ipConfigurations[].properties.privateIPAllocationMethod",
        _METHODS,
        "InvalidRequestFormat",
        _invalid("privateIPAllocationMethod"),
    ),
)
RULE_RULES: tuple[Rule, ...] = (
    one_of(
        "properties.protocol",
        ("Tcp", "Udp", "Icmp", "Esp", "Ah", "*"),
        _UNSUPPORTED,
        _invalid("Protocol"),
        is_required=True,
    ),
    one_of("properties.access", ("Allow", "Deny"), _UNSUPPORTED, _invalid("Access"), is_required=True),
    one_of("properties.direction", ("Inbound", "Outbound"), _UNSUPPORTED, _invalid("Direction"), is_required=True),
    between(
        "properties.priority",
        *PRIORITIES,
        "SecurityRuleInvalidPriority",
        "Security rule has invalid Priority. Value provided: {value} Allowed range 100-4096.",
        is_required=True,
    ),
)


def _default(name: str, priority: int, access: str, direction: str, source: str, destination: str) -> dict[str, Any]:
    ports = {"protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*"}
    prefixes = {"sourceAddressPrefix": source, "destinationAddressPrefix": destination}
    return {
        "name": name,
        "properties": {**ports, **prefixes, "access": access, "priority": priority, "direction": direction},
    }


DEFAULT_RULES = (
    _default("AllowVnetInBound", 65000, "Allow", "Inbound", "VirtualNetwork", "VirtualNetwork"),
    _default("AllowAzureLoadBalancerInBound", 65001, "Allow", "Inbound", "AzureLoadBalancer", "*"),
    _default("DenyAllInBound", 65500, "Deny", "Inbound", "*", "*"),
    _default("AllowVnetOutBound", 65000, "Allow", "Outbound", "VirtualNetwork", "VirtualNetwork"),
    _default("AllowInternetOutBound", 65001, "Allow", "Outbound", "*", "Internet"),
    _default("DenyAllOutBound", 65500, "Deny", "Outbound", "*", "*"),
)
"""https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview#default-security-rules"""


def check_security_rules(rules: list[Mapping[str, Any]]) -> None:
    """Raise unless each rule is fine and no two have the same place in the order."""
    places: dict[tuple[str, int], str] = {}
    for rule in rules:
        check(RULE_RULES, rule)
        name, given = str(rule.get("name")), dig(rule, "properties", {})
        place = (given["direction"].lower(), given["priority"])
        if place in places:
            raise ArmError(
                400,
                "SecurityRuleConflict",
                f"Security rule {name} conflicts with rule {places[place]}. Rules cannot have the same Priority and "
                "Direction.",
            )
        places[place] = name
