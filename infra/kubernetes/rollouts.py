"""How far a workload's rollout is, by its own status, and how long a wait for it goes on. Pure but for a clock.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
https://github.com/kubernetes/kubernetes/blob/v1.34.4/staging/src/k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go
"""

from dataclasses import dataclass
from datetime import datetime

from infra.kubernetes.client import Object
from infra.kubernetes.diagnosis import DEADLINE_EXCEEDED
from infra.kubernetes.waiting import Clock

_PERMANENT_SECONDS = 10.0
"""How long a permanent cause must last before a wait ends early."""


@dataclass(frozen=True)
class Rollout:
    """How far a workload's controller is.

    Args:
        wanted: how many pods it shall have.
        ready: how many are ready.
        is_complete: whether the controller has acted on the spec, and all wanted pods are new and available.
        progress: what changes whenever the controller makes progress.
        spare: how many pods of an earlier update it keeps beside the wanted ones for a while.
    """

    wanted: int
    ready: int
    is_complete: bool
    progress: str = ""
    spare: int = 0

    @property
    def expected(self) -> int:
        """How many pods there are when all is done."""
        return self.wanted + self.spare

    def __str__(self) -> str:
        return f"{self.ready} of {self.wanted} pods ready"


RUNS_ONLY = Rollout(wanted=0, ready=0, is_complete=True)
"""Of what has pods only while it has something to do."""


def read_deployment(item: Object) -> Rollout:
    """Read a Deployment: its controller dates each progress."""
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    wanted, dated = int(item["spec"].get("replicas", 1)), str(_find_progress(item).get("lastUpdateTime") or "")
    return Rollout(wanted, _count(item, "readyReplicas"), _has_all(item, names, wanted), dated)


def read_stateful_set(item: Object) -> Rollout:
    """Read a StatefulSet: `updatedReplicas` counts the pods of its newest revision, one more with each replaced pod."""
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    wanted, updated = int(item["spec"].get("replicas", 1)), _count(item, "updatedReplicas")
    return Rollout(wanted, _count(item, "readyReplicas"), _has_all(item, names, wanted), str(updated))


def read_daemon_set(item: Object) -> Rollout:
    """Read a DaemonSet: its nodes say how many pods it wants."""
    names = ("currentNumberScheduled", "updatedNumberScheduled", "numberReady", "numberAvailable")
    wanted, updated = _count(item, "desiredNumberScheduled"), _count(item, "updatedNumberScheduled")
    return Rollout(wanted, _count(item, "numberReady"), _has_all(item, names, wanted), str(updated))


def read_argo_rollout(item: Object) -> Rollout:
    """Read an Argo Rollout: Healthy by its own word, the last restart over, and all pods of the newest template.

    https://github.com/argoproj/argo-rollouts/blob/v1.8.3/utils/rollout/rolloututil.go
    """
    spec, status = item["spec"], item.get("status") or {}
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    updated, available = _count(item, "updatedReplicas"), _count(item, "availableReplicas")
    is_healthy = is_observed(item) and status.get("phase") == "Healthy" and _is_restarted(spec, status)
    canary = (spec.get("strategy") or {}).get("canary") or {}
    keeps_old = "blueGreen" in (spec.get("strategy") or {}) or "trafficRouting" in canary
    return Rollout(
        wanted,
        _count(item, "readyReplicas"),
        is_healthy and updated == wanted and available >= wanted,
        f"{_find_progress(item).get('lastUpdateTime') or ''} {updated} {available}",
        spare=max(_count(item, "replicas") - wanted, 0) if keeps_old else 0,
    )


def _is_restarted(spec: Object, status: Object) -> bool:
    asked, done = spec.get("restartAt"), status.get("restartedAt")
    return not asked or bool(done and datetime.fromisoformat(done) >= datetime.fromisoformat(asked))


def is_given_up(item: Object) -> bool:
    """Whether the controller says of this spec that it made no progress within `progressDeadlineSeconds`."""
    return is_observed(item) and _find_progress(item).get("reason") == DEADLINE_EXCEEDED


def _count(item: Object, name: str) -> int:
    return int((item.get("status") or {}).get(name) or 0)


def _has_all(item: Object, names: tuple[str, ...], wanted: int) -> bool:
    return is_observed(item) and all(_count(item, name) == wanted for name in names)


def is_observed(item: Object) -> bool:
    """Whether a workload's controller has seen its spec as it is."""
    observed = str((item.get("status") or {}).get("observedGeneration") or 0)
    return observed.isdigit() and int(observed) >= int(item["metadata"]["generation"])


def _find_progress(item: Object) -> Object:
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition["type"] == "Progressing"), {})


class Patience:
    """How long a wait goes on: as long as the controller reports progress in time, and a bounded time for each pod.

    Args:
        seconds: how long it goes on without progress, and on average for each pod.
        clock: measures it.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds, self._most, self._clock = seconds, seconds, clock
        self._began = self._progressed = clock()
        self._seen = ""
        self._permanent_since: float | None = None

    def see(self, rollout: Rollout) -> None:
        """Look at the rollout: progress since the last look makes the wait longer."""
        self._most = max(self._most, self._seconds * rollout.wanted)
        if rollout.progress != self._seen:
            self._seen, self._progressed = rollout.progress, self._clock()

    def left(self) -> float:
        """Return the seconds that are left; not more than 0 when the wait is over."""
        return min(self._progressed + self._seconds, self._began + self._most) - self._clock()

    def is_lost(self, is_permanent: bool) -> bool:
        """Say whether a permanent cause has lasted long enough to be believed, given whether there is one now."""
        if not is_permanent:
            self._permanent_since = None
        elif self._permanent_since is None:
            self._permanent_since = self._clock()
        return self._permanent_since is not None and self._clock() - self._permanent_since >= _PERMANENT_SECONDS
