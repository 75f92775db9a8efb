"""Tables from objects: columns and rows."""

from collections.abc import Sequence

from infra.lab.cluster.api.objects import Json
from infra.lab.cluster.api.store import Stored


def table_of(
    items: Sequence[Stored], meta: Json, version: str, include: str, with_columns: bool, kind_name: str = ""
) -> Json:
    """A Table of objects of one kind."""
    columns = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    rows = [
        {
            "cells": [i.obj["metadata"]["name"]],
            "object": {
                "kind": "PartialObjectMetadata",
                "apiVersion": f"meta.k8s.io/{version}",
                "metadata": i.obj["metadata"],
            },
        }
        for i in items
    ]
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": meta,
        "columnDefinitions": columns,
        "rows": rows,
    }
