"""Resource groups: deleting one deletes everything in it.

https://learn.microsoft.com/rest/api/resources/resource-groups
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from lab.azure.arm import errors, names
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path, is_within
from lab.azure.arm.kinds import Kind, Monitor
from lab.azure.arm.operations import Operation, Reply
from lab.azure.arm.store import Resource

TYPE = "Microsoft.Resources/resourceGroups"


class Groups(Kind):
    """Resource groups.

    Args:
        context: the lab's parts.
        kinds: all resource types, to delete what is in a group.
    """

    type_name = TYPE
    action_type = "Microsoft.Resources/subscriptions/resourceGroups"
    is_long = False
    delete_monitor = Monitor.LOCATION

    def __init__(self, context: Context, kinds: Iterable[Kind]) -> None:
        super().__init__(context)
        self._kinds = {kind.type_name.lower(): kind for kind in kinds}

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the name; a group stays in its region."""
        names.check_group(call.path.name)
        if old and old.state == "Deleting":
            raise errors.group_being_deleted(old.name)

    def require(self, path: Path) -> Resource:
        """The group, or ResourceGroupNotFound."""
        group = self.store.find(str(path))
        if group is None:
            raise errors.group_not_found(path.name)
        return group

    def require_parent(self, path: Path) -> str:
        """Groups are in the subscription, which the dispatcher has checked."""
        return f"/subscriptions/{path.subscription}"

    async def list_all(self, call: Call) -> Reply:
        """Answer all groups."""
        return Reply(200, {"value": [self.present(group) for group in self.store.within(str(call.path.owner), TYPE)]})

    async def delete(self, call: Call) -> Reply:
        """Delete a group with all that is in it: 202 and a Location."""
        group = self.require(call.path)
        if group.state != "Deleting" or group.operation is None:
            group.state = "Deleting"
            group.operation = self._start_emptying(group, call)
        url = f"{group.operation.url}?api-version={call.api_version}"
        return Reply(202, None, {"Location": url, **self.context.operations.retry_header})

    def _start_emptying(self, group: Resource, call: Call) -> Operation:
        def end(error: Exception | None) -> None:
            if error:
                group.state = "Succeeded"

        base = f"{call.origin}/subscriptions/{call.path.subscription}/operationresults"
        caller_id = call.caller.object_id
        return self.context.operations.start(self._empty(group), base, lambda: Reply(200), end, caller_id=caller_id)

    async def _empty(self, group: Resource) -> None:
        while inside := self._top_level(group):
            first = min(self._kind(member).rank for member in inside)
            now = [member for member in inside if self._kind(member).rank == first]
            outcomes = await asyncio.gather(*(self._dispose(member) for member in now), return_exceptions=True)
            failed = {member.id: why for member, why in zip(now, outcomes, strict=True) if isinstance(why, Exception)}
            if failed:
                raise errors.group_not_deleted(group.name, failed)
        self.context.access.remove_below(group.id)
        self.store.delete(group.id)

    async def _dispose(self, resource: Resource) -> None:
        if resource.operation:
            await resource.operation.done.wait()
        if not self.store.find(resource.id):
            return
        resource.state = "Deleting"
        try:
            await self._kind(resource).dispose(resource)
        except Exception:
            resource.state = "Failed"
            raise

    def _kind(self, resource: Resource) -> Kind:
        return self._kinds[resource.type.lower()]

    def _top_level(self, group: Resource) -> list[Resource]:
        inside = [member for member in self.store.within(group.id) if member is not group]
        return [
            member
            for member in inside
            if not any(is_within(member.id, other.id) and member is not other for other in inside)
        ]

    def _new(self, parent_id: str, path: Path) -> Resource:
        return Resource(f"{parent_id}/resourceGroups/{path.name}", TYPE, path.name)

    def _place(self, body: dict[str, Any], old: Resource | None, call: Call) -> None:
        names.check_region(str(body.get("location") or ""), TYPE)
        body["location"] = names.normalise_region(body["location"])
        if old and old.location != body["location"]:
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{body['location']}'. The Resource group already exists in location "
                f"'{old.location}'.",
            )
