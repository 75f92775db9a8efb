"""StatefulSets: pods with stable names, one after the other, updated from the highest ordinal down.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/statefulset/stateful_set_control.go
"""

from collections.abc import Mapping, Sequence

from lab.cluster.client import CLAIMS, PODS, STATEFUL_SETS, Object
from lab.cluster.controllers.common import Context, ready, seconds_until_available, terminating
from lab.cluster.controllers.revisions import HASH, Revisions, template_of
from lab.cluster.controllers.workloads import Pods, Words, Workloads
from lab.cluster.informer import Key, Queue, key_of

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
FINISHED = ("Succeeded", "Failed")
_WORDS = Words(
    created="create Pod {pod} in StatefulSet {owner} successful",
    failed="create Pod {pod} in StatefulSet {owner} failed error: {error}",
    deleted="delete Pod {pod} in StatefulSet {owner} successful",
)


class StatefulSets:
    """The StatefulSet controller."""

    def __init__(self, context: Context) -> None:
        self._client, self._claims = context.client, context.cache(CLAIMS)
        self._sets = Workloads(context, STATEFUL_SETS, "StatefulSet", "statefulset-controller")
        self._pods = Pods(context, self._sets, _WORDS)
        self._revisions = Revisions(context, "StatefulSet")
        self.queue = Queue("statefulset", self._reconcile)
        self._sets.follow(self.queue, PODS)

    async def _reconcile(self, key: Key) -> None:
        owner = self._sets.get(key)
        if owner is None or terminating(owner):
            return
        update = await self._revisions.ensure_newest(owner)
        known = {entry["metadata"]["name"]: entry for entry in self._revisions.list_of(owner)}
        current = known.get((owner.get("status") or {}).get("currentRevision") or "", update)
        try:
            await self._move(owner, current, update)
        finally:
            status = await self._write_status(owner, current, update)
        used = {status["currentRevision"], status["updateRevision"]}
        await self._revisions.forget(owner, used | {_revision_of(pod) for pod in self._own(owner).values()})

    def _own(self, owner: Object) -> dict[int, Object]:
        """Ordinal -> pod, lowest first."""
        return {ordinal_of(pod): pod for pod in sorted(self._pods.of(owner), key=ordinal_of)}

    async def _move(self, owner: Object, current: Object, update: Object) -> None:
        """Do what is next: one thing at a time, unless the pods may be made and removed in parallel."""
        pods, one_by_one = self._own(owner), owner["spec"].get("podManagementPolicy") != "Parallel"
        wanted = ordinals_of(owner)
        for ordinal in wanted:
            pod = pods.get(ordinal)
            if pod is None:
                await self._create_pod(owner, update if ordinal >= partition_of(owner) else current, ordinal)
            elif pod.get("status", {}).get("phase") in FINISHED and not terminating(pod):
                await self._pods.delete(owner, pod)
            if one_by_one and not self._is_well(owner, pods.get(ordinal)):
                return
        for ordinal in sorted(set(pods) - set(wanted), reverse=True):
            if not terminating(pods[ordinal]):
                await self._pods.delete(owner, pods[ordinal])
            if one_by_one:
                return
        await self._update(owner, update, {ordinal: pods.get(ordinal) for ordinal in wanted})

    async def _update(self, owner: Object, update: Object, pods: Mapping[int, Object | None]) -> None:
        """Delete the highest pod of another revision, once those above it are well again."""
        if owner["spec"]["updateStrategy"]["type"] == "OnDelete":
            return
        for ordinal in sorted(pods, reverse=True):
            pod = pods[ordinal]
            if ordinal < partition_of(owner) or pod is None:
                return
            if _revision_of(pod) != update["metadata"]["name"] and not terminating(pod):
                await self._pods.delete(owner, pod)
                return
            if not self._is_well(owner, pod):
                return

    def _is_well(self, owner: Object, pod: Object | None) -> bool:
        if pod is None or terminating(pod) or pod.get("status", {}).get("phase") != "Running":
            return False
        wait = seconds_until_available(pod, owner["spec"].get("minReadySeconds", 0))
        if wait:
            self.queue.add_after(key_of(owner), wait)
        return wait == 0

    async def _create_pod(self, owner: Object, revision: Object, ordinal: int) -> None:
        template, name = template_of(revision), f"{owner['metadata']['name']}-{ordinal}"
        labels = {HASH: revision["metadata"]["name"], POD_NAME: name, POD_INDEX: str(ordinal)}
        spec = {**template["spec"], "hostname": name, "subdomain": owner["spec"].get("serviceName", "")}
        spec["volumes"] = [*await self._ensure_claims(owner, name), *_without_claims(owner, template)]
        await self._pods.create(owner, template, name=name, labels=labels, spec=spec)

    async def _ensure_claims(self, owner: Object, pod: str) -> list[Object]:
        """Make the claims that a pod lacks, and return its volumes of them. Claims stay when the pod goes."""
        volumes, namespace = [], owner["metadata"]["namespace"]
        for template in owner["spec"].get("volumeClaimTemplates") or []:
            name = f"{template['metadata']['name']}-{pod}"
            volumes.append({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": name}})
            if self._claims.get(namespace, name) is not None:
                continue
            labels = owner["spec"]["selector"].get("matchLabels") or {}
            meta = {"name": name, "namespace": namespace, "labels": labels}
            body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": template["spec"]}
            self._claims.take(await self._client.create(CLAIMS, body))
            text = f"create Claim {name} Pod {pod} in StatefulSet {owner['metadata']['name']} success"
            self._sets.normal(owner, "SuccessfulCreate", text)
        return volumes

    async def _write_status(self, owner: Object, current: Object, update: Object) -> Object:
        old, least = owner.get("status") or {}, owner["spec"].get("minReadySeconds", 0)
        status = status_of(owner, list(self._own(owner).values()), current, update, least)
        if all(old.get(name, 0) == value for name, value in status.items()):
            return status
        await self._sets.write_status(owner, status)
        return status


def status_of(owner: Object, pods: Sequence[Object], current: Object, update: Object, least_seconds: int) -> Object:
    """What the status says; when every pod is new, the newest revision becomes the current one."""
    running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running" and ready(pod)]
    staying = [_revision_of(pod) for pod in pods if not terminating(pod)]
    names = {"current": current["metadata"]["name"], "update": update["metadata"]["name"]}
    status = {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": len(running),
        "availableReplicas": sum(seconds_until_available(pod, least_seconds) == 0 for pod in running),
        "currentReplicas": staying.count(names["current"]),
        "updatedReplicas": staying.count(names["update"]),
        "currentRevision": names["current"],
        "updateRevision": names["update"],
        "collisionCount": 0,
    }
    counts = {status[name] for name in ("replicas", "readyReplicas", "updatedReplicas")}
    if owner["spec"]["updateStrategy"]["type"] == "RollingUpdate" and counts == {owner["spec"].get("replicas", 1)}:
        status |= {"currentRevision": names["update"], "currentReplicas": status["updatedReplicas"]}
    return status


def ordinals_of(owner: Object) -> range:
    """The ordinals that the pods shall have."""
    start = (owner["spec"].get("ordinals") or {}).get("start", 0)
    return range(start, start + owner["spec"].get("replicas", 1))


def ordinal_of(pod: Object) -> int:
    """The number at the end of a pod's name."""
    return int(pod["metadata"]["name"].rpartition("-")[2])


def partition_of(owner: Object) -> int:
    """The lowest ordinal that an update reaches."""
    return int((owner["spec"]["updateStrategy"].get("rollingUpdate") or {}).get("partition") or 0)


def _revision_of(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(HASH, ""))


def _without_claims(owner: Object, template: Object) -> list[Object]:
    claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates") or []}
    return [volume for volume in template["spec"].get("volumes") or [] if volume["name"] not in claims]
