"""Holding a SecretProviderClass at given versions for a while, so that its mounts never mix old and new ones.

A mount reads one object after the other; where two secrets are written in between, it has the old one of one and the
new one of the other. With `objectVersion` it reads what is named:
https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
One write both pins and remembers what was there before, so a crash in between forgets nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from infra.errors import Conflict
from infra.kubernetes.client import MERGE_PATCH, Cluster, Object
from infra.kubernetes.provider_classes import HELD_FOR, parse_objects, path_of
from infra.kubernetes.restarts import FIELD_MANAGER

OBJECTS_BEFORE = "keyturn/objects-before"
"""Annotation: the parameter `objects` as it was before the class was held."""
_ATTEMPTS = 5


def hold(cluster: Cluster, namespace: str, name: str, versions: Mapping[str, str], rotation_id: str) -> None:
    """Let a class mount given versions until it is released.

    Args:
        cluster: the cluster.
        namespace: of the class.
        name: of the class.
        versions: name of the vault's object -> version; other objects stay as they are.
        rotation_id: for whose sake.

    Raises:
        NotFound: there is no such class.
        Conflict: somebody else keeps changing it.
    """

    def change(objects: str, annotations: Mapping[str, str]) -> tuple[str, dict[str, str | None]] | None:
        if annotations.get(HELD_FOR) == rotation_id:
            return None
        before = annotations.get(OBJECTS_BEFORE, objects)
        return pin(objects, versions), {HELD_FOR: rotation_id, OBJECTS_BEFORE: before}

    _change(cluster, namespace, name, change)


def release(cluster: Cluster, namespace: str, name: str) -> None:
    """Let a class mount what it did before it was held. Nothing happens when it is not held.

    Raises:
        NotFound: there is no such class.
        Conflict: somebody else keeps changing it.
    """

    def change(objects: str, annotations: Mapping[str, str]) -> tuple[str, dict[str, str | None]] | None:
        if OBJECTS_BEFORE not in annotations and HELD_FOR not in annotations:
            return None
        return unpin(objects, annotations.get(OBJECTS_BEFORE, objects)), {HELD_FOR: None, OBJECTS_BEFORE: None}

    _change(cluster, namespace, name, change)


def pin(objects: str, versions: Mapping[str, str]) -> str:
    """Return the parameter `objects` with versions of some objects."""
    entries = parse_objects(objects)
    for entry in entries:
        if entry["objectName"] in versions:
            entry["objectVersion"] = versions[entry["objectName"]]
    return _dump(entries)


def unpin(objects: str, before: str) -> str:
    """Return `before`; where somebody changed more than versions meanwhile, theirs with the versions of before."""
    now, then = parse_objects(objects), parse_objects(before)
    if list(map(_without_version, now)) == list(map(_without_version, then)):
        return before
    versions = {entry["objectName"]: entry.get("objectVersion", "") for entry in then}
    for entry in now:
        if entry["objectName"] in versions:
            entry["objectVersion"] = versions[entry["objectName"]]
    return _dump(now)


def _without_version(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "objectVersion"}


def _dump(entries: list[dict[str, Any]]) -> str:
    return str(yaml.safe_dump({"array": [yaml.safe_dump(entry, sort_keys=False) for entry in entries]}))


def _change(
    cluster: Cluster,
    namespace: str,
    name: str,
    change: Callable[[str, Mapping[str, str]], tuple[str, dict[str, str | None]] | None],
) -> None:
    path = path_of(namespace, name)
    for attempt in range(_ATTEMPTS):
        found = cluster.get(path)
        metadata = found["metadata"]
        objects = (found["spec"].get("parameters") or {}).get("objects") or ""
        wanted = change(objects, metadata.get("annotations") or {})
        if wanted is None:
            return
        body: Object = {
            "metadata": {"annotations": wanted[1], "resourceVersion": metadata["resourceVersion"]},
            "spec": {"parameters": {"objects": wanted[0]}},
        }
        try:
            cluster.request("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH)
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return
