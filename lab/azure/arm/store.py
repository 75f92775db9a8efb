"""What exists in the subscription: resources by id, compared without case, with the casing they were created in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.azure.arm import ids
from lab.azure.arm.operations import Operation

SUCCEEDED = "Succeeded"


@dataclass
class Resource:
    """One resource as it is kept.

    Args:
        id: its id in the casing of its creation.
        type: its full type in Azure's casing.
        name: its name.
        body: everything but id, name and type; write-only properties are not in it.
        state: the provisioning state.
        operation: the operation that is or was last under way on it.
        is_real: whether its backend has been started.
    """

    id: str
    type: str
    name: str
    body: dict[str, Any] = field(default_factory=dict)
    state: str = SUCCEEDED
    operation: Operation | None = None
    is_real: bool = False

    @property
    def properties(self) -> dict[str, Any]:
        """The object under "properties", made when absent."""
        found: dict[str, Any] = self.body.setdefault("properties", {})
        return found

    @property
    def location(self) -> str:
        """Its region, empty for those without."""
        return str(self.body.get("location", ""))

    @property
    def is_busy(self) -> bool:
        """Whether an operation on it is under way."""
        return self.operation is not None and not self.operation.is_done


class Store:
    """All resources, resource groups included."""

    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}

    def find(self, resource_id: str) -> Resource | None:
        """The resource with this id, or None."""
        return self._resources.get(ids.key(resource_id))

    def put(self, resource: Resource) -> None:
        """Keep a resource."""
        self._resources[ids.key(resource.id)] = resource

    def delete(self, resource_id: str) -> None:
        """Forget a resource and all that is nested in it."""
        for resource in list(self.within(resource_id)):
            del self._resources[ids.key(resource.id)]

    def within(self, scope: str, type_name: str = "") -> Iterator[Resource]:
        """The resources at or below `scope`, of one type if it is given."""
        wanted = type_name.lower()
        for resource in list(self._resources.values()):
            if ids.is_within(resource.id, scope) and wanted in ("", resource.type.lower()):
                yield resource

    def named(self, type_name: str, name: str) -> Resource | None:
        """The resource of a type whose names are unique everywhere."""
        for resource in self._resources.values():
            if resource.type.lower() == type_name.lower() and resource.name.lower() == name.lower():
                return resource
        return None

    def users_of(self, resource_id: str) -> list[Resource]:
        """The resources outside of `resource_id` that name it."""
        wanted = json.dumps(ids.key(resource_id))
        return [
            resource
            for resource in self._resources.values()
            if not ids.is_within(resource.id, resource_id)
            and not ids.is_within(resource_id, resource.id)
            and wanted in json.dumps(resource.body).lower()
        ]
