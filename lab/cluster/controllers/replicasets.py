"""ReplicaSets: as many pods as asked for."""

import asyncio

from lab.cluster.client import PODS, REPLICA_SETS, ApiError, Object
from lab.cluster.controllers.common import (
    Context,
    active,
    controller_of,
    owned_by,
    owner_reference,
    ready,
    seconds_until_available,
    terminating,
)
from lab.cluster.events import timestamp
from lab.cluster.informer import Key, Queue, key_of


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, context: Context) -> None:
        self._context, self._client = context, context.client
        self._pods, self._sets = context.cache(PODS), context.cache(REPLICA_SETS)
        self._recorder = context.recorder("replicaset-controller")
        self.queue = Queue("replicaset", self._reconcile)
        self._sets.on_change(lambda obj: self.queue.add(key_of(obj)))
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        owner = controller_of(pod)
        if owner is not None and owner["kind"] == "ReplicaSet":
            self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    async def _reconcile(self, key: Key) -> None:
        owner = self._sets.get(*key)
        if owner is None:
            return
        pods = [pod for pod in self._pods if owned_by(pod, owner) and active(pod)]
        failure: Object | None = None
        if not terminating(owner):
            try:
                pods = await self._scale(owner, pods)
            except ApiError as error:
                failure = {"reason": "FailedCreate", "message": error.message}
                self.queue.add_after(key, 1.0)
        await self._write_status(owner, pods, failure)

    async def _scale(self, owner: Object, pods: list[Object]) -> list[Object]:
        wanted = owner["spec"].get("replicas", 1)
        if len(pods) > wanted:
            doomed = sorted(pods, key=_rank)[: len(pods) - wanted]
            await asyncio.gather(*(self._delete_pod(owner, pod) for pod in doomed))
            return [pod for pod in pods if pod not in doomed]
        created = await asyncio.gather(*(self._create_pod(owner) for _ in range(wanted - len(pods))))
        return pods + list(created)

    async def _create_pod(self, owner: Object) -> Object:
        template = owner["spec"]["template"]
        meta = template.get("metadata", {})
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": template["spec"],
            "metadata": {
                "generateName": f"{owner['metadata']['name']}-",
                "namespace": owner["metadata"]["namespace"],
                "labels": meta.get("labels") or {},
                "annotations": meta.get("annotations") or {},
                "ownerReferences": [owner_reference(owner, "apps/v1", "ReplicaSet")],
            },
        }
        try:
            created = await self._client.create(PODS, pod)
        except ApiError as error:
            self._recorder.warning(_named(owner), "FailedCreate", f"Error creating: {error.message}")
            raise
        self._pods.take(created)
        self._recorder.normal(_named(owner), "SuccessfulCreate", f"Created pod: {created['metadata']['name']}")
        return created

    async def _delete_pod(self, owner: Object, pod: Object) -> None:
        meta = pod["metadata"]
        deleted = await self._client.delete(PODS, meta["namespace"], meta["name"], uid=meta["uid"])
        if deleted is not None and deleted.get("kind") == "Pod":
            self._pods.take(deleted)
        self._recorder.normal(_named(owner), "SuccessfulDelete", f"Deleted pod: {meta['name']}")

    async def _write_status(self, owner: Object, pods: list[Object], failure: Object | None) -> None:
        waits = [seconds_until_available(pod, owner["spec"].get("minReadySeconds", 0)) for pod in pods]
        later = [wait for wait in waits if wait]
        if later:
            self.queue.add_after(key_of(owner), min(later))
        status: Object = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": sum(map(ready, pods)),
            "availableReplicas": sum(wait == 0 for wait in waits),
            "observedGeneration": owner["metadata"].get("generation", 1),
        }
        if failure:
            status["conditions"] = [
                {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": timestamp(), **failure}
            ]
        old = dict(owner.get("status", {}))
        known = {name: old.get(name, 0) for name in status if name != "conditions"}
        if known == {name: value for name, value in status.items() if name != "conditions"} and (
            bool(old.get("conditions")) == bool(failure)
        ):
            return
        new = {key: value for key, value in owner.items() if key != "status"} | {"status": status}
        self._sets.take(await self._client.replace(REPLICA_SETS, new, "status"))


def _rank(pod: Object) -> tuple[bool, bool, bool, str]:
    """What goes first when there are too many: unassigned, pending, unready, and then the youngest."""
    status = pod.get("status", {})
    age = pod["metadata"]["creationTimestamp"]
    youngest_first = "".join(chr(0x10FFFF - ord(letter)) for letter in age)
    return bool(pod["spec"].get("nodeName")), status.get("phase") == "Running", ready(pod), youngest_first


def _named(owner: Object) -> Object:
    """With its kind, which lists leave out."""
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", **owner}
