"""Names as Azure writes them: locations, resource ids, durations."""

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def get_location(said: str | None) -> str:
    """Return a location's short name: Azure says "East US 2" in one place and "eastus2" in another."""
    return (said or "").replace(" ", "").lower()


def get_last(resource_id: str | None) -> str:
    """Return the name at the end of a resource id; empty for none."""
    return (resource_id or "").rstrip("/").rsplit("/", 1)[-1]


def get_group_of(resource_id: str | None) -> str:
    """Return the resource group that a resource id names, in lower case: Azure does not keep its case."""
    found = re.search(r"/resourcegroups/([^/]+)", resource_id or "", re.IGNORECASE)
    return found.group(1).lower() if found else ""


def get_resource_id(subscription_id: str, group: str, kind: str, name: str) -> str:
    """Return the id of a resource, `kind` being "Microsoft.KeyVault/vaults"."""
    return f"/subscriptions/{subscription_id}/resourceGroups/{group}/providers/{kind}/{name}"


def get_seconds(duration: str) -> int | None:
    """Return the seconds of a duration as Go writes it ("2m", "1m30s"), or None when it is none.

    https://pkg.go.dev/time#ParseDuration
    """
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", duration):
        return None
    return round(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(duration)))


def get_duration(seconds: int) -> str:
    """Return seconds as Go writes a duration, shortest first: "2m", "90s"."""
    if seconds % 3600 == 0:
        return f"{seconds // 3600}h"
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
