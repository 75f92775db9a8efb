"""Waiting for evidence: the objects at a path, again after each change, until a timeout.

One thread and no sleeping: the watch itself blocks. Each watch lasts a slice, so that a waiting task can report, be
cancelled, and notice its timeout; the next one resumes from the same version, so nothing is missed.

    for pods, seconds_left in follow(cluster, "/api/v1/namespaces/dexter/pods", {}, timeout_seconds=60):
        if not pods:
            return

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from infra.errors import ServiceFailed
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.errors import Expired, Unreachable

Clock = Callable[[], float]
"""Seconds on a clock that never goes back."""

_SLICE_SECONDS = 2.0
_RECONNECT_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """What a wait sees at this moment.

    Args:
        seen: one readable line; never a secret value.
        left_seconds: the time until the timeout.
    """

    seen: str
    left_seconds: float


OnProgress = Callable[[Progress], None]
P = TypeVar("P", bound=Progress)


def ignore(progress: Progress) -> None:
    """Discard progress."""


def follow(
    cluster: Cluster, path: str, query: Mapping[str, str], timeout_seconds: float, clock: Clock = time.monotonic
) -> Iterator[tuple[Mapping[str, Object], float]]:
    """Yield the objects at `path` by uid and the seconds left: at once, after each change, and every few seconds.

    Lists again when the watch has expired, and keeps trying while the API server is away, from the first list on. Ends
    at the timeout; the caller then raises with what it saw last.

    Args:
        cluster: where to look.
        path: a collection's path.
        query: selectors, such as `fieldSelector` and `labelSelector`.
        timeout_seconds: bound on the whole wait.
        clock: measures the timeout.

    Raises:
        KeyturnError: the first list failed, unless the API server was only away; or it rejects the caller.
    """
    deadline = clock() + timeout_seconds
    return follow_while(cluster, path, query, lambda: deadline - clock())


def follow_while(
    cluster: Cluster, path: str, query: Mapping[str, str], left_seconds: Callable[[], float]
) -> Iterator[tuple[Mapping[str, Object], float]]:
    """Yield as `follow` does, as long as seconds are left by a function: its answer may grow meanwhile."""
    objects, version = _list_once_reached(cluster, path, query, left_seconds)
    while True:
        left = left_seconds()
        yield objects, max(0.0, left)
        if left <= 0 and left_seconds() <= 0:
            return
        try:
            if not version:
                objects, version = _list(cluster, path, query)
                continue
            for event in cluster.watch(path, query, version, min(_SLICE_SECONDS, max(0.0, left_seconds()))):
                version = _apply_event(event, objects)
                left = left_seconds()
                if left <= 0:
                    break
                if event["type"] != "BOOKMARK":
                    yield objects, left
        except Expired:
            version = ""
        except ServiceFailed:
            _pause(left_seconds)
            version = ""


class Reporter(Generic[P]):
    """Passes progress on when it changes, and otherwise every few seconds."""

    def __init__(self, on_progress: Callable[[P], None], clock: Clock, every_seconds: float = 10.0) -> None:
        self._on_progress, self._clock, self._every = on_progress, clock, every_seconds
        self._seen, self._at = "", 0.0

    def report(self, progress: P) -> None:
        """Report progress, unless the same was just reported."""
        now = self._clock()
        if progress.seen != self._seen or now - self._at >= self._every:
            self._seen, self._at = progress.seen, now
            self._on_progress(progress)


def _list_once_reached(
    cluster: Cluster, path: str, query: Mapping[str, str], left_seconds: Callable[[], float]
) -> tuple[dict[str, Object], str]:
    """List for the first time, and try again while the API server does not answer and seconds are left."""
    while True:
        try:
            return _list(cluster, path, query)
        except Unreachable:
            if left_seconds() <= 0:
                raise
        _pause(left_seconds)


def _pause(left_seconds: Callable[[], float]) -> None:
    """Wait a moment before the API server is asked again, no longer than seconds are left."""
    threading.Event().wait(min(_RECONNECT_SECONDS, max(0.0, left_seconds())))


def _list(cluster: Cluster, path: str, query: Mapping[str, str]) -> tuple[dict[str, Object], str]:
    answer = cluster.get(path, **query)
    return {item["metadata"]["uid"]: item for item in answer["items"]}, answer["metadata"]["resourceVersion"]


def _apply_event(event: Object, objects: dict[str, Object]) -> str:
    """Apply an event to the objects and return its version."""
    item = event["object"]
    if event["type"] == "DELETED":
        objects.pop(item["metadata"]["uid"], None)
    elif event["type"] != "BOOKMARK":
        objects[item["metadata"]["uid"]] = item
    return str(item["metadata"]["resourceVersion"])
