"""The row of a pod.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/printers/internalversion/printers.go
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.cluster.api.objects import Json, dig, metadata
from lab.cluster.api.tables.ages import age
from lab.cluster.api.tables.columns import layout

_NONE = "<none>"


@dataclass
class _Count:
    """What the containers of a pod add up to."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def add_restarts(self, container: Json) -> None:
        self.restarts += int(container.get("restartCount", 0))
        finished = dig(container, "lastState", "terminated", "finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


def _cells(pod: Json, now: datetime) -> Sequence[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = [c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    count = _count(spec, status, sidecars)
    restarts = str(count.restarts)
    if count.restarts and count.last_restart:
        restarts = f"{count.restarts} ({age(count.last_restart, now)} ago)"
    total = len(spec.get("containers") or ()) + len(sidecars)
    addresses = status.get("podIPs") or []
    return (
        metadata(pod)["name"],
        f"{count.ready}/{total}",
        _state(pod, count.reason),
        restarts,
        age(metadata(pod).get("creationTimestamp"), now),
        addresses[0].get("ip", _NONE) if addresses else _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        _gates(spec, status),
    )


def _state(pod: Json, reason: str) -> str:
    if not metadata(pod).get("deletionTimestamp"):
        return reason
    if dig(pod, "status", "reason") == "NodeLost":
        return "Unknown"
    return reason if dig(pod, "status", "phase") in ("Succeeded", "Failed") else "Terminating"


def _count(spec: Json, status: Json, sidecars: list[str]) -> _Count:
    reason = status.get("reason") or status.get("phase") or ""
    if any(c.get("reason") == "SchedulingGated" for c in status.get("conditions") or ()):
        reason = "SchedulingGated"
    count = _Count(reason)
    initializing = _count_init(spec, status, sidecars, count)
    if initializing and not _has_condition(status, "Initialized"):
        return count
    after = _Count(count.reason, count.ready)
    for container in status.get("initContainerStatuses") or ():
        if container.get("name") in sidecars:
            after.add_restarts(container)
    _count_running(status, after)
    return after


def _count_init(spec: Json, status: Json, sidecars: list[str], count: _Count) -> bool:
    """Go through the init containers up to the first that is not done; whether there is one."""
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        count.add_restarts(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            count.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            count.reason = "Init:" + (terminated.get("reason") or _exit(terminated))
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            count.reason = "Init:" + waiting["reason"]
        else:
            count.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _count_running(status: Json, count: _Count) -> None:
    is_running = False
    for container in reversed(status.get("containerStatuses") or ()):
        count.add_restarts(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            count.reason = waiting["reason"]
        elif terminated is not None:
            count.reason = terminated.get("reason") or _exit(terminated)
        elif container.get("ready") and state.get("running") is not None:
            is_running = True
            count.ready += 1
    if count.reason == "Completed" and is_running:
        count.reason = "Running" if _has_condition(status, "Ready") else "NotReady"


def _exit(terminated: Json) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _has_condition(status: Json, type_: str) -> bool:
    return any(c.get("type") == type_ and c.get("status") == "True" for c in status.get("conditions") or ())


def _gates(spec: Json, status: Json) -> str:
    gates = spec.get("readinessGates") or []
    if not gates:
        return _NONE
    return f"{sum(_has_condition(status, gate['conditionType']) for gate in gates)}/{len(gates)}"


PODS = layout(_cells, "Ready", "Status", "Restarts", "Age", wide=("IP", "Node", "Nominated Node", "Readiness Gates"))
