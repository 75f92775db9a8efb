"""Schemas as the server uses them: a thin reading of OpenAPI with Kubernetes' extensions.

One reading serves built-in kinds (schemas.json, taken from a real kube-apiserver 1.34 without its descriptions)
and CustomResourceDefinitions. https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

import json
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

META = "io.k8s.apimachinery.pkg.apis.meta.v1."


class Schema:
    """One schema node.

    Args:
        raw: the node.
        definitions: where references lead.
        name: name of the type that it defines, if it is one of the built-in types.
    """

    def __init__(self, raw: Mapping[str, Any], definitions: Mapping[str, "Schema"], name: str = "") -> None:
        target = raw.get("$ref")
        self._target = target.rsplit("/", 1)[-1] if isinstance(target, str) else ""
        self.ref = name or self._target
        self._site = raw
        self._raw = raw
        self._definitions = definitions

    @cached_property
    def raw(self) -> Mapping[str, Any]:
        """The node itself, references followed; what the referring place says counts more."""
        if not self._target:
            return self._raw
        return {**self._definitions[self._target].raw, **{k: v for k, v in self._site.items() if k != "$ref"}}

    @cached_property
    def properties(self) -> Mapping[str, "Schema"]:
        """The named fields."""
        if self._target and "properties" not in self._site:
            return self._definitions[self._target].properties
        return {name: Schema(raw, self._definitions) for name, raw in self.raw.get("properties", {}).items()}

    @cached_property
    def additional(self) -> "Schema | None":
        """The schema of a map's values, None when it is not a map."""
        found = self.raw.get("additionalProperties")
        return Schema(found, self._definitions) if isinstance(found, dict) else None

    @cached_property
    def items(self) -> "Schema | None":
        """The schema of a list's elements, None when it is not a list."""
        found = self.raw.get("items")
        return Schema(found, self._definitions) if isinstance(found, dict) else None

    @cached_property
    def type(self) -> str:
        """object, array, string, integer, number, boolean, or empty for anything."""
        return str(self.raw.get("type", ""))

    @cached_property
    def is_open(self) -> bool:
        """Whether fields that it does not name are kept."""
        return bool(
            self.raw.get("x-kubernetes-preserve-unknown-fields")
            or (self.type in ("", "object") and not self.properties and self.additional is None)
            or self.raw.get("additionalProperties") is True
        )

    @cached_property
    def is_atomic(self) -> bool:
        """Whether it is owned and replaced as a whole."""
        if self.type == "array":
            return bool(self.raw.get("x-kubernetes-list-type", "atomic") == "atomic")
        return bool(self.raw.get("x-kubernetes-map-type") == "atomic") or self.ref.endswith(
            ("RawExtension", "FieldsV1")
        )

    @cached_property
    def list_keys(self) -> tuple[str, ...]:
        """The fields that tell a list's elements apart; empty for sets and atomic lists."""
        return tuple(self.raw.get("x-kubernetes-list-map-keys", ()))

    @cached_property
    def is_set(self) -> bool:
        """Whether it is a list without duplicates whose elements are owned one by one."""
        return bool(self.raw.get("x-kubernetes-list-type") == "set")

    @cached_property
    def merge_key(self) -> str:
        """The field by which a strategic merge patch tells elements apart; empty when there is none."""
        return str(self.raw.get("x-kubernetes-patch-merge-key", ""))

    @cached_property
    def patch_strategies(self) -> frozenset[str]:
        """merge, replace, retainKeys: how a strategic merge patch treats it."""
        return frozenset(filter(None, str(self.raw.get("x-kubernetes-patch-strategy", "")).split(",")))

    def field(self, name: str) -> "Schema | None":
        """The schema of a field or of a map's value; None when nothing is said about it."""
        return self.properties.get(name) or self.additional


class _Definitions(dict[str, Schema]):
    """Definitions, made on first use: reading all of them would cost more than the start of the server."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        super().__init__()
        self.raw = raw

    def __missing__(self, name: str) -> Schema:
        self[name] = Schema(self.raw[name], self, name)
        return self[name]


@cache
def built_in() -> _Definitions:
    """The schemas of the built-in kinds, by their OpenAPI name."""
    return _Definitions(json.loads(Path(__file__).with_name("schemas.json").read_text()))


def of_custom(raw: Mapping[str, Any]) -> Schema:
    """The schema of a custom resource, with the metadata that every object has."""
    properties = dict(raw.get("properties", {}))
    properties["apiVersion"] = properties["kind"] = {"type": "string"}
    properties["metadata"] = {"$ref": META + "ObjectMeta"}
    return Schema({**raw, "type": "object", "properties": properties}, built_in())


ANYTHING = Schema({"x-kubernetes-preserve-unknown-fields": True}, {})
