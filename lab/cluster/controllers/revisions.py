"""Revisions of a StatefulSet or DaemonSet: each pod template that it has had, as a ControllerRevision.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/history/controller_history.go
"""

import json

from lab.cluster.client import REVISIONS, Object
from lab.cluster.controllers import rollout
from lab.cluster.controllers.common import Context, owned_by, owner_reference

HASH = "controller-revision-hash"
_LABELS = {"StatefulSet": "controller.kubernetes.io/hash", "DaemonSet": HASH}
"""Where a revision has the hash of its template."""


class Revisions:
    """The revisions of one kind of workload.

    Args:
        context: the caches.
        kind: "StatefulSet" or "DaemonSet".
    """

    def __init__(self, context: Context, kind: str) -> None:
        self._client, self._cache, self._kind = context.client, context.cache(REVISIONS), kind

    def list_of(self, owner: Object) -> list[Object]:
        """The revisions of a workload, the newest last."""
        return sorted((entry for entry in self._cache if owned_by(entry, owner)), key=lambda entry: entry["revision"])

    async def ensure_newest(self, owner: Object) -> Object:
        """The revision of the present template, made or moved to the end if it is not the newest."""
        known, data = self.list_of(owner), _data_of(owner)
        newest = known[-1]["revision"] if known else 0
        same = next((entry for entry in known if entry["data"] == data), None)
        if same is None:
            return await self._create(owner, data, newest + 1)
        if same["revision"] < newest:
            meta = same["metadata"]
            patch = {"revision": newest + 1}
            same = await self._client.patch(REVISIONS, meta["namespace"], meta["name"], patch)
            self._cache.take(same)
        return same

    async def _create(self, owner: Object, data: Object, number: int) -> Object:
        meta, short = owner["metadata"], rollout.template_hash(data)
        created = await self._client.create(
            REVISIONS,
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "name": f"{meta['name']}-{short}",
                    "namespace": meta["namespace"],
                    "labels": (owner["spec"]["template"]["metadata"].get("labels") or {})
                    | {_LABELS[self._kind]: short},
                    "ownerReferences": [owner_reference(owner, "apps/v1", self._kind)],
                },
                "data": data,
                "revision": number,
            },
        )
        self._cache.take(created)
        return created

    async def forget(self, owner: Object, used: set[str]) -> None:
        """Keep only as many of the unused revisions as asked for."""
        idle = [entry for entry in self.list_of(owner) if entry["metadata"]["name"] not in used]
        for entry in idle[: max(len(idle) - owner["spec"].get("revisionHistoryLimit", 10), 0)]:
            meta = entry["metadata"]
            await self._client.delete(REVISIONS, meta["namespace"], meta["name"], uid=meta["uid"])


def template_of(revision: Object) -> Object:
    """The pod template that a revision keeps."""
    template: Object = json.loads(json.dumps(revision["data"]["spec"]["template"]))
    template.pop("$patch", None)
    return template


def hash_of(revision: Object) -> str:
    """The short name of a revision's template."""
    labels = revision["metadata"]["labels"]
    return str(next(labels[name] for name in _LABELS.values() if name in labels))


def _data_of(owner: Object) -> Object:
    template: Object = json.loads(json.dumps(owner["spec"]["template"]))
    template.get("metadata", {}).pop("creationTimestamp", None)
    return {"spec": {"template": {**template, "$patch": "replace"}}}
