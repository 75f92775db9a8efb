"""The status of a pod, pure: phase and conditions from what its containers do."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.cluster.client import Object
from lab.cluster.events import timestamp

OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


@dataclass
class ContainerState:
    """What one container does, as the API tells it.

    Args:
        name: its name.
        image: as it was asked for.
    """

    name: str
    image: str
    image_id: str = ""
    container_id: str = ""
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Object = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False

    def wait(self, reason: str, message: str = "") -> None:
        """It does not run, and why."""
        self.ready = self.started = False
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self, container_id: str, now: datetime) -> None:
        """It runs."""
        self.container_id, self.state = container_id, {"running": {"startedAt": timestamp(now)}}

    def end(self, code: int, reason: str, now: datetime, message: str = "") -> None:
        """It has ended."""
        started = self.state.get("running", {}).get("startedAt", timestamp(now))
        terminated = {
            "exitCode": code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": timestamp(now),
            "containerID": self.container_id,
        }
        self.ready = self.started = False
        self.state = {"terminated": terminated | ({"message": message} if message else {})}

    def remember(self) -> None:
        """Before it runs again: what it did becomes its last state."""
        if "terminated" in self.state:
            self.last = self.state

    def as_json(self) -> Object:
        """The ContainerStatus."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": self.image_id,
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
            "state": self.state,
            "lastState": self.last,
        } | ({"containerID": self.container_id} if self.container_id else {})


def phase_of(states: list[ContainerState], inits: list[ContainerState], policy: str) -> str:
    """The phase, as the kubelet finds it."""
    if any("terminated" not in state.state or state.state["terminated"]["exitCode"] for state in inits):
        failed = any(state.state.get("terminated", {}).get("exitCode") for state in inits)
        return "Failed" if failed and policy == "Never" else "Pending"
    if any("waiting" in state.state and not state.last for state in states):
        return "Pending"
    if any("running" in state.state for state in states):
        return "Running"
    codes = [(state.state.get("terminated") or state.last["terminated"])["exitCode"] for state in states]
    if policy == "Always":
        return "Running"
    if not any(codes):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


@dataclass(frozen=True)
class Facts:
    """What the status is made of, besides the containers.

    Args:
        address: the pod's address; empty until it has one.
        host: the node's address.
        started_at: when the node took it over.
        terminating: whether its containers are being ended.
    """

    address: str
    host: str
    started_at: datetime
    terminating: bool = False


def status_of(
    pod: Object, states: list[ContainerState], inits: list[ContainerState], facts: Facts, now: datetime
) -> Object:
    """The whole status; conditions that do not change keep their times, those of others stay."""
    policy = pod["spec"].get("restartPolicy", "Always")
    phase = phase_of(states, inits, policy)
    unready = [state.name for state in states if not state.ready]
    flags = {
        "PodReadyToStartContainers": (bool(facts.address), "", ""),
        "Initialized": _initialized(inits),
        "Ready": _ready(phase, unready),
        "ContainersReady": _ready(phase, unready),
    }
    before = {entry["type"]: entry for entry in pod.get("status", {}).get("conditions") or []}
    conditions = [_condition(before.get(kind), kind, *flag, now) for kind, flag in flags.items()]
    scheduled = before.get("PodScheduled") or _condition(None, "PodScheduled", True, "", "", now)
    others = [entry for kind, entry in before.items() if kind not in (*OURS, "PodScheduled")]
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": [*conditions, scheduled, *others],
        "hostIP": facts.host,
        "hostIPs": [{"ip": facts.host}],
        "startTime": timestamp(facts.started_at),
        "containerStatuses": [state.as_json() for state in states],
    }
    if facts.address:
        status |= {"podIP": facts.address, "podIPs": [{"ip": facts.address}]}
    if inits:
        status["initContainerStatuses"] = [state.as_json() for state in inits]
    return status


def _initialized(inits: list[ContainerState]) -> tuple[bool, str, str]:
    waiting = [state.name for state in inits if state.state.get("terminated", {}).get("exitCode") != 0]
    if not waiting:
        return True, "", ""
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]"


def _ready(phase: str, unready: list[str]) -> tuple[bool, str, str]:
    if phase == "Succeeded":
        return False, "PodCompleted", ""
    if phase == "Failed":
        return False, "PodFailed", ""
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _condition(before: Object | None, kind: str, on: bool, reason: str, message: str, now: datetime) -> Object:
    status = "True" if on else "False"
    same = before is not None and before["status"] == status
    since = before["lastTransitionTime"] if before is not None and same else timestamp(now)
    entry: Object = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    return entry
