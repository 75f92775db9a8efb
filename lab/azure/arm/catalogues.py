"""What a region offers: sizes of machines, versions of Kubernetes, tiers and versions of flexible servers.

They are the same lists that the bodies of these resources are checked against.
"""

import re
from typing import Any

from lab.azure.arm import errors, names
from lab.azure.arm.cluster_rules import LONG_TERM_VERSIONS, VERSION, VERSIONS
from lab.azure.arm.context import Call, Context
from lab.azure.arm.operations import Reply
from lab.azure.arm.server_rules import STORAGE_GB, offered_versions
from lab.azure.arm.sizes import MACHINES, SERVERS

_FEATURES = ("OfferRestricted", "ZoneRedundantHa", "GeoBackup", "IndexTuning", "OnlineResize")
_TIERS = {32: "P4", 64: "P6", 128: "P10", 256: "P15", 512: "P20", 1024: "P30", 2048: "P40", 4096: "P50"}
_TIERS |= {8192: "P60", 16384: "P70", 32767: "P80"}
_ZONES: dict[str, list[str]] = {"supportedZones": ["1", "2", "3"], "supportedHaMode": []}
AVAILABLE = {"status": "Available"}


class Catalogue:
    """A list of a region.

    Args:
        context: the lab's parts.
    """

    type_name: str

    def __init__(self, context: Context) -> None:
        self.context = context

    def items(self) -> dict[str, Any]:
        """The body that is answered: an empty list for what the lab has none of."""
        return {"value": []}

    async def list_all(self, call: Call) -> Reply:
        """Answer the list of a region, or of the subscription."""
        if call.path.names:
            names.check_region(call.path.names[0], self.type_name)
        return Reply(200, self.items())


class MachineSizes(Catalogue):
    """https://learn.microsoft.com/rest/api/compute/virtual-machine-sizes/list"""

    type_name = "Microsoft.Compute/locations/vmSizes"

    def items(self) -> dict[str, Any]:
        """Names, cores and memory."""
        return {
            "value": [
                {"name": size.name, "numberOfCores": size.cores, "memoryInMB": int(size.memory_gib * 1024)}
                | {"osDiskSizeInMB": 1047552, "resourceDiskSizeInMB": 0, "maxDataDiskCount": size.cores * 2}
                for size in MACHINES.values()
            ]
        }


class ResourceSkus(Catalogue):
    """https://learn.microsoft.com/rest/api/compute/resource-skus/list

    All sizes are in every region; a filter names one.
    """

    type_name = "Microsoft.Compute/skus"

    async def list_all(self, call: Call) -> Reply:
        """Answer the sizes with the regions that have them."""
        wanted = re.search(r"location eq '([^']*)'", call.query.get("$filter", ""), re.IGNORECASE)
        regions = [region for region in names.REGIONS if wanted is None or region == wanted[1].lower()]
        sizes = MACHINES.values() if regions else ()
        return Reply(200, {"value": [_size(size.name, regions) for size in sizes]})


class KubernetesVersions(Catalogue):
    """https://learn.microsoft.com/rest/api/aks/managed-clusters/list-kubernetes-versions"""

    type_name = "Microsoft.ContainerService/locations/kubernetesVersions"

    def items(self) -> dict[str, Any]:
        """Minor versions, with the support that they have."""
        plans = {version: ["KubernetesOfficial", "AKSLongTermSupport"] for version in VERSIONS}
        plans |= {version: ["AKSLongTermSupport"] for version in LONG_TERM_VERSIONS}
        return {
            "values": [
                {
                    "version": version,
                    "isDefault": version == VERSION,
                    "capabilities": {"supportPlan": plans[version]},
                    "patchVersions": {f"{version}.0": {"upgrades": []}},
                }
                for version in sorted(plans)
            ]
        }


class ServerCapabilities(Catalogue):
    """https://learn.microsoft.com/rest/api/postgresql/capabilities-by-location/list"""

    type_name = "Microsoft.DBforPostgreSQL/locations/capabilities"

    def items(self) -> dict[str, Any]:
        """Tiers with their sizes and storage, and the versions of today."""
        sizes = [_disk(gigabytes) for gigabytes in STORAGE_GB]
        storage = {"name": "ManagedDisk", "defaultStorageSizeMb": 32768, "supportedStorageMb": sizes} | AVAILABLE
        editions = [
            {
                "name": tier,
                "defaultSkuName": skus[0],
                "supportedStorageEditions": [storage],
                "supportedServerSkus": [{"name": sku, **_hardware(sku)} for sku in skus],
            }
            | AVAILABLE
            for tier, skus in SERVERS.items()
        ]
        offered = offered_versions(self.context.now())
        versions = [
            {"name": version, "supportedVersionsToUpgrade": offered[place + 1 :]} | AVAILABLE
            for place, version in enumerate(offered)
        ]
        return {
            "value": [
                {
                    "name": "FlexibleServerCapabilities",
                    "supportedFeatures": [{"name": feature, "status": "Disabled"} for feature in _FEATURES],
                    "supportedServerEditions": editions,
                    "supportedServerVersions": versions,
                }
                | AVAILABLE
            ]
        }


class CapabilitiesOfServers(ServerCapabilities):
    """The same, asked of a server that is there."""

    type_name = "Microsoft.DBforPostgreSQL/flexibleServers/capabilities"

    async def list_all(self, call: Call) -> Reply:
        """Answer what the server's region offers."""
        if self.context.store.find(str(call.path.owner)) is None:
            raise errors.resource_not_found(f"{call.path.owner.type}/{call.path.names[0]}", call.path.group)
        return Reply(200, self.items())


class DeletedModules(Catalogue):
    """Managed HSMs in soft delete, which `az keyvault list-deleted` asks for as well: the lab has none."""

    type_name = "Microsoft.KeyVault/deletedManagedHSMs"


def _disk(gigabytes: int) -> dict[str, Any]:
    tier = next(tier for largest, tier in _TIERS.items() if gigabytes <= largest)
    tiers = [{"name": tier, "iops": 120}]
    shown = {"storageSizeMb": gigabytes * 1024, "supportedIops": 120, "defaultIopsTier": tier}
    return {**shown, "supportedIopsTiers": tiers, **AVAILABLE}


def _hardware(sku: str) -> dict[str, Any]:
    size = MACHINES[sku.lower()]
    per_core = int(size.memory_gib * 1024 / size.cores)
    shown = {"vCores": size.cores, "supportedMemoryPerVcoreMb": per_core, "supportedIops": 640}
    return shown | _ZONES | AVAILABLE


def _size(name: str, regions: list[str]) -> dict[str, Any]:
    locations = {"locations": regions, "locationInfo": [{"location": region, "zones": []} for region in regions]}
    return {"resourceType": "virtualMachines", "name": name, **locations, "capabilities": [], "restrictions": []}


CATALOGUES = (MachineSizes, ResourceSkus, KubernetesVersions, ServerCapabilities, CapabilitiesOfServers, DeletedModules)
