"""Create and update: the steps from what a client sent to what is stored."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from lab.cluster.api.errors import (
    FieldError,
    already_exists,
    bad_request,
    conflict,
    internal,
    invalid,
    not_allowed,
    not_found,
)
from lab.cluster.api.kinds.behaviour import Behaviour
from lab.cluster.api.kinds.behaviours import behaviour_of
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.kinds.names import validate_metadata
from lab.cluster.api.objects import Clock, Json, clone, metadata, name_of, random_suffix, timestamp
from lab.cluster.api.patches.ownership import Manager, track
from lab.cluster.api.rest.admission import Admission
from lab.cluster.api.rest.sections import keep_other_sections, next_generation
from lab.cluster.api.store import Store, Stored

_SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
)
_MAX_GENERATED = 58


@dataclass(frozen=True)
class Write:
    """How a write was asked for.

    Args:
        manager: who writes, for the ownership of fields.
        subresource: the part written, empty for the object itself.
        dry_run: whether nothing is stored.
    """

    manager: Manager
    subresource: str = ""
    dry_run: bool = False


class Writer:
    """Writes objects.

    Args:
        store: where they go.
        admission: what is asked of new objects.
        now: the clock.
    """

    def __init__(self, store: Store, admission: Admission, now: Clock) -> None:
        self.store, self.admission, self.now = store, admission, now

    def create(self, kind: Kind, namespace: str, obj: Json, write: Write) -> Stored:
        """Create an object.

        Args:
            obj: the object as decoded; the caller gives it away.

        Raises:
            ApiError: 404 for a missing namespace, 409 if the name is taken, 422 if it breaks rules.
        """
        behaviour = behaviour_of(kind)
        meta = self._start_metadata(kind, namespace, obj)
        behaviour.default(obj)
        obj = self.admission.admit_create(kind, obj)
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:_MAX_GENERATED] + random_suffix()
        if kind.has_status and not behaviour.keeps_status:
            obj.pop("status", None)
        if kind.generation or kind.custom:
            meta["generation"] = 1
        behaviour.prepare_create(obj)
        self._check(kind, obj, behaviour.validate(obj))
        if self.store.find(kind, namespace, meta["name"]) is not None:
            raise already_exists(kind.plural, kind.group, meta["name"])
        if write.manager.operation == "Update":
            track(kind, None, obj, write.manager, self.now())
        self.admission.allocate(kind, obj)
        return self._store(kind, obj, write)

    def create_by_update(self, kind: Kind, namespace: str, obj: Json, write: Write) -> Stored:
        """Create the object that an update does not find, whatever version it names; one with a uid is refused.

        Raises:
            ApiError: 409 for a uid, and what `create` raises.
        """
        meta = obj["metadata"]
        if meta.get("uid"):
            raise conflict(kind.plural, kind.group, meta["name"], _other_uid(kind, namespace, meta, ""))
        meta.pop("resourceVersion", None)
        return self.create(kind, namespace, obj, write)

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[Json], Json], write: Write) -> Stored:
        """Change an object.

        Args:
            change: makes the new object of the present one, which it must not change in place.

        Raises:
            ApiError: 404 if there is none, 409 if it has changed meanwhile, 422 if the result breaks rules.
        """
        old = self.store.find(kind, namespace, name)
        if old is None:
            raise not_found(kind.plural, kind.group, name)
        new = clone(change(old.obj))
        self._check_identity(kind, old, new)
        behaviour = behaviour_of(kind)
        behaviour.default(new)
        keep_other_sections(kind, new, old.obj, write.subresource)
        if not write.subresource:
            behaviour.prepare_update(new, old.obj)
        next_generation(kind, new, old.obj, write.subresource)
        self._check_change(kind, behaviour, new, old.obj, write.subresource)
        self.admission.allocate(kind, new)
        if write.manager.operation == "Update":
            track(kind, old.obj, new, write.manager, self.now())
        if new == old.obj:
            return old
        stored = self._store(kind, new, write)
        if is_ready_to_go(kind, new) and not write.dry_run:
            self.store.remove(stored)
        return stored

    def _store(self, kind: Kind, obj: Json, write: Write) -> Stored:
        ordered = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": obj["metadata"]} | obj
        ordered["kind"], ordered["apiVersion"] = kind.kind, kind.api_version
        if write.dry_run:
            return Stored(kind, ordered, self.store.revision)
        return self.store.put(kind, ordered)

    def _start_metadata(self, kind: Kind, namespace: str, obj: Json) -> Json:
        meta: Json = obj.setdefault("metadata", {})
        if meta.get("resourceVersion"):
            raise internal("resourceVersion should not be set on objects to be created")
        for field in (*_SYSTEM_FIELDS, "resourceVersion", "namespace"):
            meta.pop(field, None)
        if kind.namespaced:
            meta["namespace"] = namespace
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = timestamp(self.now())
        return meta

    def _check_identity(self, kind: Kind, old: Stored, new: Json) -> None:
        before, meta = old.obj["metadata"], new.setdefault("metadata", {})
        name = before["name"]
        if meta.get("name") and meta["name"] != name:
            raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
        uid, version = meta.get("uid"), meta.get("resourceVersion")
        if uid and uid != before["uid"]:
            why = _other_uid(kind, before.get("namespace", ""), meta | {"name": name}, before["uid"])
            raise conflict(kind.plural, kind.group, name, why)
        if version and version != before["resourceVersion"]:
            raise conflict(kind.plural, kind.group, name)
        meta["name"], meta["resourceVersion"] = name, before["resourceVersion"]
        for field in (*_SYSTEM_FIELDS, "namespace"):
            meta.pop(field, None)
            if field in before:
                meta[field] = before[field]

    def _check(self, kind: Kind, obj: Json, findings: list[FieldError]) -> None:
        findings = validate_metadata(obj, name_rule(kind)) + findings
        if findings:
            raise invalid(kind.kind, kind.group, name_of(obj), findings)

    def _check_change(self, kind: Kind, behaviour: Behaviour, new: Json, old: Json, subresource: str) -> None:
        findings = _added_finalizers(new, old)
        if not subresource:
            findings += behaviour.validate(new) + behaviour.validate_change(new, old)
        self._check(kind, new, findings)


def _other_uid(kind: Kind, namespace: str, meta: Json, found: str) -> str:
    key = f"/registry/{kind.plural}/{namespace}/{meta['name']}".replace("//", "/")
    why = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
    return why + f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {found}"


def name_rule(kind: Kind) -> str:
    """Which rule the names of a kind follow."""
    return "service" if kind.storage_key == ("", "services") else behaviour_of(kind).name


def _added_finalizers(new: Json, old: Json) -> list[FieldError]:
    if not metadata(old).get("deletionTimestamp"):
        return []
    before = metadata(old).get("finalizers") or []
    added = [finalizer for finalizer in metadata(new).get("finalizers") or [] if finalizer not in before]
    if not added:
        return []
    listed = ", ".join(f'"{finalizer}"' for finalizer in added)
    text = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
    return [not_allowed("metadata.finalizers", text)]


def is_ready_to_go(kind: Kind, obj: Json) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    meta = metadata(obj)
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if kind.storage_key == ("", "namespaces"):
        return not (obj.get("spec") or {}).get("finalizers")
    return not meta.get("deletionGracePeriodSeconds")
