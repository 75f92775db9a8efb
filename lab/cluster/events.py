"""Events as `kubectl describe` shows them: written in order, in the background, counted when they recur."""

import asyncio
import logging
import secrets
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

import aiohttp

from lab.cluster.client import EVENTS, ApiError, Client, Object
from lab.cluster.informer import cancel

log = logging.getLogger(__name__)

REMEMBERED = 1000
Subject = tuple[str, str, str, str]
"""uid of the object, type, reason and message: what makes two events the same."""


def timestamp(moment: datetime | None = None) -> str:
    """A time as the API writes it, to the second."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Recorder:
    """Writes events of one component.

    Args:
        client: the API server's client.
        component: who speaks, as "kubelet".
        host: the node, for those that run on one.
    """

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client, self._component, self._host = client, component, host
        self._queue: asyncio.Queue[tuple[Object, Subject]] = asyncio.Queue()
        self._written: OrderedDict[Subject, Object] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name=f"events of {self._component}")

    async def stop(self) -> None:
        """Stop writing; what waits is dropped."""
        await cancel(self._task)

    def normal(self, obj: Object, reason: str, message: str, field: str = "") -> None:
        """Something happened to `obj`; `field` names its part, as a container."""
        self._put(obj, "Normal", reason, message, field)

    def warning(self, obj: Object, reason: str, message: str, field: str = "") -> None:
        """Something went wrong with `obj`."""
        self._put(obj, "Warning", reason, message, field)

    def _put(self, obj: Object, kind: str, reason: str, message: str, field: str) -> None:
        meta = obj["metadata"]
        now = timestamp()
        involved = {
            "apiVersion": obj.get("apiVersion", "v1"),
            "kind": obj.get("kind", ""),
            "name": meta["name"],
            "namespace": meta.get("namespace", ""),
            "uid": meta.get("uid", ""),
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        if field:
            involved["fieldPath"] = field
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        event: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{meta['name']}.{secrets.token_hex(8)}",
                "namespace": involved["namespace"] or "default",
            },
            "involvedObject": involved,
            "type": kind,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        self._queue.put_nowait((event, (involved["uid"] + field, kind, reason, message)))

    async def _run(self) -> None:
        while True:
            event, subject = await self._queue.get()
            try:
                await self._write(event, subject)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.debug("event %s dropped: %s", event["reason"], error)

    async def _write(self, event: Object, subject: Subject) -> None:
        before = self._written.get(subject)
        if before is not None:
            meta = before["metadata"]
            again = {"count": before["count"] + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                self._written[subject] = await self._client.patch(EVENTS, meta["namespace"], meta["name"], again)
                return
            except ApiError as error:
                if not error.not_found:
                    raise
        self._written[subject] = await self._client.create(EVENTS, event)
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
