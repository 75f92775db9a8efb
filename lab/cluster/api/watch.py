"""Watches: the log replayed, then every change as it happens, to any number of watchers.

Each watcher has a bounded queue; one that does not read fast enough is cut off and must watch again.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.cluster.api.errors import ApiError, expired
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import namespace_of
from lab.cluster.api.selectors import Selection
from lab.cluster.api.store import Event, Store, Stored

QUEUE_LENGTH = 2000


@dataclass(frozen=True)
class Change:
    """What one watcher is told: an event, in the type it has for this watcher."""

    type: str
    event: Event


class Watcher:
    """One watch.

    Args:
        kind: what is watched.
        namespace: of which namespace, all if empty.
        selection: which objects.
        limit: how many changes may wait for the reader.
    """

    def __init__(self, kind: Kind, namespace: str, selection: Selection, limit: int = QUEUE_LENGTH) -> None:
        self._key, self._namespace, self._selection, self._limit = kind.storage_key, namespace, selection, limit
        self._waiting: deque[Change] = deque()
        self._news: asyncio.Future[None] | None = None
        self.on_overflow: Callable[[], None] = lambda: None
        """Called when the watch ends because nobody reads it."""
        self.end: ApiError | None = None
        """Why the watch is over, when the server ended it."""
        self.is_over = False
        self.seen = 0
        """The revision up to which everything was told."""

    def hear(self, event: Event) -> None:
        """Take an event into the queue, if this watcher wants it."""
        change = self._translate(event)
        if change is None or self.is_over or event.revision <= self.seen:
            return
        if len(self._waiting) >= self._limit:
            self.close()
            self.on_overflow()
            return
        self._waiting.append(change)
        self._wake()

    def close(self, why: ApiError | None = None) -> None:
        """End the watch; the reader gets what is queued first, unless there is a reason."""
        self.end, self.is_over = why, True
        self._wake()

    async def next(self, timeout_seconds: float) -> list[Change]:
        """What has happened since the last call; empty when nothing has within the time, or the watch is over."""
        if not self._waiting and not self.is_over:
            # asyncio.wait_for makes a task each time: with a hundred watchers that is most of what an event costs.
            loop = asyncio.get_running_loop()
            self._news = loop.create_future()
            timer = loop.call_later(timeout_seconds, self._wake)
            try:
                await self._news
            finally:
                timer.cancel()
        changes = list(self._waiting)
        self._waiting.clear()
        return changes

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _translate(self, event: Event) -> Change | None:
        """Objects that come into the selection are ADDED, those that leave it DELETED."""
        if event.now.kind.storage_key != self._key:
            return None
        if self._namespace and namespace_of(event.now.obj) != self._namespace:
            return None
        if self._selection.is_everything:
            return Change(event.type, event)
        was = event.before is not None and self._selection.matches(event.before.obj)
        is_now = event.type != "DELETED" and self._selection.matches(event.now.obj)
        if is_now:
            return Change("MODIFIED" if was else "ADDED", event)
        return Change("DELETED", event) if was else None


class WatchHub:
    """All open watches on one store.

    Args:
        store: what is watched.
        queue_length: how many changes may wait for a watcher before it is cut off.
    """

    def __init__(self, store: Store, queue_length: int = QUEUE_LENGTH) -> None:
        self._store, self._queue_length = store, queue_length
        self._watchers: set[Watcher] = set()
        store.listen(self._tell)

    def __len__(self) -> int:
        return len(self._watchers)

    def open(
        self, kind: Kind, namespace: str, selection: Selection, revision: int | None
    ) -> tuple[Watcher, list[Stored]]:
        """Open a watch.

        Args:
            revision: what the watcher has seen; None to begin with all objects as they are.

        Returns:
            The watcher, and the objects to begin with.

        Raises:
            ApiError: 410 if what came after `revision` is forgotten.
        """
        watcher = Watcher(kind, namespace, selection, self._queue_length)
        if revision is None:
            begin: Iterable[Stored] = self._store.items(kind, namespace)
            watcher.seen = self._store.revision
            self._watchers.add(watcher)
            return watcher, [item for item in begin if selection.matches(item.obj)]
        if revision < self._store.compacted:
            raise expired(f"too old resource version: {revision} ({self._store.compacted})")
        watcher.seen = revision
        for event in self._store.events_since(revision):
            watcher.hear(event)
        self._watchers.add(watcher)
        return watcher, []

    def close(self, watcher: Watcher) -> None:
        """Forget a watch."""
        self._watchers.discard(watcher)

    def close_all(self, why: ApiError | None = None) -> None:
        """End every watch."""
        for watcher in tuple(self._watchers):
            watcher.close(why)

    def _tell(self, event: Event) -> None:
        for watcher in tuple(self._watchers):
            watcher.hear(event)
