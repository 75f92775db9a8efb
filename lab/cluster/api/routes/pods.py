"""What can be done with a pod besides reading and writing it: bind it to a node, evict it."""

from aiohttp import web

from lab.cluster.api.errors import bad_request, conflict, not_found
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, clone, dig, metadata, name_of, timestamp
from lab.cluster.api.rest.deletion import DeleteOptions, Deleter
from lab.cluster.api.rest.writes import Writer
from lab.cluster.api.routes.call import Call
from lab.cluster.api.schema.types import built_in
from lab.cluster.api.store import Store

_EVICTION = "io.k8s.api.policy.v1.Eviction"
_BINDING = "io.k8s.api.core.v1.Binding"
_SUCCESS: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodParts:
    """Answers requests for a pod's binding and eviction.

    Args:
        store: where pods are.
        writer: changes them.
        deleter: deletes them.
    """

    def __init__(self, store: Store, writer: Writer, deleter: Deleter) -> None:
        self._store, self._writer, self._deleter = store, writer, deleter

    async def evict(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Delete a pod in the manner of a drained node."""
        if self._store.find(kind, call.info.namespace, call.info.name) is None:
            raise not_found(kind.plural, kind.group, call.info.name)
        eviction = await call.fitted(built_in()[_EVICTION], "Eviction")
        options = DeleteOptions.of(eviction.get("deleteOptions") or {}, call.request.query)
        self._deleter.delete(kind, call.info.namespace, call.info.name, options)
        return call.json(_SUCCESS, 201)

    async def bind(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Assign a pod to a node."""
        binding = await call.fitted(built_in()[_BINDING], "Binding")
        if name_of(binding) != call.info.name:
            raise bad_request("name in URL does not match name in Binding object")
        node = dig(binding, "target", "name")
        if not node:
            raise bad_request('Binding "" is invalid: target.name: Required value')
        self._writer.update(kind, call.info.namespace, call.info.name, lambda pod: self._bound(pod, node), call.write())
        return call.json(_SUCCESS, 201)

    def _bound(self, pod: Json, node: str) -> Json:
        name = metadata(pod)["name"]
        if assigned := pod["spec"].get("nodeName"):
            raise conflict("pods/binding", "", name, f'pod {name} is already assigned to node "{assigned}"')
        if metadata(pod).get("deletionTimestamp"):
            raise conflict("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
        bound: Json = clone(pod)
        bound["spec"]["nodeName"] = node
        others = [c for c in dig(bound, "status", "conditions") or () if c.get("type") != "PodScheduled"]
        at = timestamp(self._writer.now())
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": at}
        bound["status"] = {**(bound.get("status") or {}), "conditions": [*others, scheduled]}
        return bound


def pod_of(store: Store, kind: Kind, call: Call) -> Json:
    """The pod that a request names.

    Raises:
        ApiError: 404 if there is none.
    """
    found = store.find(kind, call.info.namespace, call.info.name)
    if found is None:
        raise not_found(kind.plural, kind.group, call.info.name)
    return found.obj
