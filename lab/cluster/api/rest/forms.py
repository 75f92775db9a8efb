"""The forms that an object is sent in: itself, as a row of a Table, or its metadata alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, utc_now
from lab.cluster.api.store import Stored
from lab.cluster.api.tables.render import TableOptions, table_of

_METADATA_FORMS = ("PartialObjectMetadata", "PartialObjectMetadataList")


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Form:
    """A form that a client asked for in its Accept header.

    Args:
        name: "object", "table" or "metadata".
        table: how a table is asked for; its version is that of the metadata form, too.
    """

    name: str = "object"
    table: TableOptions = field(default_factory=TableOptions)

    @classmethod
    def of(cls, accept: str, include: str) -> "Form":
        """Read an Accept header; the first form that is known counts."""
        for part in accept.split(","):
            media, *rest = (word.strip() for word in part.split(";"))
            parameters = dict(word.partition("=")[::2] for word in rest)
            wanted = parameters.get("as")
            if media != "application/json" or (wanted is None and parameters):
                continue
            options = TableOptions(parameters.get("v", "v1"), include or "Metadata")
            if wanted == "Table":
                return cls("table", options)
            if wanted in _METADATA_FORMS:
                return cls("metadata", options)
            return cls()
        return cls()

    def one(self, stored: Stored) -> bytes:
        """An object in this form."""
        if self.name == "table":
            meta = {"resourceVersion": stored.obj["metadata"].get("resourceVersion", "")}
            return encode(table_of(stored.kind, [stored.obj], meta, self.table, utc_now()))
        if self.name == "metadata":
            return encode(self._metadata(stored))
        return stored.encoded

    def event(self, stored: Stored, with_columns: bool) -> bytes:
        """The object of a watch event; a table says its columns only the first time."""
        if self.name == "table":
            options = replace(self.table, with_columns=with_columns)
            meta = {"resourceVersion": stored.obj["metadata"].get("resourceVersion", "")}
            return encode(table_of(stored.kind, [stored.obj], meta, options, utc_now()))
        return self.one(stored)

    def many(self, kind: Kind, items: Sequence[Stored], meta: Json) -> bytes:
        """A list in this form."""
        if self.name == "table":
            return encode(table_of(kind, [item.obj for item in items], meta, self.table, utc_now()))
        if self.name == "metadata":
            version = f"meta.k8s.io/{self.table.version}"
            head = {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": meta}
            return encode(head | {"items": [self._metadata(item) for item in items]})
        if kind.custom:
            meta = {"continue": ""} | meta
        head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta}
        return encode(head)[:-1] + b',"items":[' + b",".join(item.encoded_in_list for item in items) + b"]}"

    def _metadata(self, stored: Stored) -> Json:
        head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self.table.version}"}
        return head | {"metadata": stored.obj["metadata"]}
