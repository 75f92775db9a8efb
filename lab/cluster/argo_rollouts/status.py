"""What a Rollout's status says, pure: counts, conditions and the phase that all clients read.

https://github.com/argoproj/argo-rollouts/blob/v1.8.3/utils/rollout/rolloututil.go
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from lab.cluster.client import Object
from lab.cluster.controllers.deployment_status import TIMED_OUT, conditions_of
from lab.cluster.controllers.rollout import available_of

HASH = "rollouts-pod-template-hash"
KEPT = ("stableRS", "currentPodHash", "currentStepIndex", "pauseConditions", "controllerPause", "restartedAt", "abort")
"""What the controller itself remembers in the status."""


def hash_of(entry: Object) -> str:
    """The template that a replica set has."""
    return str(entry["metadata"]["labels"][HASH])


def wanted_by(owner: Object) -> int:
    """How many pods it shall have."""
    wanted = owner["spec"].get("replicas")
    return 1 if wanted is None else int(wanted)


def as_deployment(owner: Object) -> Object:
    """The Rollout as what the rules of a Deployment's rolling update and conditions read."""
    canary, spec = owner["spec"]["strategy"]["canary"] or {}, owner["spec"]
    rolling = {name: canary[name] for name in ("maxSurge", "maxUnavailable") if name in canary}
    deadline = spec.get("progressDeadlineSeconds") or 600
    return {
        "metadata": owner["metadata"],
        "spec": {
            "replicas": wanted_by(owner),
            "strategy": {"rollingUpdate": rolling},
            "progressDeadlineSeconds": deadline,
        },
        "status": owner.get("status") or {},
    }


def describe(owner: Object, kept: Object, new: Object, sets: Sequence[Object], created: bool) -> Object:
    """The whole status, given what the controller remembers."""

    def count(field: str, entries: Sequence[Object]) -> int:
        return sum(int((entry.get("status") or {}).get(field) or 0) for entry in entries)

    status = {
        **kept,
        "observedGeneration": str(owner["metadata"]["generation"]),
        "selector": ",".join(f"{key}={value}" for key, value in owner["spec"]["selector"]["matchLabels"].items()),
        "replicas": count("replicas", sets),
        "HPAReplicas": count("replicas", sets),
        "updatedReplicas": count("replicas", [new]),
        "readyReplicas": count("readyReplicas", sets),
        "availableReplicas": sum(map(available_of, sets)),
    }
    status["conditions"] = conditions_of(as_deployment(owner), status, new, created, datetime.now(UTC))
    status["phase"], message = phase_of(owner["spec"], status)
    return {**status, **({"message": message} if message else {})}


def phase_of(spec: Object, status: Object) -> tuple[str, str]:
    """Phase and message, the first that fits."""
    if status.get("abort"):
        return "Degraded", "RolloutAborted: Rollout aborted update"
    for entry in status["conditions"]:
        if entry["type"] == "InvalidSpec" or entry["reason"] == TIMED_OUT:
            return "Degraded", f"{entry['reason']}: {entry['message']}"
    if spec.get("paused"):
        return "Paused", "manually paused"
    if pauses := status.get("pauseConditions"):
        return "Paused", str(pauses[0]["reason"])
    return _progress_of(spec, status)


def _progress_of(spec: Object, status: Object) -> tuple[str, str]:
    wanted = wanted_by({"spec": spec})
    reasons = {
        "rollout is restarting": spec.get("restartAt") and spec["restartAt"] != status.get("restartedAt"),
        "more replicas need to be updated": status["updatedReplicas"] < wanted,
        "updated replicas are still becoming available": status["availableReplicas"] < status["updatedReplicas"],
        "old replicas are pending termination": status["replicas"] > status["updatedReplicas"],
        "waiting for all steps to complete": status.get("stableRS") != status["currentPodHash"],
    }
    message = next((text for text, applies in reasons.items() if applies), "")
    return ("Progressing" if message else "Healthy"), message
