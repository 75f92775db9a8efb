"""What Microsoft.DBforPostgreSQL refuses in a flexible server's body.

https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-limits
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from lab.azure.arm.bodies import dig
from lab.azure.arm.errors import ArmError
from lab.azure.arm.rules import Rule, between, holding, matching, one_of
from lab.azure.arm.sizes import SERVERS

CODE = "InvalidParameterValue"
STORAGE_GB = (32, 64, 128, 256, 512, 1024, 2048, 4095, 4096, 8192, 16384, 32767)
VERSIONS = {
    "11": date(2026, 7, 31),
    "12": date(2026, 7, 31),
    "13": date(2026, 7, 31),
    "14": date(2026, 12, 11),
    "15": date(2027, 11, 11),
    "16": date(2028, 11, 9),
    "17": date(2029, 11, 8),
    "18": date(2030, 11, 14),
}
"""Version -> the first day on which no new server gets it.

https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-version-policy
"""
_ON_OFF = ("Enabled", "Disabled")


def _refusal(name: str) -> str:
    return f"Invalid value given for parameter {name}. Specify a valid parameter value."


def _fits(body: Mapping[str, Any]) -> bool:
    sizes = {tier.lower(): names for tier, names in SERVERS.items()}.get(str(dig(body, "sku.tier")).lower())
    size = str(dig(body, "sku.name")).lower()
    return sizes is None or size in {name.lower() for name in sizes}


def _can_log_in(body: Mapping[str, Any]) -> bool:
    ways = ("passwordAuth", "Enabled"), ("activeDirectoryAuth", "Disabled")
    return any(dig(body, f"properties.authConfig.{way}", default).lower() == "enabled" for way, default in ways)


def _may_stand_by(body: Mapping[str, Any]) -> bool:
    mode = str(dig(body, "properties.highAvailability.mode", "Disabled")).lower()
    return mode == "disabled" or str(dig(body, "sku.tier")).lower() != "burstable"


RULES: tuple[Rule, ...] = (
    one_of("sku.tier", tuple(SERVERS), CODE, _refusal("Tier"), target="sku.tier", is_required=True),
    one_of("sku.name", sum(SERVERS.values(), ()), CODE, _refusal("Sku Name"), target="sku.name", is_required=True),
    holding(
        _fits,
        "ServerEditionIncompatibleWithSkuSize",
        "The requested server edition is incompatible with requested Sku Size. Please refer "
        "https://learn.microsoft.com/azure/postgresql/flexible-server/concepts-compute.",
        target="sku",
    ),
    Rule(
        "properties.storage.storageSizeGB",
        lambda size: type(size) is int and size in STORAGE_GB,
        CODE,
        _refusal("Storage in GB"),
        "properties.storage.storageSizeGB",
    ),
    one_of("properties.storage.autoGrow", _ON_OFF, CODE, _refusal("Auto Grow")),
    one_of("properties.network.publicNetworkAccess", _ON_OFF, CODE, _refusal("Public Network Access")),
    one_of("properties.authConfig.passwordAuth", _ON_OFF, CODE, _refusal("Password Auth")),
    one_of("properties.authConfig.activeDirectoryAuth", _ON_OFF, CODE, _refusal("Active Directory Auth")),
    holding(_can_log_in, CODE, _refusal("Auth Config"), target="properties.authConfig"),
    between("properties.backup.backupRetentionDays", 7, 35, CODE, _refusal("Backup Retention Days")),
    one_of("properties.backup.geoRedundantBackup", _ON_OFF, CODE, _refusal("Geo Redundant Backup")),
    one_of("properties.highAvailability.mode", ("Disabled", "SameZone", "ZoneRedundant"), CODE, _refusal("HA Mode")),
    holding(
        _may_stand_by,
        "HANotSupportedForBurstableSkuWithMoreInfo",
        "High availability not supported for burstable server.",
        target="properties.highAvailability.mode",
    ),
    one_of(
        "properties.createMode",
        ("Default", "Create", "Update"),
        CODE,
        _refusal("Create Mode") + " The lab makes new servers only.",
    ),
    matching("properties.availabilityZone", "[123]?", CODE, _refusal("Availability Zone")),
)


def offered_versions(now: datetime) -> list[str]:
    """The versions that a new server may have today."""
    today = now.astimezone(UTC).date()
    return [name for name, end in VERSIONS.items() if today < end]


def check_version(version: str, now: datetime) -> None:
    """Raise unless a new server may have a version today."""
    offered = offered_versions(now)
    if version not in offered:
        text = f"Invalid value given for parameter version. Supported versions are {', '.join(offered)}."
        raise ArmError(400, CODE, text, "version")
