"""Who owns which field: metadata.managedFields.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lab.cluster.api.kinds.kind import Kind
from lab.cluster.api.objects import Json, metadata, timestamp
from lab.cluster.api.patches.fields import Comparison, Paths, compare, from_fields_v1, to_fields_v1

_FIELD = "managedFields"


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


@dataclass
class Owned:
    """What one manager owns, and since when.

    Args:
        entry: the entry as stored, kept while the set does not change.
    """

    paths: Paths
    time: str
    entry: Json | None = None


@dataclass
class Owners:
    """All managers of an object and what they own."""

    sets: dict[Manager, Owned] = field(default_factory=dict)

    @classmethod
    def of(cls, obj: Mapping[str, object]) -> "Owners":
        """The owners that an object's metadata names."""
        owners = cls()
        for entry in metadata(obj).get(_FIELD) or ():
            if entry.get("manager"):
                manager = Manager(entry["manager"], entry.get("operation", "Update"), entry.get("subresource", ""))
                paths = from_fields_v1(entry.get("fieldsV1") or {})
                owners.sets[manager] = Owned(paths, entry.get("time", ""), entry)
        return owners

    def get(self, manager: Manager) -> Paths:
        """What a manager owns; nothing for one that is not known."""
        found = self.sets.get(manager)
        return found.paths if found else set()

    def set(self, manager: Manager, paths: Paths, now: str) -> None:
        """Let a manager own exactly these."""
        if not paths:
            self.sets.pop(manager, None)
        elif paths != self.get(manager):
            self.sets[manager] = Owned(paths, now)

    def take_from_others(self, manager: Manager, paths: Paths) -> None:
        """Nobody else owns these any more."""
        for other, owned in list(self.sets.items()):
            if other != manager and owned.paths & paths:
                self.set(other, owned.paths - paths, owned.time)

    def others(self, manager: Manager) -> Paths:
        """What all but one manager own."""
        return {path for other, owned in self.sets.items() if other != manager for path in owned.paths}

    def entries(self, api_version: str) -> list[Json]:
        """metadata.managedFields."""
        rows = [_entry(manager, owned, api_version) for manager, owned in self.sets.items()]
        return sorted(rows, key=lambda row: (row["operation"] != "Apply", row.get("time", ""), row["manager"]))


def _entry(manager: Manager, owned: Owned, api_version: str) -> Json:
    if owned.entry is not None:
        return owned.entry
    row: Json = {"manager": manager.name, "operation": manager.operation, "apiVersion": api_version}
    row |= {"time": owned.time, "fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(owned.paths)}
    if manager.subresource:
        row["subresource"] = manager.subresource
    return row


def write_owners(kind: Kind, obj: Json, owners: Owners) -> None:
    """Put the owners into an object's metadata."""
    obj["metadata"].pop(_FIELD, None)
    if owners.sets:
        obj["metadata"][_FIELD] = owners.entries(kind.api_version)


def track(kind: Kind, old: Json | None, new: Json, manager: Manager, now: datetime) -> None:
    """Record what an update changed: its manager owns that now, and nobody else does.

    Args:
        old: the object before, None for a new one.
        new: the object as it is to be stored; its managedFields are written.
    """
    comparison = compare(kind.schema, old or {}, new)
    if old is None:
        drop_status = {path for path in comparison.added if path[0] == "f:status"} if kind.has_status else set()
        comparison.added -= drop_status
    owners = _base(old, new)
    _record(owners, comparison, manager, timestamp(now))
    write_owners(kind, new, owners)


def _base(old: Json | None, new: Json) -> Owners:
    """The owners to begin with: those that the client sent, if it sent any; `[{}]` resets them."""
    sent = metadata(new).get(_FIELD)
    if sent:
        return Owners.of(new)
    return Owners.of(old or {})


def _record(owners: Owners, comparison: Comparison, manager: Manager, now: str) -> None:
    if not comparison:
        return
    changed = comparison.changed
    owners.take_from_others(manager, comparison.modified | comparison.added | comparison.removed)
    owners.set(manager, (owners.get(manager) - comparison.removed) | changed, now)
