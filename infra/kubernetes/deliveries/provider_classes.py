"""SecretProviderClasses: what they mount and sync, and how their versions are pinned for a while.

A mount reads one object after the other. If two secrets are written in between, it has the old version of one and the
new version of the other. With `objectVersion` it reads what is named. One write both pins and remembers what was there
before, so a crash in between forgets nothing.

Key Vault does not count the case of names: those of its objects are in lower case here, and compared so.

https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from infra.credentials import Encoding
from infra.kubernetes.client import Cluster, Object

PINNED_FOR = "keyturn/pinned-for"
"""Annotation: the rotation that pinned the class to the versions before."""
UNPINNED_OBJECTS = "keyturn/unpinned-objects"
"""Annotation: the parameter `objects` as it was before the pin."""
API = "/apis/secrets-store.csi.x-k8s.io/v1"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class ProviderClass:
    """A SecretProviderClass.

    Args:
        name: its name.
        vault: the key vault that it reads.
        client_id: the identity that it reads with.
        tenant_id: the identity's tenant.
        files: name of each mounted file -> name of the vault's object, in lower case. Of an object with older versions
            (objectVersionHistory) it is the file of the newest one, or of the one that is pinned.
        synced: Secret -> key -> name of the vault's object, in lower case.
        pinned: the vault's objects of which it names a version, in lower case -> that version.
        pinned_for: the rotation that pinned them for a while; empty if it was somebody else. The pins themselves may be
            gone: a tool that keeps the cluster equal to a repository takes them away, and leaves the annotation.
        decoded: the vault's objects that it decodes (objectEncoding), in lower case.
    """

    name: str
    vault: str
    client_id: str
    tenant_id: str
    files: Mapping[str, str]
    synced: Mapping[str, Mapping[str, str]]
    pinned: Mapping[str, str] = field(default_factory=dict)
    pinned_for: str = ""
    decoded: Mapping[str, Encoding] = field(default_factory=dict)


def get_provider_class(cluster: Cluster, namespace: str, name: str) -> ProviderClass:
    """Return a SecretProviderClass.

    Raises:
        NotFound: it does not exist.
    """
    return read_provider_class(cluster.get(path_of(namespace, name)))


def read_provider_class(item: Object) -> ProviderClass:
    """Read one SecretProviderClass."""
    spec = item.get("spec") or {}
    parameters = spec.get("parameters") or {}
    objects = parse_objects(parameters.get("objects") or "")
    files = {_name_file(entry): _name(entry) for entry in objects}
    folders = {_name_folder(entry).lower() for entry in objects if _has_history(entry)}
    synced = {
        secret["secretName"]: {
            key["key"]: _find_object(key["objectName"], files, folders) for key in secret.get("data") or []
        }
        for secret in spec.get("secretObjects") or []
    }
    return ProviderClass(
        item["metadata"]["name"],
        parameters.get("keyvaultName", ""),
        parameters.get("clientID", ""),
        parameters.get("tenantID") or parameters.get("tenantId", ""),
        files,
        synced,
        _read_versions(objects),
        (item["metadata"].get("annotations") or {}).get(PINNED_FOR, ""),
        {_name(entry): Encoding(encoding) for entry in objects if (encoding := _encoding(entry)) in set(Encoding)},
    )


def _find_object(file: str, files: Mapping[str, str], folders: Collection[str]) -> str:
    """Return the vault's object that a key of a Secret is made of; empty: none, for it names a folder."""
    return files.get(file, "" if file.lower() in folders else file.lower())


def _name_file(entry: Mapping[str, Any]) -> str:
    """Return the file that has the newest version: `0` of a folder, where older ones are mounted beside it."""
    return f"{_name_folder(entry)}/0" if _has_history(entry) else _name_folder(entry)


def _name_folder(entry: Mapping[str, Any]) -> str:
    return str(entry.get("objectAlias") or entry["objectName"])


