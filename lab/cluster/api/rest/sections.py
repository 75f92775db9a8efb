"""Which part of an object an address may change: spec at the object's own, status at status."""

from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, clone

_LABELS_STAY = ("deployments", "replicasets", "statefulsets", "daemonsets")
_ANNOTATIONS_COUNT = {("apps", "deployments")}
"""Whose annotations are wanted, too: a change of them counts up metadata.generation."""


def keep_other_sections(kind: Kind, new: Json, old: Json, subresource: str) -> None:
    """Carry over from the stored object what the address written to does not change."""
    if subresource == "status":
        _keep_all_but_status(kind, new, old)
    elif kind.has_status and subresource != "finalize":
        _take(new, old, "status")


def _take(new: Json, old: Json, field: str) -> None:
    new.pop(field, None)
    if field in old:
        new[field] = clone(old[field])


def _keep_all_but_status(kind: Kind, new: Json, old: Json) -> None:
    for field in {*new, *old} - {"status", "metadata", "kind", "apiVersion"}:
        _take(new, old, field)
    if kind.custom:
        managed = new["metadata"].get("managedFields")
        new["metadata"] = clone(old["metadata"])
        if managed is not None:
            new["metadata"]["managedFields"] = managed
    elif kind.plural in _LABELS_STAY:
        _take(new["metadata"], old["metadata"], "labels")


def next_generation(kind: Kind, new: Json, old: Json, subresource: str) -> None:
    """Count up metadata.generation when what is wanted has changed."""
    if not (kind.generation or kind.custom):
        return
    ignored = {"metadata", "status"} if kind.has_status else {"metadata"}
    counts = kind.storage_key in _ANNOTATIONS_COUNT and subresource != "status"
    annotated = counts and _annotations(new) != _annotations(old)
    if annotated or _without(new, ignored) != _without(old, ignored):
        new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1


def _annotations(obj: Json) -> Json:
    return obj["metadata"].get("annotations") or {}


def _without(obj: Json, fields: set[str]) -> Json:
    return {key: value for key, value in obj.items() if key not in fields}
