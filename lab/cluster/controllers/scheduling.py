"""Pods find their node, and claims their volume."""

from lab.cluster.client import CLAIMS, NODES, PODS, STRATEGIC, Object
from lab.cluster.controllers.common import Context, condition, terminating
from lab.cluster.controllers.daemonsets import named_node
from lab.cluster.events import timestamp
from lab.cluster.informer import Key, Queue, key_of


class Scheduling:
    """The scheduler, for as many nodes as there are, and the provisioner of volumes."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pods, self._nodes, self._claims = context.cache(PODS), context.cache(NODES), context.cache(CLAIMS)
        self._recorder = context.recorder("default-scheduler")
        self.queue, self.claims = Queue("scheduler", self._reconcile), Queue("claims", self._bind_claim)
        self._pods.on_change(lambda obj: self.queue.add(key_of(obj)))
        self._claims.on_change(lambda obj: self.claims.add(key_of(obj)))
        for cache in (self._nodes, self._claims):
            cache.on_change(lambda _: self._retry_all())

    def _retry_all(self) -> None:
        for pod in self._pods:
            if not pod["spec"].get("nodeName"):
                self.queue.add(key_of(pod))

    async def _reconcile(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or pod["spec"].get("nodeName") or terminating(pod):
            return
        problem = self._find_problem(pod)
        if problem:
            await self._tell(pod, problem)
            return
        usable = [node["metadata"]["name"] for node in self._usable()]
        node = named_node(pod) or min(usable, key=self._load)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            "metadata": {"name": key[1], "namespace": key[0], "uid": pod["metadata"]["uid"]},
        }
        await self._client.create(PODS, binding, "binding")
        text = f"Successfully assigned {key[0]}/{key[1]} to {node}"
        self._recorder.normal(_named(pod), "Scheduled", text)

    def _usable(self) -> list[Object]:
        def up(node: Object) -> bool:
            entry = condition(node, "Ready")
            return entry is not None and entry["status"] == "True" and not node["spec"].get("unschedulable")

        return [node for node in self._nodes if up(node) and not terminating(node)]

    def _load(self, node: str) -> int:
        return sum(pod["spec"].get("nodeName") == node for pod in self._pods)

    def _find_problem(self, pod: Object) -> str:
        nodes = list(self._nodes)
        if not nodes:
            return "no nodes available to schedule pods"
        text = f"0/{len(nodes)} nodes are available: "
        for volume in pod["spec"].get("volumes") or []:
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim and self._claims.get(pod["metadata"]["namespace"], claim) is None:
                return f'{text}persistentvolumeclaim "{claim}" not found. not found'
        if (only := named_node(pod)) and self._nodes.get("", only) is None:
            return f"{text}{len(nodes)} node(s) didn't satisfy plugin(s) [NodeAffinity]."
        if not self._usable() and not only:
            return f"{text}{len(nodes)} node(s) were unschedulable. preemption: 0/{len(nodes)} nodes are available."
        return ""

    async def _tell(self, pod: Object, problem: str) -> None:
        meta = pod["metadata"]
        before = condition(pod, "PodScheduled")
        if before is not None and before.get("message") == problem:
            return
        self._recorder.warning(_named(pod), "FailedScheduling", problem)
        entry = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": problem,
            "lastTransitionTime": timestamp(),
            "lastProbeTime": None,
        }
        patch = {"status": {"conditions": [entry]}}
        # by type: a merge patch would take away what the kubelet has said meanwhile
        await self._client.patch(PODS, meta["namespace"], meta["name"], patch, kind=STRATEGIC, subresource="status")

    async def _bind_claim(self, key: Key) -> None:
        claim = self._claims.get(*key)
        if claim is None or claim.get("status", {}).get("phase") == "Bound":
            return
        name = f"pvc-{claim['metadata']['uid']}"
        status = {
            "phase": "Bound",
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        }
        await self._client.patch(CLAIMS, *key, {"spec": {"volumeName": name}})
        await self._client.patch(CLAIMS, *key, {"status": status}, subresource="status")


def _named(pod: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", **pod}
