"""Parts of objects with addresses of their own: leads each to the room that answers it."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from lab.cluster.api.errors import method_not_allowed, no_such_resource
from lab.cluster.api.kinds.kind import Kind, Registry
from lab.cluster.api.routes.call import Call
from lab.cluster.api.routes.resources import Resources

Part = Callable[[Call, Kind], Awaitable[web.StreamResponse]]

_OBJECT_PARTS = ("status", "finalize")


class Subresources:
    """Answers requests for parts of objects.

    Args:
        registry: the kinds.
        resources: answers for the parts that are the object itself, seen from another side.
        parts: answers for all others, by name.
    """

    def __init__(self, registry: Registry, resources: Resources, parts: Mapping[str, Part]) -> None:
        self._registry, self._resources, self._parts = registry, resources, parts

    async def answer(self, call: Call) -> web.StreamResponse:
        """Lead a request to the part that it names.

        Raises:
            ApiError: 404 for a part that there isn't, 405 for a verb that it doesn't have.
        """
        info = call.info
        kind = self._registry.find(info.group, info.version, info.resource)
        part = kind.find_subresource(info.subresource) if kind else None
        if kind is None or part is None:
            raise no_such_resource()
        if info.verb not in part.verbs:
            raise method_not_allowed()
        if part.name in _OBJECT_PARTS:
            objects: dict[str, Part] = {
                "get": self._resources.get,
                "update": self._resources.update,
                "patch": self._resources.patch,
            }
            return await objects[info.verb](call, kind)
        answer = self._parts.get(part.name)
        if answer is None:
            raise no_such_resource()
        return await answer(call, kind)
