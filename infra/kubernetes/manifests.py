"""Manifests: read, filled in, and applied by server-side apply.

A placeholder is `${NAME}`. Each must have a value, and only values that a name or an id can have are accepted, so no
value can break out of its place in the YAML.

    documents = load("dexter.yaml", {"NAMESPACE": "dexter", ...}, folder)
    for applied in apply(cluster, documents, dry_run=True):
        print(applied.kind, applied.name, applied.action, applied.changes)

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from infra.errors import Code, InvalidInput, NotFound
from infra.kubernetes.client import APPLY_PATCH, FIELD_MANAGER, Cluster, Object

Action = Literal["created", "configured", "unchanged"]

_PLACEHOLDER = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/:@]*")
_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


@dataclass(frozen=True)
class Applied:
    """What applying one document did, or would do.

    Args:
        kind: the object's kind.
        namespace: its namespace; empty for a cluster-wide kind.
        name: its name.
        action: what was done to it.
        changes: each field of an existing object that changed or would: `spec.replicas: 0 -> 1`.
    """

    kind: str
    namespace: str
    name: str
    action: Action
    changes: tuple[str, ...] = ()


def load(name: str, values: Mapping[str, str], folder: Path) -> list[Object]:
    """Return the documents of a manifest with its placeholders filled in.

    Args:
        name: the file's name, such as `dexter.yaml`.
        values: placeholder -> value; may have more than the file needs.
        folder: where the manifest is.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a placeholder has no value or one that is not allowed, or the file is not a manifest.
    """
    try:
        text = (folder / name).read_text()
    except FileNotFoundError:
        raise NotFound("The manifest does not exist", name=str(folder / name), fix="Restore it") from None
    return parse(name, fill(name, text, values))


def fill(name: str, text: str, values: Mapping[str, str]) -> str:
    """Replace each `${NAME}` in a manifest's text. Raises as `load`."""
    wanted = set(_PLACEHOLDER.findall(text))
    if "${" in _PLACEHOLDER.sub("", text):
        fix = "Write each placeholder as ${UPPER_CASE}"
        raise InvalidInput("The manifest has a malformed placeholder", name=name, fix=fix)
    if missing := sorted(key for key in wanted if not values.get(key)):
        fix = "See why it was not looked up: the flow deploy fills in names, ids and the image"
        seen = f"no value for {', '.join(missing)}"
        raise InvalidInput("The manifest has unfilled placeholders", name=name, seen=seen, fix=fix)
    for key in sorted(wanted):
        if not _PLAIN.fullmatch(values[key]):
            fix = "Give it a name or an id: letters, digits and - . _ / : @"
            raise InvalidInput("The value is not allowed in a manifest", name=f"{key} of {name}", fix=fix)
    return _PLACEHOLDER.sub(lambda found: values[found.group(1)], text)


def parse(name: str, text: str) -> list[Object]:
    """Split a manifest into its documents. Raises as `load`."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        seen = f"line {mark.line + 1}" if mark else type(error).__name__
        raise InvalidInput("The manifest is not YAML", name=name, seen=seen, fix="Correct the file") from None
    for document in documents:
        if not isinstance(document, dict) or not all(document.get(key) for key in ("apiVersion", "kind", "metadata")):
            fix = "Give each document apiVersion, kind and metadata"
            raise InvalidInput("The manifest has a document that is not an object", name=name, fix=fix)
    return documents


def apply(
    cluster: Cluster, documents: Sequence[Object], field_manager: str = FIELD_MANAGER, *, dry_run: bool = False
) -> list[Applied]:
    """Apply documents in order; applying them again changes nothing.

    Fields that another manager has set are taken over: the manifests say how things must be.

    Args:
        cluster: where to apply them.
        documents: the objects as they must be.
        field_manager: who owns the fields that the documents name.
        dry_run: ask the server what would change, and change nothing.

    Raises:
        NotFound: the cluster does not know a kind, or a namespace does not exist.
        InvalidInput: the server finds a document invalid.
        AccessDenied: the caller may not apply it.
    """
    return [_apply(cluster, document, field_manager, dry_run) for document in documents]


def _apply(cluster: Cluster, document: Object, field_manager: str, dry_run: bool) -> Applied:
    path, namespace = find_path(cluster, document)
    kind, name = document["kind"], document["metadata"]["name"]
    before = cluster.find(path)
    if before is None and dry_run and namespace and cluster.find(f"/api/v1/namespaces/{namespace}") is None:
        return Applied(kind, namespace, name, "created")
    query = {"fieldManager": field_manager, "force": "true", "fieldValidation": "Strict"}
    query |= {"dryRun": "All"} if dry_run else {}
    after = cluster.request("PATCH", path, query, document, APPLY_PATCH)
    if before is None:
        return Applied(kind, namespace, name, "created")
    changes = tuple(_list_changes(_without_server_fields(before), _without_server_fields(after), ""))
    return Applied(kind, namespace, name, "configured" if changes else "unchanged", changes)


def find_path(cluster: Cluster, document: Object) -> tuple[str, str]:
    """Return the path of a document's object, by the server's discovery, and its namespace; empty if cluster-wide.

    Raises:
        NotFound: the cluster does not know the kind.
        InvalidInput: the document has no name.
    """
    version, kind, name = document["apiVersion"], document["kind"], document["metadata"].get("name", "")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = (cluster.find(root) or {}).get("resources") or []
    resource = next((item for item in resources if item["kind"] == kind and "/" not in item["name"]), None)
    if resource is None:
        raise NotFound(Code.NO_KIND_MATCH, name=f"{version} {kind}")
    if not name:
        raise InvalidInput("The document has no name", name=f"{version} {kind}", fix="Give it metadata.name")
    if not resource["namespaced"]:
        return f"{root}/{resource['name']}/{name}", ""
    namespace = document["metadata"].get("namespace", "default")
    return f"{root}/namespaces/{namespace}/{resource['name']}/{name}", namespace


def _without_server_fields(item: Object) -> Object:
    """Drop what the server writes by itself: it is not a change."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in _SERVER_FIELDS}
    return {key: value for key, value in item.items() if key != "status"} | {"metadata": metadata}


def _list_changes(before: Any, after: Any, path: str) -> Iterator[str]:
    """Name each field that differs, with both values."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _list_changes(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _list_changes(old, new, f"{path}[{index}]")
    else:
        yield f"{path}: {_shorten(before)} -> {_shorten(after)}"


def _shorten(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
