"""The task that does the housekeeping: one change after the other, off the path of the request that made it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from lab.cluster.api.errors import ApiError
from lab.cluster.api.objects import metadata
from lab.cluster.api.store import Event, Store


class Housekeeper:
    """Hands every change that matters to the collectors.

    Args:
        store: where changes happen.
        collectors: what to do with each.
    """

    def __init__(self, store: Store, collectors: Sequence[Callable[[Event], None]]) -> None:
        self._store, self._collectors = store, collectors
        self._news: asyncio.Queue[Event] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look at changes."""
        self._store.listen(self._hear)
        self._task = asyncio.create_task(self._work(), name="housekeeping")

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is None:
            return
        self._store.unlisten(self._hear)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def _hear(self, event: Event) -> None:
        meta = metadata(event.now.obj)
        if event.type == "DELETED" or meta.get("deletionTimestamp") or meta.get("ownerReferences"):
            self._news.put_nowait(event)

    async def _work(self) -> None:
        while True:
            event = await self._news.get()
            for collect in self._collectors:
                # Somebody else may have changed or deleted the object meanwhile: that change is heard of as well.
                with contextlib.suppress(ApiError):
                    collect(event)
