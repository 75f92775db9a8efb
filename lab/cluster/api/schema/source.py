"""Where schemas.json and numbers.json come from: a real API server's OpenAPI, and the Go types of its modules.

`python -m lab.cluster.api.schema.source openapi URL_FILE...` reads documents saved from /openapi/v3/...;
`python -m lab.cluster.api.schema.source numbers MODULES` reads k8s.io/api and k8s.io/apimachinery below a
folder of Go modules. Both are run by hand, for a new version of Kubernetes.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
KINDS = frozenset(
    (
        *("Pod", "Secret", "ConfigMap", "Namespace", "Service", "Endpoints", "Node", "ServiceAccount", "Binding"),
        *("PersistentVolumeClaim", "PersistentVolume", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"),
        *("Job", "CronJob", "ControllerRevision", "EndpointSlice", "CSIDriver", "CSINode", "StorageClass", "Lease"),
        *("Eviction", "Scale", "HorizontalPodAutoscaler"),
        *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "SelfSubjectAccessReview", "SubjectAccessReview"),
        *("LocalSubjectAccessReview", "SelfSubjectRulesReview", "SelfSubjectReview", "TokenReview", "TokenRequest"),
        *("CustomResourceDefinition", "Event", "Status", "DeleteOptions"),
    )
)
_DROPPED = ("description", "x-kubernetes-unions", "x-kubernetes-group-version-kind")
_ZERO: Sequence[Any] = ({}, "", 0, False)
_STRUCT = re.compile(r"^type (\w+) struct \{$(.*?)^\}$", re.M | re.S)
_FIELD = re.compile(r'^\s*(?:(\w+)\s+)?(\*?)([\w.\[\]*]+)\s+`json:"([^"]*)"[^`]*protobuf:"\w+,(\d+)', re.M)


def compact(node: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without what the server does not use: descriptions and empty defaults."""
    parts = node.get("allOf")
    if isinstance(parts, list) and len(parts) == 1:
        node = {**{key: value for key, value in node.items() if key != "allOf"}, **parts[0]}
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key in _DROPPED or (key == "default" and value in _ZERO):
            continue
        if key == "properties":
            value = {name: compact(field) for name, field in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            value = compact(value)
        elif key == "$ref" and isinstance(value, str):
            value = value.rsplit("/", 1)[1]
        result[key] = value
    return result


def reachable(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas that the kinds are made of."""
    roots = [name for name in schemas if name.rsplit(".", 1)[1] in KINDS and ".events.v1" not in name]
    found: dict[str, Any] = {}
    while roots:
        name = roots.pop()
        if name not in found:
            found[name] = schemas[name]
            roots += _references(schemas[name])
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def numbers_of(source: str, package: str) -> dict[str, str]:
    """The protobuf numbers of the fields in a types.go, by type.

    A field is `name=number`, with a star for pointers: only there zero is a value. A type that is part of another
    one in JSON, but a message of its own in protobuf, is `+Type=number`.
    """
    found = {}
    for name, body in _STRUCT.findall(source):
        fields = []
        for _, star, kind, tag, number in _FIELD.findall(body):
            label = tag.partition(",")[0] or f"+{package}.{kind}"
            fields.append(f"{label}={number}{star}")
        found[f"{package}.{name}"] = " ".join(fields)
    return found


def _go_packages(modules: Path) -> Iterator[tuple[str, str]]:
    for types in sorted(modules.glob("k8s.io/api@*/*/v1/types.go")):
        yield types.read_text(), f"io.k8s.api.{types.parent.parent.name}.v1"
    for types in sorted(modules.glob("k8s.io/apimachinery@*/pkg/apis/meta/v1/types.go")):
        yield types.read_text(), "io.k8s.apimachinery.pkg.apis.meta.v1"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    lines = [f"{json.dumps(key)}: {_line(content[key])}" for key in sorted(content)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def main(arguments: Sequence[str]) -> None:
    """Write one of the two files."""
    what, *paths = arguments
    if what == "openapi":
        documents = [json.loads(Path(path).read_text()) for path in paths]
        schemas = {name: compact(s) for document in documents for name, s in document["components"]["schemas"].items()}
        _write(FOLDER / "schemas.json", reachable(schemas))
        return
    numbers: dict[str, str] = {}
    for source, package in _go_packages(Path(paths[0])):
        numbers |= numbers_of(source, package)
    known = json.loads((FOLDER / "schemas.json").read_text())
    used = {name for name in numbers if name in known}
    used |= {part[1:].partition("=")[0] for name in used for part in numbers[name].split() if part.startswith("+")}
    _write(FOLDER / "numbers.json", {name: numbers[name] for name in used if numbers.get(name)})


if __name__ == "__main__":
    main(sys.argv[1:])
