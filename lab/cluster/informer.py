"""Caches that follow the API server, queues of keys that are worked off one at a time each, and add-ons made of both.

Everything in the cluster is level-driven: an event only says which key to look at again.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator

import aiohttp

from lab.cluster.client import DEFINITIONS, ApiError, Client, Object, Resource

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name."""

RETRY_SECONDS = (0.1, 5.0)
"""First and longest pause after a failed list, watch or reconciliation."""


def key_of(obj: Object) -> Key:
    """The key of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def version_of(obj: Object) -> int:
    """The resourceVersion as a number, for 'is this newer': the API server's own clients do the same nowadays."""
    return int(obj["metadata"].get("resourceVersion") or 0)


class Informer:
    """A cache of one collection that relists when its watch has expired.

    Handlers are called with the object that appeared, changed or went.

    Args:
        client: the API server's client.
        resource: what to follow.
        query: selectors, as `{"fieldSelector": "spec.nodeName=n"}`.
    """

    def __init__(self, client: Client, resource: Resource, query: dict[str, str] | None = None) -> None:
        self._client, self.resource, self._query = client, resource, query or {}
        self._objects: dict[Key, Object] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._handlers: list[Callable[[Object], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.synced = asyncio.Event()

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def get(self, namespace: str, name: str) -> Object | None:
        """The cached object, or None."""
        return self._objects.get((namespace, name))

    def on_change(self, handler: Callable[[Object], None]) -> None:
        """Call `handler` for every object that appears, changes or goes."""
        self._handlers.append(handler)

    async def start(self) -> None:
        """Follow the collection; returns when the first list is in."""
        self._task = asyncio.create_task(self._run(), name=f"informer {self.resource.plural}")
        await self.synced.wait()

    async def stop(self) -> None:
        """Stop following."""
        await cancel(self._task)

    def take(self, obj: Object) -> None:
        """Take over an object that a write returned, so that the next look does not see the past."""
        meta = obj["metadata"]
        known = self._objects.get(key_of(obj))
        if meta["uid"] in self._gone or (known and version_of(known) >= version_of(obj)):
            return
        self._objects[key_of(obj)] = obj
        self._tell(obj)

    async def _run(self) -> None:
        pause = RETRY_SECONDS[0]
        while True:
            try:
                version = await self._relist()
                pause = RETRY_SECONDS[0]
                while True:
                    version = await self._follow(version)
            except ApiError as error:
                if error.status not in (404, 410):
                    log.warning("%s: %s", self.resource.plural, error)
            except (aiohttp.ClientError, OSError) as error:
                log.warning("%s: %s", self.resource.plural, error or type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    async def _relist(self) -> str:
        listing = await self._client.list(self.resource, **self._query)
        items = {key_of(item): item for item in listing["items"]}
        for key in [key for key in self._objects if key not in items]:
            self._drop(self._objects[key])
        for item in items.values():
            self._put(item)
        self.synced.set()
        return str(listing["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> str:
        async for event in self._client.watch(self.resource, "", version, **self._query):
            obj = event["object"]
            version = obj["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self._drop(obj)
            elif event["type"] != "BOOKMARK":
                self._put(obj)
        return version

    def _put(self, obj: Object) -> None:
        known = self._objects.get(key_of(obj))
        if known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"]:
            if version_of(known) >= version_of(obj):
                return
        elif known is not None:
            self._drop(known)
        self._objects[key_of(obj)] = obj
        self._tell(obj)

    def _drop(self, obj: Object) -> None:
        self._gone[obj["metadata"]["uid"]] = None
        if len(self._gone) > 1000:
            self._gone.popitem(last=False)
        known = self._objects.get(key_of(obj))
        if known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"]:
            del self._objects[key_of(obj)]
        self._tell(obj)

    def _tell(self, obj: Object) -> None:
        for handler in self._handlers:
            handler(obj)


class Queue:
    """Runs `reconcile(key)` for the keys that were added, each key in one place at a time, retrying with back-off.

    Args:
        name: for the log.
        reconcile: brings one object where it should be; what it raises is logged and tried again.
    """

    def __init__(self, name: str, reconcile: Callable[[Key], Awaitable[None]]) -> None:
        self._name, self._reconcile = name, reconcile
        self._started = False
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to work, with the keys that were added before."""
        self._started = True
        for key in list(self._again):
            self.add(key)

    async def stop(self) -> None:
        """Stop working; what is under way is cancelled."""
        self._started = False
        for timer in self._timers.values():
            timer.cancel()
        for task in list(self._tasks.values()):
            await cancel(task)

    def add(self, key: Key) -> None:
        """Look at `key` soon."""
        self._again.add(key)
        if self._started and key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._work(key), name=f"{self._name} {key}")

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at `key` after a while; replaces an earlier timer of that key."""
        if key in self._timers:
            self._timers[key].cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(max(seconds, 0), self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _work(self, key: Key) -> None:
        try:
            while key in self._again:
                self._again.discard(key)
                await self._attempt(key)
        finally:
            del self._tasks[key]

    async def _attempt(self, key: Key) -> None:
        try:
            await self._reconcile(key)
            self._failures.pop(key, None)
        except (ApiError, aiohttp.ClientError, OSError) as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            expected = isinstance(error, ApiError) and (error.conflict or "being terminated" in error.message)
            if not expected:
                log.warning("%s %s: %s", self._name, "/".join(key), error)
            self.add_after(key, min(RETRY_SECONDS[0] * 2 ** min(failures - 1, 10), RETRY_SECONDS[1]))


class AddOn(ABC):
    """A controller that begins to work once its custom resource is defined.

    Args:
        client: the API server's client.
        definition: the name of the custom resource's definition.
        informers: the caches that it needs, in the order in which they are filled.
    """

    def __init__(self, client: Client, definition: str, *informers: Informer) -> None:
        self._client, self._definition, self._informers = client, definition, informers
        self._definitions = Informer(client, DEFINITIONS, {"fieldSelector": f"metadata.name={definition}"})
        self._definitions.on_change(lambda _: self._defined())
        self._queue = Queue(definition, self._reconcile)
        self._starting: asyncio.Task[None] | None = None

    @abstractmethod
    async def _reconcile(self, key: Key) -> None:
        """Bring one object where it should be."""

    async def start(self) -> None:
        """Wait for the custom resource in the background."""
        await self._definitions.start()

    async def stop(self) -> None:
        """Stop working; objects stay as they are."""
        await cancel(self._starting)
        await self._definitions.stop()
        await self._queue.stop()
        for informer in self._informers:
            await informer.stop()

    def _defined(self) -> None:
        if self._starting is None:
            self._starting = asyncio.create_task(self._begin(), name=self._definition)

    async def _begin(self) -> None:
        for informer in self._informers:
            await informer.start()
        self._queue.start()


async def cancel(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it has ended; what it failed with is logged and is not the caller's failure."""
    if task is None:
        return
    task.cancel()
    # To await the task itself would raise its failure here, and take the caller's own cancellation for the task's.
    await asyncio.wait([task])
    if not task.cancelled() and (failure := task.exception()):
        log.error("%s has failed", task.get_name(), exc_info=failure)
