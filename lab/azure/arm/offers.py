"""What a region offers to the subscription: capabilities of flexible servers, sizes of machines.

https://learn.microsoft.com/rest/api/postgresql/capabilities-by-location/list
https://learn.microsoft.com/rest/api/compute/resource-skus/list
"""

import re
from datetime import UTC
from typing import Any

from lab.azure.arm.context import Call, Context
from lab.azure.arm.names import REGIONS, check_region
from lab.azure.arm.operations import Reply
from lab.azure.arm.server_rules import STORAGE_GB, VERSIONS
from lab.azure.arm.sizes import MACHINES, SERVERS

GB_IN_MB = 1024


class ServerCapabilities:
    """Versions, tiers and sizes of flexible servers in a region.

    Args:
        context: the lab's parts.
    """

    type_name = "Microsoft.DBforPostgreSQL/locations/capabilities"

    def __init__(self, context: Context) -> None:
        self._context = context

    async def list_all(self, call: Call) -> Reply:
        """Answer them, as one entry."""
        check_region(call.path.owner.name, "Microsoft.DBforPostgreSQL/flexibleServers")
        today = self._context.now().astimezone(UTC).date()
        versions = [{"name": name, "status": "Available"} for name, end in VERSIONS.items() if today < end]
        entry = {
            "name": "FlexibleServerCapabilities",
            "supportedServerVersions": versions,
            "supportedServerEditions": [_tier(name, sizes) for name, sizes in SERVERS.items()],
            "status": "Available",
        }
        return Reply(200, {"value": [entry]})


class MachineSizes:
    """Sizes of virtual machines, in all regions or in that of the filter."""

    type_name = "Microsoft.Compute/skus"

    async def list_all(self, call: Call) -> Reply:
        """Answer them; all are in every region."""
        wanted = re.search(r"location eq '([^']*)'", call.query.get("$filter", ""), re.IGNORECASE)
        regions = [region for region in REGIONS if wanted is None or region == wanted[1].lower()]
        sizes = MACHINES.values() if regions else ()
        return Reply(200, {"value": [_size(size.name, regions) for size in sizes]})


def _tier(name: str, sizes: tuple[str, ...]) -> dict[str, Any]:
    storage = [{"storageSizeMb": size * GB_IN_MB, "status": "Available"} for size in STORAGE_GB]
    return {
        "name": name,
        "defaultSkuName": sizes[0],
        "supportedStorageEditions": [{"name": "ManagedDisk", "supportedStorageMb": storage, "status": "Available"}],
        "supportedServerSkus": [{"name": size, "status": "Available"} for size in sizes],
        "status": "Available",
    }


def _size(name: str, regions: list[str]) -> dict[str, Any]:
    locations = {"locations": regions, "locationInfo": [{"location": region, "zones": []} for region in regions]}
    return {"resourceType": "virtualMachines", "name": name, **locations, "capabilities": [], "restrictions": []}
