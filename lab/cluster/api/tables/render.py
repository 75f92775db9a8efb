"""Tables from objects: columns and rows.

https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json
from lab.cluster.api.tables.layouts import layout_of

_FINISHED = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


@dataclass(frozen=True)
class TableOptions:
    """How a Table was asked for.

    Args:
        version: the version of meta.k8s.io.
        include: what rows carry along: "None", "Metadata" or "Object".
        with_columns: whether the columns are told; later events of a watch leave them out.
    """

    version: str = "v1"
    include: str = "Metadata"
    with_columns: bool = True


def table_of(kind: Kind, objects: Sequence[Json], meta: Json, options: TableOptions, now: datetime) -> Json:
    """A Table of objects of one kind."""
    layout = layout_of(kind)
    columns = [column.definition() for column in layout.columns] if options.with_columns else None
    rows = [_row(kind, obj, list(layout.cells(obj, now)), options) for obj in objects]
    head: Json = {"kind": "Table", "apiVersion": f"meta.k8s.io/{options.version}", "metadata": meta}
    return head | {"columnDefinitions": columns, "rows": rows}


def _row(kind: Kind, obj: Json, cells: list[object], options: TableOptions) -> Json:
    row: Json = {"cells": cells}
    phase = (obj.get("status") or {}).get("phase") if kind.storage_key == ("", "pods") else None
    if phase in _FINISHED:
        row["conditions"] = [{"type": "Completed", "status": "True", "reason": phase, "message": _FINISHED[phase]}]
    if options.include == "Object":
        row["object"] = obj
    elif options.include != "None":
        head = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{options.version}"}
        row["object"] = head | {"metadata": obj["metadata"]}
    return row
