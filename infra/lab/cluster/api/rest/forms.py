"""The forms that an object is sent in: itself, as a row of a Table, or its metadata alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from infra.lab.cluster.api.objects import Json
from infra.lab.cluster.api.store import Stored
from infra.lab.cluster.api.tables.render import table_of


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Form:
    """A form that a client asked for in its Accept header.

    Args:
        name: "object", "table" or "metadata".
        version: meta.k8s.io version of the answer.
        include: what a table's rows carry along: None, Metadata or Object.
    """

    name: str = "object"
    version: str = "v1"
    include: str = "Metadata"

    @classmethod
    def of(cls, accept: str, include: str) -> "Form":
        """Read an Accept header; the first form that is known counts."""
        for part in accept.split(","):
            parameters = dict(one.strip().partition("=")[::2] for one in part.split(";")[1:])
            wanted, version = parameters.get("as"), parameters.get("v", "v1")
            if wanted == "Table":
                return cls("table", version, include or "Metadata")
            if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
                return cls("metadata", version)
        return cls()

    def one(self, stored: Stored) -> bytes:
        """An object in this form."""
        if self.name == "table":
            version = {"resourceVersion": stored.obj["metadata"].get("resourceVersion", "")}
            return encode(table_of([stored], version, self.version, self.include, True))
        if self.name == "metadata":
            return encode(_metadata_only(stored, self.version))
        return stored.encoded

    def event(self, stored: Stored, with_columns: bool) -> bytes:
        """The object of a watch event; a table says its columns only the first time."""
        if self.name == "table":
            return encode(table_of([stored], {}, self.version, self.include, with_columns))
        return self.one(stored)

    def many(self, kind_name: str, api_version: str, items: Sequence[Stored], meta: Json) -> bytes:
        """A list in this form."""
        if self.name == "table":
            return encode(table_of(items, meta, self.version, self.include, True, kind_name))
        if self.name == "metadata":
            rows = [_metadata_only(item, self.version) for item in items]
            version = f"meta.k8s.io/{self.version}"
            head = {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": meta}
            return encode(head | {"items": rows})
        head_bytes = encode({"kind": f"{kind_name}List", "apiVersion": api_version, "metadata": meta})[:-1]
        return head_bytes + b',"items":[' + b",".join(item.encoded_in_list for item in items) + b"]}"


def _metadata_only(stored: Stored, version: str) -> Json:
    head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}"}
    return head | {"metadata": stored.obj["metadata"]}
