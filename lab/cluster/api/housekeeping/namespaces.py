"""Namespaces on their way out: everything in them is deleted after a moment, then they go.

The moment lets a client that deletes the objects of a manifest one by one, the namespace first, find them all; a real
cluster waits five seconds.
"""

import asyncio
import contextlib

from lab.cluster.api.errors import ApiError
from lab.cluster.api.kinds.kind import Registry
from lab.cluster.api.objects import Json, clone, dig, metadata, name_of, namespace_of
from lab.cluster.api.patches.ownership import Manager
from lab.cluster.api.rest.deletion import DeleteOptions, Deleter
from lab.cluster.api.rest.writes import Write, Writer
from lab.cluster.api.store import Event, Store, Stored

_WRITE = Write(Manager("namespace-controller", "Update", "finalize"), "finalize")
_FINALIZER = "kubernetes"
DELAY_SECONDS = 0.5


class NamespaceCollector:
    """Empties namespaces that are being deleted.

    Args:
        store: what is looked at.
        registry: the kinds.
        writer: finalizes namespaces.
        deleter: deletes what is in them.
    """

    def __init__(self, store: Store, registry: Registry, writer: Writer, deleter: Deleter) -> None:
        self._store, self._registry, self._writer, self._deleter = store, registry, writer, deleter
        self._namespaces = registry.get("", "namespaces")
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def handle(self, event: Event) -> None:
        """Do what a change asks for."""
        if event.now.kind is self._namespaces:
            if event.type != "DELETED" and _is_ending(event.now.obj):
                self._empty_later(name_of(event.now.obj))
        elif event.type == "DELETED" and (namespace := namespace_of(event.now.obj)):
            found = self._store.find(self._namespaces, "", namespace)
            if found is not None and _is_ending(found.obj):
                self._finalize(namespace)

    def stop(self) -> None:
        """Forget the namespaces that wait."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _empty_later(self, namespace: str) -> None:
        if namespace not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[namespace] = loop.call_later(DELAY_SECONDS, self._due, namespace)

    def _due(self, namespace: str) -> None:
        del self._timers[namespace]
        with contextlib.suppress(ApiError):
            self._empty(namespace)

    def _empty(self, namespace: str) -> None:
        for item in self._content(namespace):
            if not metadata(item.obj).get("deletionTimestamp"):
                self._deleter.delete(item.kind, namespace, name_of(item.obj), DeleteOptions(policy="Background"))
        self._finalize(namespace)

    def _finalize(self, namespace: str) -> None:
        if self._content(namespace) or self._store.find(self._namespaces, "", namespace) is None:
            return
        self._writer.update(self._namespaces, "", namespace, _without_finalizer, _WRITE)

    def _content(self, namespace: str) -> list[Stored]:
        kinds = [kind for kind in self._registry.stored() if kind.namespaced]
        return [item for kind in kinds for item in self._store.items(kind, namespace)]


def _is_ending(namespace: Json) -> bool:
    finalizers = dig(namespace, "spec", "finalizers") or ()
    return bool(metadata(namespace).get("deletionTimestamp")) and _FINALIZER in finalizers


def _without_finalizer(namespace: Json) -> Json:
    obj: Json = clone(namespace)
    kept = [finalizer for finalizer in dig(obj, "spec", "finalizers") or () if finalizer != _FINALIZER]
    obj["spec"] = {"finalizers": kept} if kept else {}
    return obj
