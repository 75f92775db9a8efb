"""The OpenAPI v3 documents: what kubectl asks before it applies, and what it explains.

Only as much as kubectl reads: one path for each kind with its parameters, and the schemas.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from lab.cluster.api.kinds.kind import Kind, Registry
from lab.cluster.api.objects import Json
from lab.cluster.api.schema.types import built_in

_SCHEMAS = "#/components/schemas/"


def path_of(kind: Kind) -> str:
    """Where a kind's group and version live, as "apis/apps/v1"."""
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def index(registry: Registry) -> Json:
    """The answer at /openapi/v3."""
    paths = {}
    for path in dict.fromkeys(path_of(kind) for kind in registry.kinds.values()):
        digest = hashlib.sha256(repr([id(k) for k in _kinds(registry, path)]).encode()).hexdigest().upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def find_document(registry: Registry, path: str) -> Json | None:
    """The document of a group version, None if there is no such one."""
    kinds = _kinds(registry, path)
    if not kinds:
        return None
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for kind in kinds:
        name = kind.schema.ref or f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}"
        paths |= _paths(kind, name)
        root = dict(built_in().raw[name]) if kind.schema.ref else dict(kind.schema.raw)
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        schemas[name] = _published(root, schemas) | {"x-kubernetes-group-version-kind": [gvk]}
    info = {"title": "Kubernetes", "version": "v1.34.4"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _kinds(registry: Registry, path: str) -> list[Kind]:
    return [kind for kind in registry.kinds.values() if path_of(kind) == path]


def _paths(kind: Kind, name: str) -> Json:
    where = f"/{path_of(kind)}/" + ("namespaces/{namespace}/" if kind.namespaced else "") + kind.plural
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    content = {"application/json": {"schema": {"$ref": _SCHEMAS + name}}}
    answer = {"responses": {"200": {"description": "OK", "content": content}}}
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]

    def operation(action: str, **more: Any) -> Json:
        return {**answer, **more, "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk}

    item = {
        "get": operation("get"),
        "put": operation("put", parameters=parameters),
        "patch": operation("patch", parameters=parameters),
        "delete": operation("delete"),
    }
    return {
        where: {"get": operation("list"), "post": operation("post", parameters=parameters)},
        f"{where}/{{name}}": item,
    }


def _published(node: Any, schemas: dict[str, Any]) -> Any:
    """A schema with its references spelt as in a document; what it refers to is added to `schemas`."""
    if isinstance(node, list):
        return [_published(entry, schemas) for entry in node]
    if not isinstance(node, Mapping):
        return node
    target = node.get("$ref")
    if not isinstance(target, str):
        return {key: _published(value, schemas) for key, value in node.items()}
    _add(target, schemas)
    rest = {key: value for key, value in node.items() if key != "$ref"}
    reference = {"$ref": _SCHEMAS + target}
    return {**rest, "allOf": [reference]} if rest else reference


def _add(name: str, schemas: dict[str, Any]) -> None:
    if name not in schemas:
        schemas[name] = {}
        schemas[name] = _published(built_in().raw[name], schemas)
