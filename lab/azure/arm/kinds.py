"""What all resource types have in common: how a PUT, PATCH, GET, DELETE or list becomes work and an answer.

A provider subclasses `Kind`, names its rules and fills in `fill`, `make` and `remove`.
"""

import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from enum import Flag, auto
from typing import Any, ClassVar

from lab.azure.arm import errors, names
from lab.azure.arm import rules as value_rules
from lab.azure.arm.bodies import merge, without
from lab.azure.arm.context import Call, Context
from lab.azure.arm.errors import ArmError
from lab.azure.arm.ids import Path
from lab.azure.arm.operations import Operation, Reply
from lab.azure.arm.rules import Rule
from lab.azure.arm.store import SUCCEEDED, Resource
from lab.azure.errors import AzureError

GENERATED = ("id", "name", "type", "systemData", "etag")
Action = Callable[[Resource, Call], Awaitable[Reply]]


class Monitor(Flag):
    """Where a client asks how an operation goes; NONE: the resource's own provisioning state."""

    NONE = 0
    STATUS = auto()
    LOCATION = auto()
    BOTH = STATUS | LOCATION


class Kind:
    """One resource type.

    Args:
        context: the lab's parts.
    """

    type_name: ClassVar[str]
    name_rule: ClassVar[names.NameRule | None] = None
    rules: ClassVar[tuple[Rule, ...]] = ()
    """What the values of a body must be."""
    new_rules: ClassVar[tuple[Rule, ...]] = ()
    """What they must be as well when the resource is made."""
    methods: ClassVar[tuple[str, ...]] = ("GET", "HEAD", "PUT", "PATCH", "DELETE")
    """What a single resource takes."""
    is_tracked: ClassVar[bool] = True
    """Has a region and tags."""
    is_long: ClassVar[bool] = True
    """PUT and DELETE take a while; otherwise they are done when answered."""
    has_state: ClassVar[bool] = True
    """Shows provisioningState."""
    created: ClassVar[int] = 201
    updated: ClassVar[int] = 200
    making_state: ClassVar[str] = "Creating"
    updating_state: ClassVar[str] = "Updating"
    put_monitor: ClassVar[Monitor] = Monitor.STATUS
    delete_monitor: ClassVar[Monitor] = Monitor.BOTH
    has_system_data: ClassVar[bool] = False
    """Shows who made it and who changed it last."""
    has_etag: ClassVar[bool] = False
    """Shows a mark that changes with each write."""
    segments: ClassVar[tuple[str, str]] = ("operations", "operationResults")
    """The collections that status and result of an operation are in."""
    write_only: ClassVar[tuple[str, ...]] = ()
    """Properties that are used and not kept: secrets."""
    rank: ClassVar[int] = 1
    """When a group is deleted, lower ranks go first."""

    def __init__(self, context: Context) -> None:
        self.context, self.store = context, context.store

    def fill(self, body: dict[str, Any], call: Call, old: Resource | None) -> None:
        """Check the body that will be kept and add what the service itself decides."""

    async def make(self, resource: Resource, call: Call) -> None:
        """Make the resource real, or carry a change over; `resource.is_real` tells which."""

    async def remove(self, resource: Resource) -> None:
        """Take the real thing away. The resource itself is forgotten afterwards."""

    def check_removal(self, resource: Resource) -> None:
        """Raise when others still need the resource."""

    def actions(self) -> dict[str, Action]:
        """What can be posted to a resource, by lower-case name."""
        return {}

    def busy(self, resource: Resource, operation: Operation) -> ArmError:
        """The error for a change while an operation is under way."""
        return errors.busy(operation.url)

    def present(self, resource: Resource) -> dict[str, Any]:
        """The body that is answered."""
        body = {"id": resource.id, "name": resource.name, "type": resource.type, **resource.body}
        if self.has_state:
            body["properties"] = {**resource.properties, "provisioningState": resource.state}
        return body

    async def get(self, call: Call) -> Reply:
        """Answer one resource; one in transit says when to look again."""
        resource = self.require(call.path)
        headers = self.context.operations.retry_header if resource.is_busy else {}
        return Reply(200, self.present(resource), headers)

    async def head(self, call: Call) -> Reply:
        """Answer whether a resource exists."""
        return Reply(204 if self.store.find(str(call.path)) else 404)

    async def list_all(self, call: Call) -> Reply:
        """Answer all of the type in the parent, group or subscription."""
        self.require_parent(call.path)
        scope = str(call.path.owner) if call.path.names else call.path.scope
        return Reply(200, {"value": [self.present(resource) for resource in self.store.within(scope, self.type_name)]})

    async def put(self, call: Call) -> Reply:
        """Create or replace."""
        if self.name_rule:
            self.name_rule.check(call.path.name)
        parent_id, old = self.require_parent(call.path), self.store.find(str(call.path))
        self._require_group_stays(call.path)
        if old and old.is_busy and old.operation:
            raise self.busy(old, old.operation)
        body = {name: value for name, value in call.body.items() if name not in GENERATED}
        body["properties"] = dict(body.get("properties") or {})
        if self.is_tracked:
            self._place(body, old, call)
        value_rules.check(self.rules if old else (*self.rules, *self.new_rules), body)
        self.fill(body, call, old)
        resource = old or self._new(parent_id, call.path)
        before, resource.body = resource.body, without(body, self.write_only) | self._marks(old, call)
        self.store.put(resource)
        if self.is_long:
            return self._begin(resource, call)
        try:
            await self.make(resource, call)
        except AzureError:
            resource.body = before
            if not old:
                self.store.delete(resource.id)
            raise
        resource.is_real = True
        return Reply(self.updated if old else self.created, self.present(resource))

    async def patch(self, call: Call) -> Reply:
        """Change the given properties only; tags are replaced as a whole."""
        old = self.require(call.path)
        body = merge(old.body, call.body)
        body["tags"] = dict(call.body.get("tags", old.body.get("tags")) or {})
        return await self.put(replace(call, body=body))

    async def delete(self, call: Call) -> Reply:
        """Delete; one that is not there is no error."""
        resource = self.store.find(str(call.path))
        if resource is None:
            return Reply(204)
        self.check_removal(resource)
        if not self.is_long:
            await self.dispose(resource)
            return Reply(200)
        if resource.state != "Deleting" or resource.operation is None:
            before, resource.state = resource.operation, "Deleting"
            work = self.dispose(resource)
            resource.operation = self.start(work, resource, call, lambda: Reply(204), after=before)
        return Reply(202, None, self.headers(resource.operation, call, self.delete_monitor))

    async def dispose(self, resource: Resource) -> None:
        """Remove a resource and everything about it."""
        await self.remove(resource)
        self.context.access.remove_below(resource.id)
        self.store.delete(resource.id)

    def require(self, path: Path) -> Resource:
        """The resource at `path`, or the error that says what is missing."""
        resource = self.store.find(str(path))
        if resource is None:
            self.require_parent(path)
            shown = [f"{kind}/{name}" for kind, name in zip(self.type_name.split("/")[1:], path.names, strict=True)]
            raise errors.resource_not_found("/".join((path.namespace, *shown)), path.group)
        return resource

    def require_parent(self, path: Path) -> str:
        """The id of the group or resource that `path` is in; raises when it is not there."""
        group_id = ""
        if path.group:
            group = self.store.find(f"/subscriptions/{path.subscription}/resourceGroups/{path.group}")
            if group is None:
                raise errors.group_not_found(path.group)
            group_id = group.id
        parent = path.owner
        if not parent.names:
            return group_id or path.scope
        found = self.store.find(str(parent))
        if found is None:
            raise errors.parent_not_found("/".join(parent.names))
        return found.id

    def headers(self, operation: Operation, call: Call, monitor: Monitor) -> dict[str, str]:
        """The headers by which a client follows an operation."""
        headers, version = self.context.operations.retry_header, f"?api-version={call.api_version}"
        status, location = self.segments
        if Monitor.STATUS in monitor:
            headers["Azure-AsyncOperation"] = operation.url + version
        if Monitor.LOCATION in monitor:
            base, _, operation_id = operation.url.rpartition("/")
            headers["Location"] = f"{base.removesuffix(status)}{location}/{operation_id}{version}&monitor=true"
        return headers

    def start(
        self,
        work: Coroutine[Any, Any, None],
        resource: Resource,
        call: Call,
        reply: Callable[[], Reply],
        after: Operation | None = None,
    ) -> Operation:
        """Begin a long-running operation that decides the resource's state."""

        def end(error: AzureError | None) -> None:
            resource.is_real = resource.is_real or error is None
            if resource.operation is operation:
                resource.state = "Failed" if error else SUCCEEDED

        url = self.operations_url(call, resource.location)
        operation = self.context.operations.start(work, url, reply, end, after, caller_id=call.caller.object_id)
        return operation

    def operations_url(self, call: Call, region: str) -> str:
        """Where the statuses of this provider's operations in a region are."""
        namespace = self.type_name.partition("/")[0]
        subscription = f"{call.origin}/subscriptions/{call.path.subscription}"
        return f"{subscription}/providers/{namespace}/locations/{region or 'global'}/{self.segments[0]}"

    def _require_group_stays(self, path: Path) -> None:
        group = self.store.find(f"/subscriptions/{path.subscription}/resourceGroups/{path.group}")
        if path.group and group and group.state == "Deleting":
            raise errors.group_being_deleted(group.name)

    def _begin(self, resource: Resource, call: Call) -> Reply:
        status = self.updated if resource.is_real else self.created
        resource.state = self.updating_state if resource.is_real else self.making_state
        work = self.make(resource, call)
        resource.operation = self.start(work, resource, call, lambda: Reply(200, self.present(resource)))
        headers = self.headers(resource.operation, call, self.put_monitor)
        return Reply(status, self.present(resource), headers)

    def _marks(self, old: Resource | None, call: Call) -> dict[str, Any]:
        marks: dict[str, Any] = {"etag": f'W/"{uuid.uuid4()}"'} if self.has_etag else {}
        if self.has_system_data:
            kind = "Application" if call.caller.kind == "application" else "ManagedIdentity"
            moment, caller = self.context.now().isoformat(), call.caller.client_id
            made = {"createdBy": caller, "createdByType": kind, "createdAt": moment}
            changed = {"lastModifiedBy": caller, "lastModifiedByType": kind, "lastModifiedAt": moment}
            marks["systemData"] = {**made, **(old.body.get("systemData", {}) if old else {}), **changed}
        return marks

    def _new(self, parent_id: str, path: Path) -> Resource:
        nested = "" if path.owner.names else f"/providers/{self.type_name.partition('/')[0]}"
        resource_id = f"{parent_id}{nested}/{self.type_name.rpartition('/')[2]}/{path.name}"
        return Resource(resource_id, self.type_name, path.name)

    def _place(self, body: dict[str, Any], old: Resource | None, call: Call) -> None:
        names.check_region(str(body.get("location") or ""), self.type_name)
        body["location"] = names.normalise_region(body["location"])
        body.setdefault("tags", {})
        if old and old.location != body["location"]:
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{old.name}' already exists in location '{old.location}' in resource group "
                f"'{call.path.group}'. A resource with the same name cannot be created in location "
                f"'{body['location']}'. Please select a new resource name.",
            )
