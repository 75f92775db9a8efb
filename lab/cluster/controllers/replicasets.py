"""ReplicaSets: as many pods as asked for."""

import asyncio

from lab.cluster.client import PODS, REPLICA_SETS, ApiError, Object
from lab.cluster.controllers.common import Context, active, ready, seconds_until_available, terminating
from lab.cluster.controllers.workloads import Pods, Workloads
from lab.cluster.events import timestamp
from lab.cluster.informer import Key, Queue, key_of


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, context: Context) -> None:
        self._sets = Workloads(context, REPLICA_SETS, "ReplicaSet", "replicaset-controller")
        self._pods = Pods(context, self._sets)
        self.queue = Queue("replicaset", self._reconcile)
        self._sets.follow(self.queue, PODS)

    async def _reconcile(self, key: Key) -> None:
        owner = self._sets.get(key)
        if owner is None:
            return
        pods = [pod for pod in self._pods.of(owner) if active(pod)]
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
            await asyncio.gather(*(self._pods.delete(owner, pod) for pod in doomed))
            return [pod for pod in pods if pod not in doomed]
        template = owner["spec"]["template"]
        created = await asyncio.gather(*(self._pods.create(owner, template) for _ in range(wanted - len(pods))))
        return pods + list(created)

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
        await self._sets.write_status(owner, status)


def _rank(pod: Object) -> tuple[bool, bool, bool, str]:
    """What goes first when there are too many: unassigned, pending, unready, and then the youngest."""
    status = pod.get("status", {})
    age = pod["metadata"]["creationTimestamp"]
    youngest_first = "".join(chr(0x10FFFF - ord(letter)) for letter in age)
    return bool(pod["spec"].get("nodeName")), status.get("phase") == "Running", ready(pod), youngest_first
