"""The conditions of a Deployment, pure: Available, and Progressing with its deadline."""

from datetime import datetime

from lab.cluster.client import Object
from lab.cluster.controllers import rollout
from lab.cluster.controllers.common import condition
from lab.cluster.events import timestamp

AVAILABLE = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
UNAVAILABLE = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
TIMED_OUT = "ProgressDeadlineExceeded"
DEADLINE_SECONDS = 600


def conditions_of(deployment: Object, status: Object, new: Object | None, created: bool, now: datetime) -> list[Object]:
    """What the conditions are after this status; unchanged ones keep their times."""
    wanted = deployment["spec"].get("replicas", 1)
    _, unavailable = rollout.limits(deployment)
    enough = status["availableReplicas"] >= wanted - unavailable
    entries = [_entry(deployment, "Available", AVAILABLE if enough else UNAVAILABLE, now)]
    progressing = _progressing(deployment, status, new, created, now)
    failure = condition(new, "ReplicaFailure") if new is not None else None
    return [*entries, *(entry for entry in (progressing, failure) if entry)]


def _progressing(deployment: Object, status: Object, new: Object | None, created: bool, now: datetime) -> Object | None:
    before = condition(deployment, "Progressing")
    if new is None:
        return before
    name = new["metadata"]["name"]
    if created:
        return _entry(
            deployment, "Progressing", ("True", "NewReplicaSetCreated", f'Created new replica set "{name}"'), now
        )
    if before is None:
        return _entry(deployment, "Progressing", ("True", "FoundNewReplicaSet", f'Found new replica set "{name}"'), now)
    done = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
    if before["reason"] == done[1] and before["message"] == done[2]:
        return before
    if rollout.complete(deployment, status):
        return _entry(deployment, "Progressing", done, now)
    if rollout.progressed(status, deployment.get("status", {})):
        text = ("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
        return _entry(deployment, "Progressing", text, now, again=True)
    if before["reason"] != TIMED_OUT and _seconds_left(deployment, before, now) <= 0:
        return _entry(
            deployment, "Progressing", ("False", TIMED_OUT, f'ReplicaSet "{name}" has timed out progressing.'), now
        )
    return before


def _entry(deployment: Object, kind: str, text: tuple[str, str, str], now: datetime, *, again: bool = False) -> Object:
    status, reason, message = text
    before = condition(deployment, kind)
    if before is not None and (before["status"], before["reason"], before["message"]) == text and not again:
        return before
    same = before is not None and before["status"] == status
    since = before["lastTransitionTime"] if before is not None and same else timestamp(now)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": timestamp(now),
        "lastTransitionTime": since,
    }


def _seconds_left(deployment: Object, entry: Object, now: datetime) -> float:
    limit = deployment["spec"].get("progressDeadlineSeconds", DEADLINE_SECONDS)
    since = datetime.fromisoformat(entry["lastUpdateTime"])
    return float(limit - (now - since).total_seconds())


def deadline_in(deployment: Object, status: Object, now: datetime) -> float | None:
    """Seconds until the rollout has to be looked at again for its deadline, None when nothing is awaited."""
    entry = next((entry for entry in status["conditions"] if entry["type"] == "Progressing"), None)
    if entry is None or entry["reason"] in (TIMED_OUT, "NewReplicaSetAvailable"):
        return None
    return max(_seconds_left(deployment, entry, now), 0) + 0.1
