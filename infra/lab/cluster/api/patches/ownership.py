"""Who owns which field: metadata.managedFields.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from dataclasses import dataclass
from datetime import datetime

from infra.lab.cluster.api.kinds.kind import Kind
from infra.lab.cluster.api.objects import Json


@dataclass(frozen=True)
class Manager:
    """Who writes.

    Args:
        name: as "kubectl-client-side-apply".
        operation: "Update" or "Apply".
        subresource: the part it writes, empty for the object itself.
    """

    name: str
    operation: str = "Update"
    subresource: str = ""


def track(kind: Kind, old: Json | None, new: Json, manager: Manager, now: datetime) -> None:
    """Record what a write changed."""
    new["metadata"].pop("managedFields", None)
