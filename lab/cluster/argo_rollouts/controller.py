"""The controller: it waits for its custom resource, then moves the ReplicaSets of each Rollout and restarts its pods.

A canary without steps is a rolling update. Steps are `setWeight`, and `pause: {}`, which lasts until somebody takes the
pause conditions out of the status. A restart evicts the pods that are older than `restartAt`:
https://github.com/argoproj/argo-rollouts/blob/v1.8.3/rollout/restart.go
"""

from datetime import UTC, datetime

from lab.cluster.argo_rollouts.status import HASH, KEPT, as_deployment, describe, hash_of, wanted_by
from lab.cluster.client import DEPLOYMENTS, PODS, REPLICA_SETS, ApiError, Client, Object, Resource
from lab.cluster.controllers import rollout
from lab.cluster.controllers.common import (
    controller_of,
    owned_by,
    owner_reference,
    seconds_until_available,
    terminating,
)
from lab.cluster.events import timestamp
from lab.cluster.informer import AddOn, Informer, Key, key_of

GROUP_VERSION = "argoproj.io/v1alpha1"
ROLLOUTS = Resource(GROUP_VERSION, "rollouts")
RESTART_CHECK_SECONDS = 30.0
TOO_MANY_REQUESTS = 429
UNKNOWN = "the lab knows canaries with maxSurge, maxUnavailable and the steps setWeight and pause: {} alone"


class Rollouts(AddOn):
    """Argo Rollouts in one cluster.

    Args:
        client: an administrator's client of the API server.
    """

    def __init__(self, client: Client) -> None:
        self._sets, self._pods, self._rollouts = (Informer(client, kind) for kind in (REPLICA_SETS, PODS, ROLLOUTS))
        super().__init__(client, "rollouts.argoproj.io", self._sets, self._pods, self._rollouts)
        self._rollouts.on_change(lambda owner: self._queue.add(key_of(owner)))
        self._sets.on_change(self._set_changed)
        self._pods.on_change(self._pod_changed)

    def _set_changed(self, entry: Object) -> None:
        if (owner := controller_of(entry)) and owner["kind"] == "Rollout":
            self._queue.add((entry["metadata"]["namespace"], owner["name"]))

    def _pod_changed(self, pod: Object) -> None:
        if (owner := controller_of(pod)) and (entry := self._sets.get(pod["metadata"]["namespace"], owner["name"])):
            self._set_changed(entry)

    async def _reconcile(self, key: Key) -> None:
        found = await self._client.find(ROLLOUTS, *key)
        if found is None or terminating(found):
            return
        if not _is_known(found):
            await self._write(found, _invalid(found))
            return
        owner = await self._resolve(found)
        new, created = await self._ensure_new(owner)
        kept = _remember(owner, new)
        others = [entry for entry in self._own(owner) if entry["metadata"]["uid"] != new["metadata"]["uid"]]
        await self._restart(owner, kept)
        if not owner["spec"].get("paused"):
            await self._move(owner, kept, new, others)
        new, *others = (self._newest(entry) for entry in (new, *others))
        status = describe(owner, kept, new, [new, *others], created)
        if _is_complete(owner, kept, status):
            kept |= {"stableRS": hash_of(new), "currentStepIndex": len(_steps_of(owner))}
            status = describe(owner, kept, new, [new, *others], created)
        await self._write(found, status)
        await self._forget(owner, others)

    async def _resolve(self, owner: Object) -> Object:
        """With the template, and if need be the selector, of the Deployment that it refers to."""
        spec, reference = owner["spec"], owner["spec"].get("workloadRef")
        if reference:
            other = await self._client.get(DEPLOYMENTS, owner["metadata"]["namespace"], reference["name"])
            selector = spec.get("selector") or other["spec"]["selector"]
            spec = {**spec, "template": other["spec"]["template"], "selector": selector}
        return {**owner, "spec": spec}

    def _own(self, owner: Object) -> list[Object]:
        return [entry for entry in self._sets if owned_by(entry, owner) and not terminating(entry)]

    def _newest(self, entry: Object) -> Object:
        return self._sets.get(*key_of(entry)) or entry

    async def _ensure_new(self, owner: Object) -> tuple[Object, bool]:
        """The replica set of the present template; made, without pods, when it is missing."""
        short = rollout.template_hash(owner["spec"]["template"])
        for entry in self._own(owner):
            if hash_of(entry) == short:
                return entry, False
        reference = owner_reference(owner, GROUP_VERSION, "Rollout")
        created = await self._client.create(REPLICA_SETS, rollout.replica_set(owner, reference, HASH, short))
        self._sets.take(created)
        return created, True

    async def _move(self, owner: Object, kept: Object, new: Object, others: list[Object]) -> None:
        """Scale towards what the present step wants, and go on to the next one when that is there."""
        steps, index = _steps_of(owner), kept["currentStepIndex"]
        if index >= len(steps):
            alive = [entry for entry in others if rollout.replicas_of(entry)]
            sizes = rollout.rolling_sizes(as_deployment(owner), new, alive)
            for entry in (new, *alive):
                await self._scale(entry, sizes.get(entry["metadata"]["name"], rollout.replicas_of(entry)))
            return
        if await self._reach_weight(owner, kept, new, others) and "setWeight" in steps[index]:
            kept["currentStepIndex"] += 1
            self._queue.add(key_of(owner))
        elif "pause" in steps[index] and not kept.get("pauseConditions"):
            if kept.pop("controllerPause", False):  # somebody took the condition away: it is promoted
                kept["currentStepIndex"] += 1
                self._queue.add(key_of(owner))
            else:
                kept["pauseConditions"] = [{"reason": "CanaryPauseStep", "startTime": timestamp()}]
                kept["controllerPause"] = True

    async def _reach_weight(self, owner: Object, kept: Object, new: Object, others: list[Object]) -> bool:
        """Give the new template its part of the pods, first up, then the stable one down."""
        done = _steps_of(owner)[: kept["currentStepIndex"] + 1]
        weight = next((step["setWeight"] for step in reversed(done) if "setWeight" in step), 0)
        part = -(-wanted_by(owner) * weight // 100)
        await self._scale(new, part)
        if rollout.available_of(self._newest(new)) < part:
            return False
        for entry in others:
            await self._scale(entry, wanted_by(owner) - part if hash_of(entry) == kept["stableRS"] else 0)
        return True

    async def _scale(self, entry: Object, size: int) -> None:
        if rollout.replicas_of(entry) != size:
            meta, patch = entry["metadata"], {"spec": {"replicas": size}}
            self._sets.take(await self._client.patch(REPLICA_SETS, meta["namespace"], meta["name"], patch))

    async def _restart(self, owner: Object, kept: Object) -> None:
        """Evict pods that are older than `restartAt`, as many as availability allows; one at least."""
        asked = owner["spec"].get("restartAt")
        if not asked or asked == kept.get("restartedAt"):
            return
        since, key = datetime.fromisoformat(asked), key_of(owner)
        if (wait := (since - datetime.now(UTC)).total_seconds()) >= 0:
            self._queue.add_after(key, wait + 0.01)
            return
        sets = self._own(owner)
        pods = [pod for pod in self._pods if any(owned_by(pod, entry) for entry in sets)]
        old = [pod for pod in pods if datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) < since]
        evicted = [pod for pod in self._choose(owner, sets, pods, old) if await self._evict(pod)]
        if len(old) > len(evicted):
            self._queue.add_after(key, RESTART_CHECK_SECONDS)
        else:
            kept["restartedAt"] = asked

    def _choose(self, owner: Object, sets: list[Object], pods: list[Object], old: list[Object]) -> list[Object]:
        least_seconds = owner["spec"].get("minReadySeconds") or 0
        available = [pod for pod in pods if not terminating(pod) and seconds_until_available(pod, least_seconds) == 0]
        at_once = max(rollout.limits(as_deployment(owner))[1], 1)
        least = max(wanted_by(owner), sum(map(rollout.replicas_of, sets))) - at_once
        return [pod for pod in old if not terminating(pod)][: max(len(available) - least, 0)]

    async def _evict(self, pod: Object) -> bool:
        meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        try:
            await self._client.create(PODS, body, "eviction")
        except ApiError as error:
            if error.status != TOO_MANY_REQUESTS:
                raise
            return False  # a disruption budget; asked again later
        return True

    async def _write(self, owner: Object, status: Object) -> None:
        if status != owner.get("status"):
            self._rollouts.take(await self._client.replace(ROLLOUTS, owner | {"status": status}, "status"))

    async def _forget(self, owner: Object, others: list[Object]) -> None:
        limit = owner["spec"].get("revisionHistoryLimit")
        idle = [entry for entry in others if not rollout.replicas_of(entry) and not entry["status"].get("replicas")]
        idle.sort(key=lambda entry: str(entry["metadata"]["creationTimestamp"]), reverse=True)
        for entry in idle[10 if limit is None else limit :]:
            meta = entry["metadata"]
            await self._client.delete(REPLICA_SETS, meta["namespace"], meta["name"], uid=meta["uid"])


