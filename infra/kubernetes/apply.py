"""Server-side apply: make objects as documents say, see what would change, delete them again.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from infra.errors import InvalidInput, NotFound
from infra.kubernetes.client import APPLY_PATCH, Cluster, Object

FIELD_MANAGER = "keyturn"
Action = Literal["created", "configured", "unchanged"]

_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


@dataclass(frozen=True)
class Applied:
    """What applying one document did, or would do.

    Args:
        kind: the object's kind.
        namespace: its namespace; empty for a cluster-wide kind.
        name: its name.
        action: what was done to it.
        changes: for a dry run of an existing object, each field that would change: `spec.replicas: 0 -> 1`.
    """

    kind: str
    namespace: str
    name: str
    action: Action
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Where a document's object lives."""

    path: str
    kind: str
    namespace: str
    name: str


def apply(
    cluster: Cluster, documents: Sequence[Object], field_manager: str = FIELD_MANAGER, *, dry_run: bool = False
) -> list[Applied]:
    """Apply documents in order; a second time changes nothing.

    Fields that another manager set to something else are taken over: the manifests say how things must be.

    Args:
        cluster: where to apply them.
        documents: the objects as they must be.
        field_manager: who owns the fields that the documents name.
        dry_run: ask the server what would change, and change nothing.

    Raises:
        NotFound: a kind is not known to the cluster, or a namespace does not exist.
        InvalidInput: the server finds a document invalid.
        AccessDenied: the caller may not apply it.
    """
    return [_apply(cluster, document, field_manager, dry_run) for document in documents]


def delete(cluster: Cluster, documents: Sequence[Object]) -> None:
    """Delete the documents' objects, the last one first; that they are gone already is fine."""
    for document in reversed(documents):
        try:
            cluster.delete(_place(cluster, document).path)
        except NotFound:
            continue


def _apply(cluster: Cluster, document: Object, field_manager: str, dry_run: bool) -> Applied:
    place = _place(cluster, document)
    before = cluster.find(place.path)
    if before is None and dry_run and place.namespace and not _has_namespace(cluster, place.namespace):
        return Applied(place.kind, place.namespace, place.name, "created")
    query = {"fieldManager": field_manager, "force": "true", "fieldValidation": "Strict"}
    query |= {"dryRun": "All"} if dry_run else {}
    after = cluster.request("PATCH", place.path, query, document, APPLY_PATCH)
    if before is None:
        return Applied(place.kind, place.namespace, place.name, "created")
    changes = tuple(_changes(_bare(before), _bare(after), ""))
    return Applied(place.kind, place.namespace, place.name, "configured" if changes else "unchanged", changes)


def _has_namespace(cluster: Cluster, name: str) -> bool:
    return cluster.find(f"/api/v1/namespaces/{name}") is not None


def _place(cluster: Cluster, document: Object) -> _Place:
    """Find where a document's object lives, by the server's discovery."""
    version, kind, name = document["apiVersion"], document["kind"], document["metadata"].get("name", "")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    found = next((item for item in _resources(cluster, root) if item["kind"] == kind and "/" not in item["name"]), None)
    if found is None:
        fix = "install what defines the kind; SecretProviderClass comes with the add-on azure-keyvault-secrets-provider"
        raise NotFound("The cluster does not know this kind", name=f"{version} {kind}", fix=fix, code="NoKindMatch")
    if not name:
        raise InvalidInput("The document has no name", name=f"{version} {kind}", fix="give it metadata.name")
    if not found["namespaced"]:
        return _Place(f"{root}/{found['name']}/{name}", kind, "", name)
    namespace = document["metadata"].get("namespace", "default")
    return _Place(f"{root}/namespaces/{namespace}/{found['name']}/{name}", kind, namespace, name)


def _resources(cluster: Cluster, root: str) -> Sequence[Object]:
    found = cluster.find(root)
    return (found or {}).get("resources") or []


def _bare(item: Object) -> Object:
    """Leave out what the server keeps for itself: it says nothing about a change."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _SERVERS_OWN}
    return {key: value for key, value in item.items() if key != "status"} | {"metadata": metadata}


def _changes(before: Any, after: Any, where: str) -> Iterator[str]:
    """Name each field that differs, with both values."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _changes(before.get(key), after.get(key), f"{where}.{key}" if where else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changes(old, new, f"{where}[{index}]")
    else:
        yield f"{where}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
