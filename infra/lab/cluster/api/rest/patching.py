"""PATCH: the four formats, each as a change of the present object."""

import json
from typing import TYPE_CHECKING

from infra.lab.cluster.api.errors import bad_request
from infra.lab.cluster.api.kinds.kind import Kind
from infra.lab.cluster.api.objects import Json
from infra.lab.cluster.api.patches.merge import json_patch, merge_patch
from infra.lab.cluster.api.patches.strategic import strategic_merge
from infra.lab.cluster.api.rest.writes import Writer
from infra.lab.cluster.api.store import Stored

if TYPE_CHECKING:
    from infra.lab.cluster.api.routes.call import Call

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
        namespace = call.info.namespace if kind.namespaced else ""

        def change(now: Json) -> Json:
            return call.fit(kind, patched(kind, now, body, call.media_type))

        return self._writer.update(kind, namespace, call.info.name, change, call.write()), False


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
