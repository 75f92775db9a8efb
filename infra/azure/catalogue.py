"""What a region offers to the subscription: versions and sizes of Flexible Servers, sizes of machines.

https://learn.microsoft.com/rest/api/postgresql/capabilities-by-location/list
https://learn.microsoft.com/rest/api/compute/resource-skus/list
"""

from typing import TYPE_CHECKING

from azure.mgmt.postgresqlflexibleservers import PostgreSQLManagementClient

from infra.azure.arm import word
from infra.azure.errors import translated
from infra.azure.machines import open_compute

if TYPE_CHECKING:
    from infra.azure.client import Azure


def list_server_offers(azure: "Azure", location: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the versions and the sizes that a new Flexible Server may have.

    Raises:
        AccessDenied: the caller may not read the subscription.
    """
    with (
        translated(
            "Cannot see what Flexible Servers are offered", name=location, role="Reader", scope="the subscription"
        ),
        azure.management(PostgreSQLManagementClient) as client,
    ):
        found = list(client.capabilities_by_location.list(location))
    versions = [version for offer in found for version in offer.supported_server_versions or []]
    tiers = [tier for offer in found for tier in offer.supported_server_editions or []]
    sizes = [size for tier in tiers if _is_open(tier) for size in tier.supported_server_skus or []]
    names = (frozenset(entry.name or "" for entry in entries if _is_open(entry)) for entries in (versions, sizes))
    return next(names), next(names)


def list_machine_sizes(azure: "Azure", location: str) -> frozenset[str]:
    """Return the sizes of virtual machines that the subscription may use in a region.

    Raises:
        AccessDenied: the caller may not read the subscription.
    """
    with (
        translated("Cannot see what sizes are offered", name=location, role="Reader", scope="the subscription"),
        azure.management(open_compute) as client,
    ):
        found = list(client.resource_skus.list(filter=f"location eq '{location}'"))
    return frozenset(
        sku.name or ""
        for sku in found
        if sku.resource_type == "virtualMachines"
        and not any(word(restriction.type) == "Location" for restriction in sku.restrictions or [])
    )


def _is_open(entry: object) -> bool:
    return word(getattr(entry, "status", "")) != "Disabled"
