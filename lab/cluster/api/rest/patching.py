"""PATCH: the four formats, each as a change of the present object."""

import json
from typing import TYPE_CHECKING

from lab.cluster.api.errors import bad_patch, bad_request, conflict, invalid, required
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, metadata, name_of
from lab.cluster.api.patches.apply import Configuration, apply_configuration, untyped
from lab.cluster.api.patches.merge import json_patch, merge_patch
from lab.cluster.api.patches.strategic import strategic_merge
from lab.cluster.api.requests import is_true
from lab.cluster.api.rest.writes import Writer
from lab.cluster.api.schema.decoding import Unfit, conform, parse
from lab.cluster.api.store import Stored

if TYPE_CHECKING:
    from lab.cluster.api.routes.call import Call

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCH_TYPES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH, STRATEGIC_PATCH)


class Patcher:
    """Applies patches.

    Args:
        writer: stores the results.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def patch(self, call: "Call", kind: Kind, body: bytes) -> tuple[Stored, bool]:
        """Apply the patch of a request.

        Returns:
            The object, and whether it is new.
        """
        if call.media_type == APPLY_PATCH:
            return self._apply(call, kind, body)
        namespace = call.info.namespace if kind.namespaced else ""

        def change(now: Json) -> Json:
            try:
                return call.fit(kind, patched(kind, now, body, call.media_type))
            except Unfit as unfit:
                raise bad_patch(unfit.why) from None

        return self._writer.update(kind, namespace, call.info.name, change, call.write()), False

    def _apply(self, call: "Call", kind: Kind, body: bytes) -> tuple[Stored, bool]:
        write = call.write("Apply")
        obj = parse(body, "application/yaml", kind.kind)
        _check_configuration(call, kind, obj)
        decoded = conform(kind.schema, obj, kind.kind, kind.version)
        if decoded.problems:
            raise untyped(kind, obj, _undeclared(decoded.problems[0]))
        obj = decoded.obj
        wanted = Configuration(obj, write.manager, is_true(call.request.query, "force"))
        namespace, name = call.info.namespace if kind.namespaced else "", call.info.name

        def change(live: Json) -> Json:
            return apply_configuration(kind, live, wanted, self._writer.now())

        if self._writer.store.find(kind, namespace, name) is not None:
            return self._writer.update(kind, namespace, name, change, write), False
        if uid := metadata(obj).get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(kind.plural, kind.group, name, why)
        return self._writer.create(kind, namespace, change({}), write), True


def _undeclared(problem: str) -> str:
    what, _, path = problem.partition(" field ")
    path = path.strip('"')
    return f".{path}: field not declared in schema" if what == "unknown" else f'duplicate field "{path}"'


def _check_configuration(call: "Call", kind: Kind, obj: Json) -> None:
    if not call.request.query.get("fieldManager"):
        finding = required("fieldManager", "is required for apply patch")
        raise invalid("PatchOptions", "meta.k8s.io", "", [finding])
    if "managedFields" in metadata(obj):
        raise bad_request("metadata.managedFields must be nil")
    if (obj.get("kind"), obj.get("apiVersion")) != (kind.kind, kind.api_version):
        raise bad_request("the apiVersion and kind of the configuration must be those of the address")
    obj.setdefault("metadata", {})
    if not name_of(obj):
        obj["metadata"]["name"] = call.info.name
    if name_of(obj) != call.info.name:
        raise bad_request(
            f"the name of the object ({name_of(obj)}) does not match the name on the URL ({call.info.name})"
        )
    if kind.namespaced:
        obj["metadata"]["namespace"] = call.info.namespace


def patched(kind: Kind, now: Json, body: bytes, media_type: str) -> Json:
    """An object with a patch applied, other than server-side apply.

    Raises:
        ApiError: 400 for a patch that cannot be read, 422 for one that cannot be applied.
    """
    if media_type == JSON_PATCH:
        return json_patch(now, body)
    try:
        patch = json.loads(body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a patch is an object")
    if media_type == MERGE_PATCH or kind.custom:
        result: Json = merge_patch(now, patch)
        return result
    return strategic_merge(kind.schema, now, patch)
