"""Which kind has which columns."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lab.cluster.api.kinds.kind import CustomColumn, Kind
from lab.cluster.api.objects import Json, dig, metadata
from lab.cluster.api.tables import cluster, network, pods, workloads
from lab.cluster.api.tables.ages import age
from lab.cluster.api.tables.columns import NAME, Column, Layout, layout
from lab.cluster.api.tables.paths import find_values, print_values

_RBAC = "rbac.authorization.k8s.io"


def _born(obj: Json, now: datetime) -> str:
    return age(metadata(obj).get("creationTimestamp"), now)


def _secret(obj: Json, now: datetime) -> Sequence[Any]:
    return metadata(obj)["name"], obj.get("type", ""), len(obj.get("data") or {}), _born(obj, now)


def _config_map(obj: Json, now: datetime) -> Sequence[Any]:
    size = len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
    return metadata(obj)["name"], size, _born(obj, now)


def _account(obj: Json, now: datetime) -> Sequence[Any]:
    return metadata(obj)["name"], len(obj.get("secrets") or ()), _born(obj, now)


def _namespace(obj: Json, now: datetime) -> Sequence[Any]:
    return metadata(obj)["name"], dig(obj, "status", "phase") or "", _born(obj, now)


def _lease(obj: Json, now: datetime) -> Sequence[Any]:
    return metadata(obj)["name"], dig(obj, "spec", "holderIdentity") or "", _born(obj, now)


def _plain(obj: Json, _: datetime) -> Sequence[Any]:
    return metadata(obj)["name"], metadata(obj).get("creationTimestamp")


_CREATED = Layout((NAME, Column("Created At", "date")), _plain)
_LAYOUTS: Mapping[tuple[str, str], Layout] = {
    ("", "configmaps"): layout(_config_map, "Data", "Age"),
    ("", "endpoints"): network.ENDPOINTS,
    ("", "events"): cluster.EVENTS,
    ("", "namespaces"): layout(_namespace, "Status", "Age"),
    ("", "nodes"): cluster.NODES,
    ("", "persistentvolumeclaims"): cluster.CLAIMS,
    ("", "persistentvolumes"): cluster.VOLUMES,
    ("", "pods"): pods.PODS,
    ("", "secrets"): layout(_secret, "Type", "Data", "Age"),
    ("", "serviceaccounts"): layout(_account, "Secrets", "Age"),
    ("", "services"): network.SERVICES,
    ("apps", "controllerrevisions"): workloads.CONTROLLER_REVISIONS,
    ("apps", "daemonsets"): workloads.DAEMON_SETS,
    ("apps", "deployments"): workloads.DEPLOYMENTS,
    ("apps", "replicasets"): workloads.REPLICA_SETS,
    ("apps", "statefulsets"): workloads.STATEFUL_SETS,
    ("batch", "cronjobs"): workloads.CRON_JOBS,
    ("batch", "jobs"): workloads.JOBS,
    ("coordination.k8s.io", "leases"): layout(_lease, "Holder", "Age"),
    ("discovery.k8s.io", "endpointslices"): network.ENDPOINT_SLICES,
    ("storage.k8s.io", "csidrivers"): cluster.CSI_DRIVERS,
    ("storage.k8s.io", "csinodes"): cluster.CSI_NODES,
    ("storage.k8s.io", "storageclasses"): cluster.STORAGE_CLASSES,
    (_RBAC, "clusterrolebindings"): cluster.BINDINGS,
    (_RBAC, "rolebindings"): cluster.BINDINGS,
}
_CUSTOM_AGE = CustomColumn("Age", "date", ".metadata.creationTimestamp")


def layout_of(kind: Kind) -> Layout:
    """The layout of a kind's Table; custom kinds say theirs, or have a name and an age."""
    return _custom(kind) if kind.custom else _LAYOUTS.get(kind.storage_key, _CREATED)


def _custom(kind: Kind) -> Layout:
    columns = kind.columns or (_CUSTOM_AGE,)
    shown = [Column(column.name, column.type, column.format, column.priority, column.description) for column in columns]

    def cells(obj: Json, now: datetime) -> Sequence[Any]:
        return metadata(obj)["name"], *(_custom_cell(column, obj, now) for column in columns)

    return Layout((NAME, *shown), cells)


def _custom_cell(column: CustomColumn, obj: Json, now: datetime) -> Any:
    values = find_values(column.json_path, obj)
    if not values:
        return None
    value = values[0]
    if column.type == "string":
        return print_values([value])
    if column.type == "date":
        return age(value, now) if isinstance(value, str) else None
    expected: Any = {"integer": int, "number": (int, float), "boolean": bool}.get(column.type, object)
    if not isinstance(value, expected) or (isinstance(value, bool) and column.type != "boolean"):
        return None
    return value
