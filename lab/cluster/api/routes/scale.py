"""The scale of workloads: replicas alone, without the rest of the object.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/ (autoscaling/v1 Scale)
"""

from collections.abc import Callable

from aiohttp import web

from lab.cluster.api.errors import bad_value, invalid, not_found, unsupported_patch
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, clone, dig, metadata
from lab.cluster.api.rest.patching import PATCH_TYPES, patched
from lab.cluster.api.rest.writes import Writer
from lab.cluster.api.routes.call import Call
from lab.cluster.api.routes.resources import check_name
from lab.cluster.api.schema.types import built_in
from lab.cluster.api.store import Store, Stored
from lab.cluster.api.tables.workloads import format_selector

Change = Callable[[Json], Json]

_SCHEMA = "io.k8s.api.autoscaling.v1.Scale"
_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Scales:
    """Answers requests for scale.

    Args:
        store: where the workloads are.
        writer: changes them.
    """

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store, self._writer = store, writer

    async def answer(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Read or change a scale."""
        if call.info.verb == "get":
            found = self._store.find(kind, call.info.namespace, call.info.name)
            if found is None:
                raise not_found(kind.plural, kind.group, call.info.name)
            return call.json(scale_of(found.obj))
        if call.info.verb == "update":
            wanted = await call.fitted(built_in()[_SCHEMA], "Scale")
            check_name(wanted, call.info.name)
            stored = self._set(call, kind, lambda _: wanted)
        else:
            if call.media_type not in PATCH_TYPES:
                raise unsupported_patch()
            raw = await call.request.read()
            stored = self._set(call, kind, lambda now: _fit(call, patched(kind, now, raw, call.media_type)))
        return call.json(scale_of(stored.obj))

    def _set(self, call: Call, kind: Kind, change: Change) -> Stored:
        def with_replicas(live: Json) -> Json:
            scale = change(scale_of(live))
            replicas = int(dig(scale, "spec", "replicas") or 0)
            if replicas < 0:
                finding = bad_value("spec.replicas", replicas, "must be greater than or equal to 0")
                raise invalid("Scale", "autoscaling", call.info.name, [finding])
            obj: Json = clone(live)
            obj["spec"]["replicas"] = replicas
            asked = metadata(scale).get("resourceVersion")
            obj["metadata"]["resourceVersion"] = asked or obj["metadata"]["resourceVersion"]
            return obj

        return self._writer.update(kind, call.info.namespace, call.info.name, with_replicas, call.write())


def _fit(call: Call, obj: Json) -> Json:
    return call.fit_schema(built_in()[_SCHEMA], obj, "Scale", "v1")


def scale_of(workload: Json) -> Json:
    """The scale of a workload."""
    meta = metadata(workload)
    replicas = dig(workload, "spec", "replicas")
    status: Json = {"replicas": int(dig(workload, "status", "replicas") or 0)}
    if selector := dig(workload, "spec", "selector"):
        status["selector"] = format_selector(selector)
    scale: Json = {"kind": "Scale", "apiVersion": "autoscaling/v1"}
    scale["metadata"] = {key: meta[key] for key in _KEPT if key in meta}
    scale["spec"] = {"replicas": replicas} if replicas else {}
    return scale | {"status": status}
