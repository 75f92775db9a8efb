"""Delete: at once, gracefully, or when the finalizers are done.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lab.cluster.api.errors import FieldError, invalid, not_found, not_supported, precondition_failed
from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Clock, Json, clone, metadata, name_of, parse_time, timestamp
from lab.cluster.api.requests import integer
from lab.cluster.api.rest.admission import Admission, pod_is_finished
from lab.cluster.api.rest.writes import is_ready_to_go
from lab.cluster.api.store import Store, Stored

POLICIES = ("Foreground", "Background", "Orphan")
_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_DEFAULT_GRACE = 30


@dataclass(frozen=True)
class DeleteOptions:
    """How a delete was asked for.

    Args:
        grace_seconds: None for what the pod itself says.
        uid: the object must have it, if given.
        resource_version: likewise.
        policy: Background, Foreground or Orphan; empty for the kind's default.
        dry_run: whether nothing is changed.
    """

    grace_seconds: int | None = None
    uid: str = ""
    resource_version: str = ""
    policy: str = ""
    dry_run: bool = False

    @classmethod
    def of(cls, body: Mapping[str, Any], query: Mapping[str, str]) -> "DeleteOptions":
        """Read them from a body and, where it is silent, from the query.

        Raises:
            ApiError: 422 for an unknown policy.
        """
        grace = body.get("gracePeriodSeconds")
        if grace is None and query.get("gracePeriodSeconds"):
            grace = integer(query, "gracePeriodSeconds")
        policy = body.get("propagationPolicy") or query.get("propagationPolicy", "")
        if policy and policy not in POLICIES:
            raise invalid("DeleteOptions", "meta.k8s.io", "", [_bad_policy(policy)])
        orphan = body.get("orphanDependents")
        if orphan is not None and not policy:
            policy = "Orphan" if orphan else "Background"
        wanted = body.get("preconditions") or {}
        dry_run = bool(body.get("dryRun") or query.get("dryRun"))
        return cls(grace, wanted.get("uid") or "", wanted.get("resourceVersion") or "", policy, dry_run)


def _bad_policy(policy: str) -> FieldError:
    return not_supported("propagationPolicy", policy, [*POLICIES, "nil"])


@dataclass(frozen=True)
class Deleted:
    """What came of a delete: the object as it is now, and whether it is gone."""

    stored: Stored
    is_gone: bool


class Deleter:
    """Deletes objects.

    Args:
        store: where they are.
        admission: may refuse.
        now: the clock.
    """

    def __init__(self, store: Store, admission: Admission, now: Clock) -> None:
        self._store, self._admission, self._now = store, admission, now

    def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> Deleted:
        """Delete an object, or mark it for deletion.

        Raises:
            ApiError: 404 if there is none, 409 if a precondition does not hold, 403 for what may not be deleted.
        """
        found = self._store.find(kind, namespace, name)
        if found is None:
            raise not_found(kind.plural, kind.group, name)
        self._admission.check_delete(kind, name)
        _check_preconditions(kind, found, options)
        marked = self._mark(kind, found, options)
        if options.dry_run:
            return Deleted(found, is_ready_to_go(kind, marked))
        if is_ready_to_go(kind, marked):
            gone = self._store.remove(found)
            # The answer to a pod's delete says when it was deleted; the event shows the pod as it was.
            return Deleted(Stored(kind, marked, gone.revision) if kind.storage_key == ("", "pods") else gone, True)
        if marked == found.obj:
            return Deleted(found, False)
        return Deleted(self._store.put(kind, marked), False)

    def _mark(self, kind: Kind, found: Stored, options: DeleteOptions) -> Json:
        obj: Json = clone(found.obj)
        meta = obj["metadata"]
        grace = _grace(kind, obj, options)
        _set_finalizer(meta, options.policy)
        if not meta.get("deletionTimestamp"):
            meta["deletionTimestamp"] = timestamp(self._now() + timedelta(seconds=grace))
            meta["deletionGracePeriodSeconds"] = grace
            if kind.generation or kind.custom:
                meta["generation"] = int(meta.get("generation", 0)) + 1
        elif grace < int(meta.get("deletionGracePeriodSeconds") or 0):
            earlier = parse_time(meta["deletionTimestamp"]) - timedelta(seconds=meta["deletionGracePeriodSeconds"])
            meta["deletionTimestamp"] = timestamp(earlier + timedelta(seconds=grace))
            meta["deletionGracePeriodSeconds"] = grace
        if kind.storage_key == ("", "namespaces"):
            meta.pop("deletionGracePeriodSeconds", None)
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        return obj


def _grace(kind: Kind, obj: Json, options: DeleteOptions) -> int:
    """Only pods have one, and only those that a node has started."""
    if kind.storage_key != ("", "pods") or not obj["spec"].get("nodeName") or pod_is_finished(obj):
        return 0
    if options.grace_seconds is not None:
        return max(0, options.grace_seconds)
    return int(obj["spec"].get("terminationGracePeriodSeconds", _DEFAULT_GRACE))


def _set_finalizer(meta: Json, policy: str) -> None:
    if not policy:
        return
    wanted = _FINALIZERS.get(policy)
    others = [finalizer for finalizer in meta.get("finalizers") or [] if finalizer not in _FINALIZERS.values()]
    finalizers = others + ([wanted] if wanted else [])
    meta.pop("finalizers", None)
    if finalizers:
        meta["finalizers"] = finalizers


def _check_preconditions(kind: Kind, found: Stored, options: DeleteOptions) -> None:
    meta = metadata(found.obj)
    checks = (
        ("UID", options.uid, meta["uid"], "deleted and then recreated"),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"], "modified"),
    )
    for name, wanted, seen, guess in checks:
        if wanted and wanted != seen:
            why = f"the {name} in the precondition ({wanted}) does not match the {name} in record ({seen}). "
            why += f"The object might have been {guess}"
            raise precondition_failed(kind.kind, kind.group, name_of(found.obj), why)
