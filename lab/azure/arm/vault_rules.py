"""What Microsoft.KeyVault refuses in a vault's body.

https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults/create-or-update
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from lab.azure.arm.bodies import dig
from lab.azure.arm.rules import Rule, between, holding, matching, one_of

CODE = "BadRequest"
RBAC_BY_DEFAULT = "2026-02-01"
"""The first version of the API in which a new vault asks role assignments unless told otherwise."""
MOST_POLICIES = 1024
_GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_EVERYWHERE = ("all", "get", "list", "delete", "recover", "purge", "backup", "restore")
PERMISSIONS = {
    "secrets": (*_EVERYWHERE, "set"),
    "keys": (
        *(*_EVERYWHERE, "create", "import", "update", "encrypt", "decrypt", "wrapKey", "unwrapKey", "sign", "verify"),
        *("release", "rotate", "getrotationpolicy", "setrotationpolicy"),
    ),
    "certificates": (
        *(*_EVERYWHERE, "create", "import", "update", "managecontacts", "manageissuers"),
        *("getissuers", "listissuers", "setissuers", "deleteissuers"),
    ),
    "storage": (*_EVERYWHERE, "set", "update", "regeneratekey", "getsas", "listsas", "setsas", "deletesas"),
}
_POLICY, _ACLS = "properties.accessPolicies[]", "properties.networkAcls"


def _invalid(name: str) -> str:
    return f"An invalid value was provided for '{name}'."


def _is_range(text: Any) -> bool:
    try:
        return ipaddress.ip_network(str(text), strict=False).version == 4
    except ValueError:
        return False


def _permissions_are_known(policy: Mapping[str, Any]) -> bool:
    given = dig(policy, "permissions", {})
    known = {kind: {name.lower() for name in names} for kind, names in PERMISSIONS.items()}
    return all(
        kind in known and {str(name).lower() for name in names or []} <= known[kind] for kind, names in given.items()
    )


RULES: tuple[Rule, ...] = (
    matching("properties.tenantId", _GUID, CODE, _invalid("tenantId"), is_required=True),
    one_of("properties.sku.family", ("A",), CODE, _invalid("sku.family"), is_required=True),
    one_of("properties.sku.name", ("standard", "premium"), CODE, _invalid("sku.name"), is_required=True),
    one_of("properties.createMode", ("default", "recover"), CODE, _invalid("createMode")),
    one_of("properties.publicNetworkAccess", ("Enabled", "Disabled"), CODE, _invalid("publicNetworkAccess")),
    between(
        "properties.softDeleteRetentionInDays",
        7,
        90,
        CODE,
        'The property "softDeleteRetentionInDays" must be between 7 and 90 days.',
    ),
    one_of(f"{_ACLS}.bypass", ("AzureServices", "None"), CODE, _invalid("networkAcls.bypass")),
    one_of(f"{_ACLS}.defaultAction", ("Allow", "Deny"), CODE, _invalid("networkAcls.defaultAction")),
    Rule(f"{_ACLS}.ipRules[].value", _is_range, CODE, _invalid("networkAcls.ipRules"), is_required=True),
    holding(
        lambda body: len(dig(body, "properties.accessPolicies", [])) <= MOST_POLICIES,
        CODE,
        f"A vault has at most {MOST_POLICIES} access policies.",
    ),
    matching(f"{_POLICY}.tenantId", _GUID, CODE, _invalid("accessPolicies.tenantId"), is_required=True),
    matching(f"{_POLICY}.objectId", _GUID, CODE, _invalid("accessPolicies.objectId"), is_required=True),
    Rule(_POLICY, _permissions_are_known, CODE, _invalid("accessPolicies.permissions")),
)
NEW_RULES: tuple[Rule, ...] = (
    Rule(
        "properties.enableSoftDelete",
        lambda value: value is True,
        CODE,
        'The property "enableSoftDelete" cannot be set to false. Every vault has soft delete.',
    ),
    Rule(
        "properties.enablePurgeProtection",
        lambda value: value is True,
        CODE,
        'The property "enablePurgeProtection" cannot be set to false. Leave it out.',
    ),
)
POLICIES_OR_ROLES: tuple[Rule, ...] = (
    holding(
        lambda body: (
            dig(body, "properties.enableRbacAuthorization") is True
            or dig(body, "properties.accessPolicies") is not None
        ),
        CODE,
        _invalid("accessPolicies"),
    ),
)
"""What is asked once the default of the API's version is filled in; not when a vault is recovered."""
