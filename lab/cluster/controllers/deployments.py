"""Deployments: a replica set for each template, moved from one to the next."""

from datetime import UTC, datetime

from lab.cluster.client import DEPLOYMENTS, PODS, REPLICA_SETS, ApiError, Object
from lab.cluster.controllers import rollout
from lab.cluster.controllers.common import Context, controller_of, owned_by, terminating
from lab.cluster.controllers.deployment_status import conditions_of, deadline_in
from lab.cluster.controllers.workloads import Workloads
from lab.cluster.informer import Key, Queue, key_of

DESIRED, MAXIMUM = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"


class Deployments:
    """The Deployment controller."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._deployments = Workloads(context, DEPLOYMENTS, "Deployment", "deployment-controller")
        self._sets, self._pods = context.cache(REPLICA_SETS), context.cache(PODS)
        self.queue = Queue("deployment", self._reconcile)
        self._deployments.follow(self.queue, REPLICA_SETS)
        self._pods.on_change(self._pod_changed)

    def _pod_changed(self, pod: Object) -> None:
        owner = controller_of(pod)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        entry = self._sets.get(pod["metadata"]["namespace"], owner["name"])
        key = None if entry is None else self._deployments.key_of_owner(entry)
        if key is not None:
            self.queue.add(key)

    async def _reconcile(self, key: Key) -> None:
        deployment = self._deployments.get(key)
        if deployment is None or terminating(deployment):
            return
        sets = [entry for entry in self._sets if owned_by(entry, deployment) and not terminating(entry)]
        new = rollout.find_new(deployment, sets)
        created = False
        if not deployment["spec"].get("paused"):
            new, created = await self._ensure_new(deployment, new, sets)
            deployment = await self._keep_revision(deployment, new)
            await self._move(deployment, new, [entry for entry in sets if entry is not new])
        sets = [entry for entry in self._sets if owned_by(entry, deployment) and not terminating(entry)]
        await self._write_status(deployment, rollout.find_new(deployment, sets), sets, created)
        await self._forget_old(deployment, sets)

    async def _ensure_new(self, deployment: Object, new: Object | None, sets: list[Object]) -> tuple[Object, bool]:
        """The replica set of the present template, with the newest revision; made when it is missing."""
        highest = max((rollout.revision_of(entry) for entry in sets if entry is not new), default=0)
        if new is None:
            return await self._create_set(deployment, sets, highest + 1), True
        if rollout.revision_of(new) <= highest:
            patch = {"metadata": {"annotations": {rollout.REVISION: str(highest + 1)}}}
            new = await self._patch_set(new, patch)
        return new, False

    async def _create_set(self, deployment: Object, sets: list[Object], revision: int) -> Object:
        if self._waits_for_old(deployment, sets):
            size = 0
        else:
            surge, _ = rollout.limits(deployment)
            wanted = deployment["spec"].get("replicas", 1)
            size = max(min(wanted, wanted + surge - sum(map(rollout.replicas_of, sets))), 0)
        collisions = deployment.get("status", {}).get("collisionCount", 0)
        short = rollout.template_hash(rollout.template_of(deployment), collisions)
        reference = self._deployments.reference(deployment)
        body = rollout.replica_set(deployment, reference, rollout.HASH_LABEL, short, size)
        body["metadata"]["annotations"] = _inherited(deployment) | {rollout.REVISION: str(revision)}
        try:
            created = await self._client.create(REPLICA_SETS, body)
        except ApiError as error:
            if error.conflict:
                status = {"status": {"collisionCount": collisions + 1}}
                meta = deployment["metadata"]
                await self._client.patch(DEPLOYMENTS, meta["namespace"], meta["name"], status, subresource="status")
            raise
        self._sets.take(created)
        if size:
            message = f"Scaled up replica set {created['metadata']['name']} from 0 to {size}"
            self._deployments.normal(deployment, "ScalingReplicaSet", message)
        return created

    async def _keep_revision(self, deployment: Object, new: Object) -> Object:
        meta = deployment["metadata"]
        revision = str(rollout.revision_of(new))
        if (meta.get("annotations") or {}).get(rollout.REVISION) == revision:
            return deployment
        patch = {"metadata": {"annotations": {rollout.REVISION: revision}}}
        changed = await self._client.patch(DEPLOYMENTS, meta["namespace"], meta["name"], patch, subresource="status")
        self._deployments.take(changed)
        return changed

    def _waits_for_old(self, deployment: Object, sets: list[Object]) -> bool:
        """Recreate: the old pods must be gone, the terminating ones too."""
        if deployment["spec"].get("strategy", {}).get("type") != "Recreate":
            return False
        new = rollout.find_new(deployment, sets)
        old = [entry for entry in sets if entry is not new]
        return any(rollout.replicas_of(entry) for entry in old) or any(
            owned_by(pod, entry) for pod in self._pods for entry in old
        )

    async def _move(self, deployment: Object, new: Object, old: list[Object]) -> None:
        alive = [entry for entry in old if rollout.replicas_of(entry) > 0]
        if deployment["spec"].get("strategy", {}).get("type") == "Recreate":
            for entry in alive:
                await self._scale(deployment, entry, 0)
            if not self._waits_for_old(deployment, [new, *old]):
                await self._scale(deployment, new, deployment["spec"].get("replicas", 1))
            return
        sizes = rollout.rolling_sizes(deployment, new, alive)
        for entry in (new, *alive):
            if entry["metadata"]["name"] in sizes:
                await self._scale(deployment, entry, sizes[entry["metadata"]["name"]])

    async def _scale(self, deployment: Object, entry: Object, size: int) -> None:
        before = rollout.replicas_of(entry)
        if before == size:
            return
        await self._patch_set(
            entry, {"metadata": {"annotations": _annotations(deployment)}, "spec": {"replicas": size}}
        )
        direction = "up" if size > before else "down"
        message = f"Scaled {direction} replica set {entry['metadata']['name']} from {before} to {size}"
        self._deployments.normal(deployment, "ScalingReplicaSet", message)

    async def _patch_set(self, entry: Object, patch: Object) -> Object:
        meta = entry["metadata"]
        changed = await self._client.patch(REPLICA_SETS, meta["namespace"], meta["name"], patch)
        self._sets.take(changed)
        return changed

    async def _write_status(self, deployment: Object, new: Object | None, sets: list[Object], created: bool) -> None:
        status = rollout.status_of(deployment, new, sets)
        old = deployment.get("status", {})
        if "collisionCount" in old:
            status["collisionCount"] = old["collisionCount"]
        now = datetime.now(UTC)
        status["conditions"] = conditions_of(deployment, status, new, created, now)
        wait = deadline_in(deployment, status, now)
        if wait is not None:
            self.queue.add_after(key_of(deployment), wait)
        if {key: value for key, value in status.items() if value} == {
            key: value for key, value in old.items() if value
        }:
            return
        await self._deployments.write_status(deployment, status)

    async def _forget_old(self, deployment: Object, sets: list[Object]) -> None:
        """Keep only as much history as asked for."""
        new = rollout.find_new(deployment, sets)
        idle = [
            entry
            for entry in sets
            if entry is not new and not rollout.replicas_of(entry) and not entry.get("status", {}).get("replicas")
        ]
        surplus = len(idle) - deployment["spec"].get("revisionHistoryLimit", 10)
        for entry in sorted(idle, key=rollout.revision_of)[: max(surplus, 0)]:
            meta = entry["metadata"]
            await self._client.delete(REPLICA_SETS, meta["namespace"], meta["name"], uid=meta["uid"])


def _annotations(deployment: Object) -> dict[str, str]:
    wanted = deployment["spec"].get("replicas", 1)
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + rollout.limits(deployment)[0])}


def _inherited(deployment: Object) -> dict[str, str]:
    left_out = (rollout.REVISION, "kubectl.kubernetes.io/last-applied-configuration")
    given = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in given.items() if key not in left_out} | _annotations(deployment)
