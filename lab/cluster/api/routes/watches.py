"""Watch requests: JSON lines until the time is up or the client goes."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.requests import integer, is_true
from lab.cluster.api.rest.forms import Form, encode
from lab.cluster.api.rest.reads import parse_revision
from lab.cluster.api.routes.call import Call
from lab.cluster.api.selectors import parse_selection
from lab.cluster.api.store import Store, Stored
from lab.cluster.api.watch import Change, Watcher, WatchHub

_BOOKMARK_SECONDS = 60.0
_LEAST_SECONDS = 1800
_INITIAL_END = "k8s.io/initial-events-end"


@dataclass
class _Lines:
    """Makes the lines of one watch."""

    form: Form
    kind: Kind
    columns_told: bool = False

    def object(self, type_: str, stored: Stored) -> bytes:
        line = b'{"type":"' + type_.encode() + b'","object":' + self.form.event(stored, not self.columns_told) + b"}\n"
        self.columns_told = True
        return line

    def change(self, change: Change) -> bytes:
        """The line of a change; watchers that want the same form share it."""
        key = (change.type, self.form)
        if self.form.name == "table" and not self.columns_told:
            return self.object(change.type, _shown(change))
        line = change.event.encoded.get(key)
        if line is None:
            line = change.event.encoded[key] = self.object(change.type, _shown(change))
        return line

    def bookmark(self, revision: int, is_initial_end: bool = False) -> bytes:
        meta: dict[str, object] = {"resourceVersion": str(revision)}
        if is_initial_end:
            meta["annotations"] = {_INITIAL_END: "true"}
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": meta}
        return b'{"type":"BOOKMARK","object":' + encode(obj) + b"}\n"


def _shown(change: Change) -> Stored:
    """An object that leaves a selection is shown as it was, under the revision of the change."""
    event = change.event
    if change.type == "DELETED" and event.type != "DELETED" and event.before is not None:
        obj = dict(event.before.obj)
        obj["metadata"] = dict(obj["metadata"], resourceVersion=str(event.revision))
        return Stored(event.before.kind, obj, event.revision)
    return event.now


class Watches:
    """Answers watch requests.

    Args:
        store: what is watched.
        hub: the open watches.
    """

    def __init__(self, store: Store, hub: WatchHub) -> None:
        self._store, self._hub = store, hub

    async def watch(self, call: Call, kind: Kind) -> web.StreamResponse:
        """Tell what happens, from the revision that the request names."""
        query = call.request.query
        selection = parse_selection(kind, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        lines = _Lines(call.form, kind)
        integer(query, "timeoutSeconds")
        try:
            watcher, begin = self._hub.open(kind, call.info.namespace, selection, self._revision(call))
        except ApiError as error:
            # Once a watch is understood, its failures are events: a real server does the same.
            return await _refuse(call, error)
        # A client that does not read blocks the writer, so the connection itself has to go.
        watcher.on_overflow = lambda: _abort(call.request)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(call.request)
            await self._begin(call, response, lines, begin, watcher)
            await self._follow(call, response, lines, watcher)
        except ConnectionError:
            return response
        finally:
            self._hub.close(watcher)
        return response

    def _revision(self, call: Call) -> int | None:
        query = call.request.query
        text = query.get("resourceVersion", "")
        wants_initial = query.get("sendInitialEvents")
        if text in ("", "0"):
            return self._store.revision if wants_initial == "false" else None
        asked = parse_revision(text)
        return None if is_true(query, "sendInitialEvents") else asked

    async def _begin(
        self, call: Call, response: web.StreamResponse, lines: _Lines, begin: Sequence[Stored], watcher: Watcher
    ) -> None:
        first = b"".join(lines.object("ADDED", stored) for stored in begin)
        if is_true(call.request.query, "sendInitialEvents"):
            first += lines.bookmark(watcher.seen, True)
        if first:
            await response.write(first)

    async def _follow(self, call: Call, response: web.StreamResponse, lines: _Lines, watcher: Watcher) -> None:
        loop = asyncio.get_running_loop()
        least = int(random.uniform(1, 2) * _LEAST_SECONDS)  # noqa: S311
        seconds = integer(call.request.query, "timeoutSeconds") or least
        ends_at = loop.time() + seconds
        bookmarks = is_true(call.request.query, "allowWatchBookmarks")
        while (left := ends_at - loop.time()) > 0:
            changes = await watcher.next(min(left, _BOOKMARK_SECONDS))
            if watcher.end is not None:
                await response.write(b'{"type":"ERROR","object":' + encode(watcher.end.status()) + b"}\n")
                return
            if changes:
                await response.write(b"".join(map(lines.change, changes)))
            elif watcher.is_over:
                return
            elif bookmarks:
                await response.write(lines.bookmark(self._store.revision))


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _refuse(call: Call, error: ApiError) -> web.StreamResponse:
    if error.code != 410:
        raise error
    return call.raw(b'{"type":"ERROR","object":' + encode(error.status()) + b"}\n")
