"""What Microsoft.Storage refuses in the bodies of accounts and containers.

https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create
"""

from collections.abc import Mapping
from typing import Any

from lab.azure.arm.bodies import dig
from lab.azure.arm.rules import Rule, holding, one_of

CODE = "InvalidValuesForRequestParameters"
SKUS = (
    *("Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS"),
    *("Premium_LRS", "Premium_ZRS"),
)
KINDS = {
    "StorageV2": SKUS,
    "Storage": ("Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Premium_LRS"),
    "BlobStorage": ("Standard_LRS", "Standard_GRS", "Standard_RAGRS"),
    "BlockBlobStorage": ("Premium_LRS", "Premium_ZRS"),
    "FileStorage": ("Premium_LRS", "Premium_ZRS"),
}
"""Kind of an account -> the skus that it may have."""


def _fits(body: Mapping[str, Any]) -> bool:
    skus = {kind.lower(): names for kind, names in KINDS.items()}.get(str(body.get("kind")).lower(), SKUS)
    return str(dig(body, "sku.name")).lower() in {name.lower() for name in skus}


def _invalid(name: str) -> str:
    return f"Values for request parameters are invalid: {name}."


_ACLS = "properties.networkAcls"
_ENUMS = {
    "properties.accessTier": ("Hot", "Cool", "Cold", "Premium", "Smart"),
    "properties.minimumTlsVersion": ("TLS1_2", "TLS1_3"),
    "properties.publicNetworkAccess": ("Enabled", "Disabled", "SecuredByPerimeter"),
    f"{_ACLS}.defaultAction": ("Allow", "Deny"),
}
RULES: tuple[Rule, ...] = (
    one_of("sku.name", SKUS, CODE, _invalid("sku"), target="sku", is_required=True),
    one_of("kind", tuple(KINDS), CODE, _invalid("kind"), target="kind", is_required=True),
    holding(_fits, CODE, _invalid("sku,kind"), target="sku"),
    *(
        one_of(path, allowed, CODE, _invalid(name), target=name)
        for path, allowed in _ENUMS.items()
        for name in [path.removeprefix("properties.")]
    ),
    *(
        Rule(f"properties.{name}", lambda value: isinstance(value, bool), CODE, _invalid(name), name)
        for name in ("supportsHttpsTrafficOnly", "allowBlobPublicAccess", "allowSharedKeyAccess", "isHnsEnabled")
    ),
)
CONTAINER_RULES: tuple[Rule, ...] = (
    one_of(
        "properties.publicAccess",
        ("None",),
        "PublicAccessNotPermitted",
        "Public access is not permitted on this storage account.",
        status=409,
    ),
)
