"""The rows of nodes, events, bindings and storage kinds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lab.cluster.api.objects import Json, dig, metadata
from lab.cluster.api.tables.ages import age
from lab.cluster.api.tables.columns import NAME, Column, Layout, layout

_NONE = "<none>"
_ROLE = "node-role.kubernetes.io/"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _age(obj: Json, now: datetime) -> str:
    return age(metadata(obj).get("creationTimestamp"), now)


def _node(obj: Json, now: datetime) -> Sequence[Any]:
    ready = next((c for c in dig(obj, "status", "conditions") or () if c.get("type") == "Ready"), None)
    state = "Unknown" if ready is None else ("Ready" if ready.get("status") == "True" else "NotReady")
    if dig(obj, "spec", "unschedulable"):
        state += ",SchedulingDisabled"
    labels = metadata(obj).get("labels") or {}
    roles = sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE) and key != _ROLE)
    info = dig(obj, "status", "nodeInfo") or {}
    seen = [info.get(name) or "<unknown>" for name in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    addresses = [_address(obj, kind) for kind in ("InternalIP", "ExternalIP")]
    version = info.get("kubeletVersion", "")
    return metadata(obj)["name"], state, ",".join(roles) or _NONE, _age(obj, now), version, *addresses, *seen


def _address(node: Json, kind: str) -> str:
    addresses = dig(node, "status", "addresses") or []
    return next((address.get("address", _NONE) for address in addresses if address.get("type") == kind), _NONE)


def _event(obj: Json, now: datetime) -> Sequence[Any]:
    involved = obj.get("involvedObject") or {}
    first = age(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last = age(obj["lastTimestamp"], now) if obj.get("lastTimestamp") else first
    count = obj.get("count") or 1
    if series := obj.get("series"):
        last, count = age(series.get("lastObservedTime"), now), series.get("count", 0)
    target = "/".join(filter(None, (involved.get("kind", "").lower(), involved.get("name", ""))))
    component = dig(obj, "source", "component") or obj.get("reportingComponent", "")
    host = dig(obj, "source", "host") or obj.get("reportingInstance", "")
    return (
        last,
        obj.get("type", ""),
        obj.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        ", ".join(filter(None, (component, host))),
        str(obj.get("message", "")).strip(),
        first,
        count,
        metadata(obj)["name"],
    )


def _csi_driver(obj: Json, now: datetime) -> Sequence[Any]:
    spec = obj.get("spec") or {}
    requests = spec.get("tokenRequests")
    return (
        metadata(obj)["name"],
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        "<unset>" if requests is None else ",".join(request.get("audience", "") for request in requests),
        spec.get("requiresRepublish", False),
        ",".join(spec.get("volumeLifecycleModes") or ()) or _NONE,
        _age(obj, now),
    )


def _csi_node(obj: Json, now: datetime) -> Sequence[Any]:
    return metadata(obj)["name"], len(dig(obj, "spec", "drivers") or ()), _age(obj, now)


def _storage_class(obj: Json, now: datetime) -> Sequence[Any]:
    name = metadata(obj)["name"]
    if (metadata(obj).get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true":
        name += " (default)"
    values = obj.get("provisioner"), obj.get("reclaimPolicy", "Delete"), obj.get("volumeBindingMode", "Immediate")
    return name, *values, obj.get("allowVolumeExpansion", False), _age(obj, now)


def _phase(obj: Json) -> str:
    return "Terminating" if metadata(obj).get("deletionTimestamp") else str(dig(obj, "status", "phase") or "")


def _modes(modes: Sequence[str] | None) -> str:
    return ",".join(short for name, short in _MODES.items() if name in (modes or ()))


def _claim(obj: Json, now: datetime) -> Sequence[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    volume = spec.get("volumeName", "")
    size = dig(status, "capacity", "storage") or "" if volume else ""
    modes = _modes(status.get("accessModes")) if volume else ""
    attributes = spec.get("volumeAttributesClassName") or "<unset>"
    shown = volume, size, modes, spec.get("storageClassName") or "", attributes, _age(obj, now)
    return metadata(obj)["name"], _phase(obj), *shown, spec.get("volumeMode", "<unset>")


def _volume(obj: Json, now: datetime) -> Sequence[Any]:
    spec = obj.get("spec") or {}
    claim = spec.get("claimRef")
    owner = f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""
    policy = spec.get("persistentVolumeReclaimPolicy", "")
    first = dig(spec, "capacity", "storage") or "0", _modes(spec.get("accessModes")), policy, _phase(obj), owner
    last = spec.get("storageClassName", ""), spec.get("volumeAttributesClassName") or "<unset>"
    reason = dig(obj, "status", "reason") or ""
    return metadata(obj)["name"], *first, *last, reason, _age(obj, now), spec.get("volumeMode", "<unset>")


def _binding(obj: Json, now: datetime) -> Sequence[Any]:
    subjects = obj.get("subjects") or []
    users = [subject.get("name", "") for subject in subjects if subject.get("kind") == "User"]
    groups = [subject.get("name", "") for subject in subjects if subject.get("kind") == "Group"]
    accounts = [f"{s.get('namespace', '')}/{s.get('name', '')}" for s in subjects if s.get("kind") == "ServiceAccount"]
    role = f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"
    return metadata(obj)["name"], role, _age(obj, now), ", ".join(users), ", ".join(groups), ", ".join(accounts)


_CSI_COLUMNS = ("AttachRequired", "PodInfoOnMount", "StorageCapacity", "TokenRequests", "RequiresRepublish", "Modes")
_BOOLEANS = dict.fromkeys(("AttachRequired", "PodInfoOnMount", "StorageCapacity", "RequiresRepublish"), "boolean")
_CLAIM_COLUMNS = ("Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age")
_VOLUME_COLUMNS = ("Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass")

NODES = layout(
    _node,
    *("Status", "Roles", "Age", "Version"),
    wide=("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
)
EVENTS = Layout(
    (
        *(Column(name) for name in ("Last Seen", "Type", "Reason", "Object")),
        *(Column(name, priority=1) for name in ("Subobject", "Source")),
        Column("Message"),
        *(Column(name, priority=1) for name in ("First Seen", "Count")),
        Column(NAME.name, format=NAME.format, priority=1),
    ),
    _event,
)
CSI_DRIVERS = layout(_csi_driver, *_CSI_COLUMNS, "Age", types=_BOOLEANS)
CSI_NODES = layout(_csi_node, "Drivers", "Age", types={"Drivers": "integer"})
STORAGE_CLASSES = layout(
    _storage_class, "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"
)
CLAIMS = layout(_claim, "Status", *_CLAIM_COLUMNS, wide=("VolumeMode",))
VOLUMES = layout(_volume, *_VOLUME_COLUMNS, "VolumeAttributesClass", "Reason", "Age", wide=("VolumeMode",))
BINDINGS = layout(_binding, "Role", "Age", wide=("Users", "Groups", "ServiceAccounts"))
