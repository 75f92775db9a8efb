"""The storage: objects by kind, namespace and name, one counter of revisions, and a bounded log of what happened.

Everything here is synchronous and runs in one event loop: a read and the write that depends on it are never
interrupted, which is all that optimistic concurrency needs. Stored objects are never changed in place.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, name_of, namespace_of

FIRST_REVISION = 100
"""Revisions start above what a client may make up: resourceVersion 1 is always too old, as on an aged cluster."""


@dataclass(frozen=True)
class Stored:
    """One version of one object.

    Args:
        kind: what it is.
        obj: the object, complete, not to be changed.
        revision: the resourceVersion as a number.
    """

    kind: Kind
    obj: Json
    revision: int

    @cached_property
    def tail(self) -> bytes:
        """The JSON of the object after its kind and apiVersion, with the closing brace."""
        rest = {key: value for key, value in self.obj.items() if key not in ("kind", "apiVersion")}
        return json.dumps(rest, separators=(",", ":"), ensure_ascii=False).encode()[1:]

    @property
    def encoded(self) -> bytes:
        """The JSON of the object."""
        return f'{{"kind":"{self.kind.kind}","apiVersion":"{self.kind.api_version}",'.encode() + self.tail

    @property
    def encoded_in_list(self) -> bytes:
        """The JSON of the object as an item of a list: built-in kinds leave their kind out there."""
        return self.encoded if self.kind.custom else b"{" + self.tail


@dataclass(frozen=True)
class Event:
    """One change.

    Args:
        type: ADDED, MODIFIED or DELETED.
        now: the object after it; for DELETED as it was last, with the revision of the deletion.
        before: the object before it, None for ADDED.
        encoded: JSON lines made for watchers, by form; they share them.
    """

    type: str
    now: Stored
    before: Stored | None
    encoded: dict[object, bytes] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        """The revision that the change made."""
        return self.now.revision


Listener = Callable[[Event], None]


class Store:
    """Objects in memory.

    Args:
        log_length: how many changes are remembered; watches from before them get 410 Gone.
    """

    def __init__(self, log_length: int = 5000) -> None:
        self.revision = FIRST_REVISION
        self._compacted = FIRST_REVISION
        self._objects: dict[tuple[str, str], dict[str, dict[str, Stored]]] = {}
        self._by_uid: dict[str, Stored] = {}
        self._log: deque[Event] = deque()
        self._log_length = log_length
        self._listeners: list[Listener] = []
        self._unpublished: deque[Event] = deque()

    @property
    def compacted(self) -> int:
        """The oldest revision that a watch can start from."""
        return self._compacted

    def find(self, kind: Kind, namespace: str, name: str) -> Stored | None:
        """The object, or None."""
        return self._objects.get(kind.storage_key, {}).get(namespace, {}).get(name)

    def find_by_uid(self, uid: str) -> Stored | None:
        """The object with that uid, or None."""
        return self._by_uid.get(uid)

    def items(self, kind: Kind, namespace: str = "") -> list[Stored]:
        """All objects of a kind, of one namespace if given, in the order of their keys."""
        spaces = self._objects.get(kind.storage_key, {})
        names = [namespace] if namespace else sorted(spaces)
        return [spaces[space][name] for space in names if space in spaces for name in sorted(spaces[space])]

    def items_at(self, kind: Kind, namespace: str, revision: int) -> list[Stored]:
        """All objects as they were at an earlier revision that is not compacted yet."""
        seen = {(namespace_of(item.obj), name_of(item.obj)): item for item in self.items(kind, namespace)}
        for event in reversed(self._log):
            if event.revision <= revision:
                break
            if event.now.kind.storage_key == kind.storage_key and namespace in ("", namespace_of(event.now.obj)):
                key = namespace_of(event.now.obj), name_of(event.now.obj)
                seen.pop(key, None)
                if event.before is not None:
                    seen[key] = event.before
        return [seen[key] for key in sorted(seen)]

    def put(self, kind: Kind, obj: Json) -> Stored:
        """Write an object, new or changed, under the next revision. The caller gives `obj` away."""
        before = self.find(kind, namespace_of(obj), name_of(obj))
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        stored = Stored(kind, obj, self.revision)
        space = self._objects.setdefault(kind.storage_key, {}).setdefault(namespace_of(obj), {})
        space[name_of(obj)] = stored
        self._by_uid[obj["metadata"]["uid"]] = stored
        self._publish(Event("MODIFIED" if before else "ADDED", stored, before))
        return stored

    def remove(self, stored: Stored) -> Stored:
        """Remove an object and return it as it was last."""
        namespace, name = namespace_of(stored.obj), name_of(stored.obj)
        before = self._objects[stored.kind.storage_key][namespace].pop(name)
        self._by_uid.pop(before.obj["metadata"]["uid"], None)
        self.revision += 1
        last = dict(stored.obj)
        last["metadata"] = dict(last["metadata"], resourceVersion=str(self.revision))
        gone = Stored(stored.kind, last, self.revision)
        self._publish(Event("DELETED", gone, before))
        return gone

    def events_since(self, revision: int) -> Iterator[Event]:
        """The changes after a revision, oldest first."""
        return (event for event in self._log if event.revision > revision)

    def compact(self) -> None:
        """Forget the log: every watch from an older revision gets 410 Gone."""
        self._log.clear()
        self._compacted = self.revision

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every change, right after it, in order."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Stop calling `listener`."""
        self._listeners.remove(listener)

    def _publish(self, event: Event) -> None:
        self._log.append(event)
        while len(self._log) > self._log_length:
            self._compacted = self._log.popleft().revision
        self._unpublished.append(event)
        if len(self._unpublished) == 1:
            self._drain()

    def _drain(self) -> None:
        """A listener may write: its change is told after everybody has heard the present one."""
        while self._unpublished:
            for listener in tuple(self._listeners):
                listener(self._unpublished[0])
            self._unpublished.popleft()