def _has_history(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("objectVersionHistory") or "0") not in ("0", "1")


def _encoding(entry: Mapping[str, Any]) -> str:
    return str(entry.get("objectEncoding") or "").strip().lower()


def pin_versions(cluster: Cluster, namespace: str, name: str, versions: Mapping[str, str], rotation_id: str) -> None:
    """Make a class mount given versions until it is unpinned.

    Args:
        cluster: the cluster.
        namespace: of the class.
        name: of the class.
        versions: name of the vault's object -> version; other objects stay as they are.
        rotation_id: the rotation that pins them.

    Raises:
        NotFound: there is no such class.
        Conflict: somebody else keeps changing it.
    """

    def pin(item: Object) -> Object | None:
        objects, annotations = _objects_of(item), item["metadata"].get("annotations") or {}
        pinned = pin_objects(objects, versions)
        if annotations.get(PINNED_FOR) == rotation_id and parse_objects(objects) == parse_objects(pinned):
            return None
        unpinned = annotations.get(UNPINNED_OBJECTS, objects)
        return _body(pinned, {PINNED_FOR: rotation_id, UNPINNED_OBJECTS: unpinned})

    cluster.change(path_of(namespace, name), pin)


def unpin_versions(cluster: Cluster, namespace: str, name: str) -> None:
    """Make a class mount what it did before it was pinned. Nothing happens if it is not. Raises as `pin_versions`."""

    def unpin(item: Object) -> Object | None:
        objects, annotations = _objects_of(item), item["metadata"].get("annotations") or {}
        if UNPINNED_OBJECTS not in annotations and PINNED_FOR not in annotations:
            return None
        unpinned = annotations.get(UNPINNED_OBJECTS, objects)
        return _body(unpin_objects(objects, unpinned), {PINNED_FOR: None, UNPINNED_OBJECTS: None})

    cluster.change(path_of(namespace, name), unpin)


def pin_objects(objects: str, versions: Mapping[str, str]) -> str:
    """Return the parameter `objects` with versions of some objects."""
    entries, wanted = parse_objects(objects), {name.lower(): version for name, version in versions.items()}
    for entry in entries:
        if _name(entry) in wanted:
            entry["objectVersion"] = wanted[_name(entry)]
    return _dump(entries)


def unpin_objects(objects: str, before: str) -> str:
    """Return `before`; if somebody has changed more than versions since, theirs with the versions of before."""
    now, then = parse_objects(objects), parse_objects(before)
    if list(map(_without_version, now)) == list(map(_without_version, then)):
        return before
    versions = {_name(entry): entry.get("objectVersion", "") for entry in then}
    return pin_objects(objects, versions)


def path_of(namespace: str, name: str) -> str:
    """Return the path of a SecretProviderClass."""
    return f"{API}/namespaces/{namespace}/secretproviderclasses/{name}"


def parse_objects(objects: str) -> list[dict[str, Any]]:
    """Read the parameter `objects`: YAML that holds a list of YAML texts. What cannot be read is left out."""
    try:
        entries = [_load(text) for text in (_load(objects) or {}).get("array") or []]
    except (yaml.YAMLError, AttributeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("objectName")]


def _load(text: str) -> Any:
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader, in C where there is one


def _read_versions(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {_name(entry): str(entry["objectVersion"]) for entry in entries if entry.get("objectVersion")}


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["objectName"]).lower()


def _dump(entries: list[dict[str, Any]]) -> str:
    return str(yaml.safe_dump({"array": [yaml.safe_dump(entry, sort_keys=False) for entry in entries]}))


def _without_version(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "objectVersion"}


def _objects_of(item: Object) -> str:
    """Return the parameter `objects` of a class."""
    return (item["spec"].get("parameters") or {}).get("objects") or ""


def _body(objects: str, annotations: Mapping[str, str | None]) -> Object:
    return {"metadata": {"annotations": annotations}, "spec": {"parameters": {"objects": objects}}}