def _is_known(owner: Object) -> bool:
    strategy, reference = owner["spec"].get("strategy") or {}, owner["spec"].get("workloadRef")
    canary = strategy.get("canary", {}) or {}
    steps = [*(canary.get("steps") or [])]
    return (
        set(strategy) == {"canary"}
        and set(canary) <= {"maxSurge", "maxUnavailable", "steps"}
        and all(set(step) == {"setWeight"} or step == {"pause": {}} for step in steps)
        and (not reference or reference.get("kind") == "Deployment")
    )


def _invalid(owner: Object) -> Object:
    text = f"The Rollout is invalid: {UNKNOWN}"
    entry = {"type": "InvalidSpec", "status": "True", "reason": "InvalidSpec", "message": text}
    generation = str(owner["metadata"]["generation"])
    return {"observedGeneration": generation, "phase": "Degraded", "message": text, "conditions": [entry]}


def _steps_of(owner: Object) -> list[Object]:
    steps: list[Object] = (owner["spec"]["strategy"]["canary"] or {}).get("steps") or []
    return steps


def _remember(owner: Object, new: Object) -> Object:
    """What the status remembers; of a template that is new, nothing but the stable one, and no restart goes on."""
    old, current = owner.get("status") or {}, hash_of(new)
    kept = {name: old[name] for name in KEPT if name in old} | {"currentPodHash": current}
    kept.setdefault("currentStepIndex", len(_steps_of(owner)))
    if old.get("currentPodHash") in (None, current):
        return kept
    for name in ("pauseConditions", "controllerPause", "abort"):
        kept.pop(name, None)
    is_first = kept.get("stableRS", current) == current
    kept["currentStepIndex"] = len(_steps_of(owner)) if is_first else 0
    return kept | ({"restartedAt": owner["spec"]["restartAt"]} if owner["spec"].get("restartAt") else {})


def _is_complete(owner: Object, kept: Object, status: Object) -> bool:
    """Whether all pods are of the new template and available, so that it is the stable one from now on."""
    counts = {status[name] for name in ("replicas", "updatedReplicas", "availableReplicas")}
    is_new = kept.get("stableRS") != kept["currentPodHash"]
    return is_new and counts == {wanted_by(owner)} and kept["currentStepIndex"] >= len(_steps_of(owner))
