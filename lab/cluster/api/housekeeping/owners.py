"""Garbage collection: dependents go when their owners are gone.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, clone, metadata, name_of, namespace_of
from lab.cluster.api.patches.ownership import Manager
from lab.cluster.api.rest.deletion import DeleteOptions, Deleter
from lab.cluster.api.rest.writes import Write, Writer
from lab.cluster.api.store import Event, Store, Stored

_WRITE = Write(Manager("garbage-collector"))
_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"

_Key = tuple[Kind, str, str]


class OwnerCollector:
    """Deletes what nobody owns any more.

    Args:
        store: what is looked at.
        writer: changes objects.
        deleter: deletes them.
    """

    def __init__(self, store: Store, writer: Writer, deleter: Deleter) -> None:
        self._store, self._writer, self._deleter = store, writer, deleter
        self._dependents: dict[str, set[_Key]] = {}

    def handle(self, event: Event) -> None:
        """Do what a change asks for."""
        obj = event.now.obj
        self._index(event)
        if event.type == "DELETED":
            self._release_owners(obj)
            for key in tuple(self._dependents.pop(metadata(obj)["uid"], ())):
                self._check(key)
            return
        if metadata(obj).get("ownerReferences"):
            self._check(_key(event.now))
        if metadata(obj).get("deletionTimestamp"):
            self._finalize(event.now)

    def _index(self, event: Event) -> None:
        key = _key(event.now)
        for uid in _owners(event.before.obj) if event.before else ():
            self._dependents.get(uid, set()).discard(key)
        for uid in _owners(event.now.obj) if event.type != "DELETED" else ():
            self._dependents.setdefault(uid, set()).add(key)

    def _check(self, key: _Key) -> None:
        """Delete an object none of whose owners is left; drop references to those that are gone."""
        found = self._store.find(*key)
        if found is None or not _owners(found.obj):
            return
        gone = {uid for uid in _owners(found.obj) if self._store.find_by_uid(uid) is None}
        if not gone:
            return
        if gone == set(_owners(found.obj)):
            self._delete(found, "Background")
        else:
            self._drop_references(found, gone)

    def _finalize(self, owner: Stored) -> None:
        finalizers = metadata(owner.obj).get("finalizers") or []
        uid = metadata(owner.obj)["uid"]
        dependents = [found for key in tuple(self._dependents.get(uid, ())) if (found := self._store.find(*key))]
        if _ORPHAN in finalizers:
            for dependent in dependents:
                self._drop_references(dependent, {uid})
            self._remove_finalizer(owner, _ORPHAN)
        elif _FOREGROUND in finalizers:
            for dependent in dependents:
                if not metadata(dependent.obj).get("deletionTimestamp"):
                    self._delete(dependent, "Foreground" if self._has_dependents(dependent) else "Background")
            if not any(_blocks(found.obj, uid) for found in dependents if self._store.find(*_key(found))):
                self._remove_finalizer(owner, _FOREGROUND)

    def _has_dependents(self, stored: Stored) -> bool:
        return bool(self._dependents.get(metadata(stored.obj)["uid"]))

    def _release_owners(self, obj: Json) -> None:
        """A dependent is gone: owners that wait for it may go as well."""
        for uid in _owners(obj):
            owner = self._store.find_by_uid(uid)
            if owner is not None and metadata(owner.obj).get("deletionTimestamp"):
                self._finalize(owner)

    def _delete(self, stored: Stored, policy: str) -> None:
        kind, namespace, name = _key(stored)
        options = DeleteOptions(uid=metadata(stored.obj)["uid"], policy=policy)
        self._deleter.delete(kind, namespace, name, options)

    def _drop_references(self, stored: Stored, uids: set[str]) -> None:
        def change(now: Json) -> Json:
            obj: Json = clone(now)
            kept = [
                reference for reference in metadata(obj).get("ownerReferences") or () if reference["uid"] not in uids
            ]
            obj["metadata"].pop("ownerReferences", None)
            if kept:
                obj["metadata"]["ownerReferences"] = kept
            return obj

        self._writer.update(*_key(stored), change, _WRITE)

    def _remove_finalizer(self, stored: Stored, name: str) -> None:
        def change(now: Json) -> Json:
            obj: Json = clone(now)
            kept = [finalizer for finalizer in metadata(obj).get("finalizers") or () if finalizer != name]
            obj["metadata"].pop("finalizers", None)
            if kept:
                obj["metadata"]["finalizers"] = kept
            return obj

        if self._store.find(*_key(stored)) is not None:
            self._writer.update(*_key(stored), change, _WRITE)


def _key(stored: Stored) -> _Key:
    return stored.kind, namespace_of(stored.obj), name_of(stored.obj)


def _owners(obj: Json) -> list[str]:
    return [reference["uid"] for reference in metadata(obj).get("ownerReferences") or ()]


def _blocks(obj: Json, uid: str) -> bool:
    references = metadata(obj).get("ownerReferences") or ()
    return any(reference["uid"] == uid and reference.get("blockOwnerDeletion") for reference in references)
