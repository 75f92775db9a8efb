"""DaemonSets: one pod on every node that its template fits, replaced node by node.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/controller/daemon/daemon_controller.go
"""

import json
from collections.abc import Mapping, Sequence

from lab.cluster.client import DAEMON_SETS, NODES, PODS, Object
from lab.cluster.controllers.common import Context, ready, seconds_until_available, terminating
from lab.cluster.controllers.revisions import HASH, Revisions, hash_of, template_of
from lab.cluster.controllers.rollout import resolve
from lab.cluster.controllers.workloads import Pods, Workloads
from lab.cluster.informer import Key, Queue, key_of

GENERATION, GENERATION_LABEL = "deprecated.daemonset.template.generation", "pod-template-generation"
FINISHED = ("Succeeded", "Failed")
_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


class DaemonSets:
    """The DaemonSet controller."""

    def __init__(self, context: Context) -> None:
        self._sets = Workloads(context, DAEMON_SETS, "DaemonSet", "daemonset-controller")
        self._pods, self._nodes = Pods(context, self._sets), context.cache(NODES)
        self._revisions = Revisions(context, "DaemonSet")
        self.queue = Queue("daemonset", self._reconcile)
        self._sets.follow(self.queue, PODS)
        self._nodes.on_change(lambda _: self._retry_all())

    def _retry_all(self) -> None:
        for owner in self._sets:
            self.queue.add(key_of(owner))

    async def _reconcile(self, key: Key) -> None:
        owner = self._sets.get(key)
        if owner is None or terminating(owner):
            return
        newest = await self._revisions.ensure_newest(owner)
        nodes = [node["metadata"]["name"] for node in self._nodes if runs_on(owner, node)]
        try:
            await self._move(owner, newest, nodes)
        finally:
            await self._write_status(owner, newest, nodes)
        used = {f"{key[1]}-{_hash_of_pod(pod)}" for pods in self._by_node(owner).values() for pod in pods}
        await self._revisions.forget(owner, used | {newest["metadata"]["name"]})

    def _by_node(self, owner: Object) -> dict[str, list[Object]]:
        """Node -> its pods, those that are on their way to it included."""
        found: dict[str, list[Object]] = {}
        for pod in self._pods.of(owner):
            found.setdefault(_node_of(pod), []).append(pod)
        return found

    async def _move(self, owner: Object, newest: Object, nodes: Sequence[str]) -> None:
        by_node = self._by_node(owner)
        for node in nodes:
            pods = by_node.get(node, [])
            for pod in pods:
                if pod.get("status", {}).get("phase") in FINISHED and not terminating(pod):
                    await self._pods.delete(owner, pod)
            if not pods:
                await self._create_pod(owner, newest, node)
        for node in set(by_node) - set(nodes):
            for pod in by_node[node]:
                if not terminating(pod):
                    await self._pods.delete(owner, pod)
        if owner["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            await self._update(owner, hash_of(newest), {node: by_node.get(node, []) for node in nodes})

    async def _update(self, owner: Object, newest: str, by_node: Mapping[str, Sequence[Object]]) -> None:
        """Delete old pods: those that are not available, and of the others as many as may be missing."""
        rolling = owner["spec"]["updateStrategy"].get("rollingUpdate") or {}
        room, available = resolve(rolling.get("maxUnavailable", 1), len(by_node), up=True), []
        for pods in by_node.values():
            staying = [pod for pod in pods if not terminating(pod)]
            is_well = len(pods) == 1 == len(staying) and self._is_available(owner, staying[0])
            room -= not is_well
            for pod in staying:
                if _hash_of_pod(pod) == newest:
                    continue
                if is_well:
                    available.append(pod)
                else:
                    await self._pods.delete(owner, pod)
        for pod in available[: max(room, 0)]:
            await self._pods.delete(owner, pod)

    def _is_available(self, owner: Object, pod: Object) -> bool:
        wait = seconds_until_available(pod, owner["spec"].get("minReadySeconds", 0))
        if wait:
            self.queue.add_after(key_of(owner), wait)
        return wait == 0

    async def _create_pod(self, owner: Object, newest: Object, node: str) -> None:
        template, generation = template_of(newest), (owner["metadata"].get("annotations") or {}).get(GENERATION, "1")
        labels = {HASH: hash_of(newest), GENERATION_LABEL: generation}
        await self._pods.create(owner, template, labels=labels, spec=_bound_to(template["spec"], node))

    async def _write_status(self, owner: Object, newest: Object, nodes: Sequence[str]) -> None:
        by_node, old = self._by_node(owner), owner.get("status") or {}
        first = [by_node[node][0] for node in nodes if by_node.get(node)]
        available = [pod for pod in first if ready(pod) and self._is_available(owner, pod)]
        status = {
            "currentNumberScheduled": len(first),
            "numberMisscheduled": len(set(by_node) - set(nodes)),
            "desiredNumberScheduled": len(nodes),
            "numberReady": sum(map(ready, first)),
            "observedGeneration": owner["metadata"].get("generation", 1),
            "updatedNumberScheduled": sum(_hash_of_pod(pod) == hash_of(newest) for pod in first),
            "numberAvailable": len(available),
            "numberUnavailable": len(nodes) - len(available),
        }
        if all(old.get(name, 0) == value for name, value in status.items()):
            return
        await self._sets.write_status(owner, status)


def runs_on(owner: Object, node: Object) -> bool:
    """Whether a node gets a pod: nodes that take no other pods do, those that its selector leaves out do not."""
    selector = owner["spec"]["template"]["spec"].get("nodeSelector") or {}
    labels = node["metadata"].get("labels") or {}
    return not terminating(node) and all(labels.get(key) == value for key, value in selector.items())


def _bound_to(spec: Object, node: str) -> Object:
    """A pod's spec that the scheduler can only bind to one node."""
    bound: Object = json.loads(json.dumps(spec))
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    affinity = bound.get("affinity") or {}
    bound["affinity"] = affinity | {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    bound["tolerations"] = [
        *(bound.get("tolerations") or []),
        *({"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": effect} for key, effect in _TOLERATED),
    ]
    return bound


def _node_of(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or named_node(pod))


def named_node(pod: Object) -> str:
    """The one node that a pod's affinity names; empty: none."""
    wanted = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    fields = [field for term in wanted.get("nodeSelectorTerms") or [] for field in term.get("matchFields") or []]
    return next((field["values"][0] for field in fields if field["key"] == "metadata.name"), "")


def _hash_of_pod(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(HASH, ""))
