"""Resource groups: found, made, listed, and deleted with all that is in them."""

from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.resources.models import ResourceGroup as Parameters

from infra.azure.credentials import managed
from infra.azure.errors import translated
from infra.azure.names import get_location
from infra.azure.operations import OnProgress, finish, get_state, ignore
from infra.errors import NotFound
from infra.provisioning.plan import Found
from infra.provisioning.resources import ResourceGroup
from infra.settings import Settings


def find_group(name: str, settings: Settings) -> Found | None:
    """Return a resource group, or None."""
    try:
        with (
            translated("Cannot look at the resource group", name=name, role="Reader", scope="the subscription"),
            managed(ResourceManagementClient, settings) as client,
        ):
            found = client.resource_groups.get(name)
    except NotFound:
        return None
    said = (found.properties and found.properties.provisioning_state) or ""
    return Found(ResourceGroup(name=name, location=get_location(found.location)), get_state(said), said)


def put_group(wanted: ResourceGroup, settings: Settings) -> None:
    """Make a resource group."""
    with (
        translated("Cannot create the resource group", name=wanted.name, role="Contributor", scope="the subscription"),
        managed(ResourceManagementClient, settings) as client,
    ):
        client.resource_groups.create_or_update(wanted.name, Parameters(location=wanted.location))


def list_resources(name: str, settings: Settings) -> list[tuple[str, str]]:
    """Return type and name of all that is in a resource group; an empty list when there is no such group."""
    try:
        with (
            translated("Cannot list the resource group", name=name, role="Reader", scope="the subscription"),
            managed(ResourceManagementClient, settings) as client,
        ):
            found = list(client.resources.list_by_resource_group(name))
    except NotFound:
        return []
    return sorted((one.type or "", one.name or "") for one in found)


def delete_group(name: str, settings: Settings, on_progress: OnProgress = ignore) -> bool:
    """Delete a resource group with all that is in it, and wait until it is gone.

    Returns:
        Whether there was one.
    """
    try:
        with (
            translated("Cannot delete the resource group", name=name, role="Contributor", scope=f"the group {name}"),
            managed(ResourceManagementClient, settings) as client,
        ):
            poller = client.resource_groups.begin_delete(name)
            finish(poller, f"Deleting the resource group {name}", on_progress)
    except NotFound:
        return False
    return True
