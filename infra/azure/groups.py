"""Resource groups: found, made, listed, and deleted with everything in them."""

from typing import Any

from azure.mgmt.resource.resources import ResourceManagementClient

from infra.azure.arm import ArmKind, as_found, get_location
from infra.errors import NotFound
from infra.provisioning.kinds import Found, OnProgress, ignore
from infra.provisioning.resources import ResourceGroup


class ResourceGroups(ArmKind[ResourceGroup, ResourceManagementClient]):
    """Resource groups. What is listed and deleted is the group that it was made with."""

    resource = ResourceGroup
    action = "Microsoft.Resources/subscriptions/resourceGroups/write"
    unique_in_azure = True
    open_client = ResourceManagementClient

    @property
    def scope(self) -> str:
        """A group is made in the subscription."""
        return "the subscription"

    def find(self, wanted: ResourceGroup) -> Found | None:
        """Return a resource group, or None."""
        found = self.look(wanted.name, lambda client: client.resource_groups.get(wanted.name))
        if found is None:
            return None
        seen = ResourceGroup(name=wanted.name, location=get_location(found.location))
        return as_found(seen, found.properties and found.properties.provisioning_state)

    def put(self, wanted: ResourceGroup, on_progress: OnProgress = ignore) -> None:
        """Make a resource group."""
        parameters: Any = {"location": wanted.location}
        with self.changing(wanted.name) as client:
            client.resource_groups.create_or_update(wanted.name, parameters)

    def exists(self) -> bool:
        """Tell whether the group exists."""
        return self.find(ResourceGroup(name=self.group)) is not None

    def list_resources(self) -> list[tuple[str, str]]:
        """Return type and name of everything in the group; an empty list when there is no such group."""
        found = self.look(self.group, lambda client: list(client.resources.list_by_resource_group(self.group)))
        return sorted((resource.type or "", resource.name or "") for resource in found or [])

    def delete(self, on_progress: OnProgress = ignore) -> bool:
        """Delete the group with everything in it, and wait until it is gone.

        Returns:
            Whether there was one.
        """
        try:
            with self.changing(self.group, "delete") as client:
                self.follow(client.resource_groups.begin_delete(self.group), "Deleting", self.group, on_progress)
        except NotFound:
            return False
        return True
