"""How far a Deployment's rollout is, by its own status, and how long a wait for it goes on. Pure but for a clock.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

from infra.kubernetes.client import Object
from infra.kubernetes.diagnosis import DEADLINE_EXCEEDED
from infra.kubernetes.waiting import Clock

_PERMANENT_SECONDS = 10.0
"""How long a permanent cause must last before a wait ends early."""


def wanted_replicas(item: Object) -> int:
    """Return how many pods a workload is scaled to."""
    return int(item["spec"].get("replicas", 1))


def is_complete(item: Object) -> bool:
    """Whether the controller has acted on the spec, and all wanted pods are new and ready."""
    status = item.get("status") or {}
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return _is_observed(item) and counts == [wanted_replicas(item)] * 4


def is_given_up(item: Object) -> bool:
    """Whether the controller says of this spec that it made no progress within `progressDeadlineSeconds`."""
    return _is_observed(item) and _find_progress(item).get("reason") == DEADLINE_EXCEEDED


def _is_observed(item: Object) -> bool:
    return int((item.get("status") or {}).get("observedGeneration", 0)) >= int(item["metadata"]["generation"])


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

    def see(self, item: Object) -> None:
        """Look at the workload: progress since the last look makes the wait longer."""
        self._most = max(self._most, self._seconds * wanted_replicas(item))
        seen = str(_find_progress(item).get("lastUpdateTime") or "")
        if seen != self._seen:
            self._seen, self._progressed = seen, self._clock()

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
