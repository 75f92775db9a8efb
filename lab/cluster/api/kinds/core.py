"""Small core kinds: namespaces, secrets, config maps, nodes, events, CSI drivers and the like."""

import base64
import binascii

from lab.cluster.api.errors import FieldError, bad_value, not_allowed, required
from lab.cluster.api.kinds.behaviour import Behaviour, fill
from lab.cluster.api.objects import Json, name_of

_MIB = 1 << 20


def _start_namespace(obj: Json) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = name_of(obj)


def _keep_namespace(new: Json, old: Json) -> None:
    new["spec"] = old.get("spec", {})
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name_of(old)


def _default_secret(obj: Json) -> None:
    fill(obj, type="Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _validate_secret(obj: Json) -> list[FieldError]:
    findings = []
    size = 0
    for key, value in (obj.get("data") or {}).items():
        try:
            size += len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            findings.append(bad_value(f"data[{key}]", "", "illegal base64 data"))
    if size > _MIB:
        findings.append(FieldError("FieldValueTooLong", "data", "Too long: may not be more than 1048576 bytes"))
    return findings


def _validate_immutable(new: Json, old: Json) -> list[FieldError]:
    findings = []
    if old.get("immutable"):
        text = "field is immutable when `immutable` is set"
        findings += [not_allowed(field, text) for field in ("data", "immutable") if new.get(field) != old.get(field)]
    return findings


def _validate_secret_change(new: Json, old: Json) -> list[FieldError]:
    findings = _validate_immutable(new, old)
    if new.get("type") != old.get("type"):
        findings.append(bad_value("type", new.get("type"), "field is immutable"))
    return findings


def _default_csi_driver(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(
        spec, attachRequired=True, podInfoOnMount=False, storageCapacity=False, fsGroupPolicy="ReadWriteOnceWithFSType"
    )
    fill(spec, volumeLifecycleModes=["Persistent"], requiresRepublish=False, seLinuxMount=False)


def _default_node(obj: Json) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    if status.get("capacity"):
        fill(status, allocatable=dict(status["capacity"]))


def _default_storage_class(obj: Json) -> None:
    fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _default_claim(obj: Json) -> None:
    fill(obj.setdefault("spec", {}), volumeMode="Filesystem")


def _start_claim(obj: Json) -> None:
    obj["status"] = {"phase": "Pending"}


def _validate_claim(obj: Json) -> list[FieldError]:
    spec = obj["spec"]
    findings = [] if spec.get("accessModes") else [required("spec.accessModes", "at least 1 access mode is required")]
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        findings.append(required("spec.resources[storage]"))
    return findings


def _start_volume(obj: Json) -> None:
    obj["status"] = {"phase": "Pending"}


def _default_role_binding(obj: Json) -> None:
    fill(obj.setdefault("roleRef", {}), apiGroup="rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            fill(subject, apiGroup="rbac.authorization.k8s.io")


def _validate_role_binding(obj: Json) -> list[FieldError]:
    findings = [required(f"roleRef.{field}") for field in ("kind", "name") if not obj["roleRef"].get(field)]
    for index, subject in enumerate(obj.get("subjects") or ()):
        findings += [required(f"subjects[{index}].{field}") for field in ("kind", "name") if not subject.get(field)]
    return findings


def _validate_role_binding_change(new: Json, old: Json) -> list[FieldError]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [bad_value("roleRef", new.get("roleRef"), "cannot change roleRef")]


def _default_event(obj: Json) -> None:
    fill(obj, source={}, reportingComponent="", reportingInstance="")
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(field, None)


def _default_endpoints(obj: Json) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            fill(port, protocol="TCP")


def _default_slice(obj: Json) -> None:
    for port in obj.get("ports") or ():
        fill(port, protocol="TCP", name="")
    for point in obj.get("endpoints") or ():
        fill(point, conditions={})


def _default_lease(obj: Json) -> None:
    obj.setdefault("spec", {})


NAMESPACES = Behaviour(prepare_create=_start_namespace, prepare_update=_keep_namespace, name="label")
SECRETS = Behaviour(_default_secret, validate=_validate_secret, validate_change=_validate_secret_change)
CONFIG_MAPS = Behaviour(validate_change=_validate_immutable)
CSI_DRIVERS = Behaviour(_default_csi_driver)
NODES = Behaviour(_default_node, keeps_status=True)
STORAGE_CLASSES = Behaviour(_default_storage_class)
CLAIMS = Behaviour(_default_claim, _start_claim, validate=_validate_claim)
VOLUMES = Behaviour(prepare_create=_start_volume)
ROLES = Behaviour(name="path")
ROLE_BINDINGS = Behaviour(
    _default_role_binding,
    validate=_validate_role_binding,
    validate_change=_validate_role_binding_change,
    name="path",
)
EVENTS = Behaviour(_default_event)
ENDPOINTS = Behaviour(_default_endpoints)
ENDPOINT_SLICES = Behaviour(_default_slice)
LEASES = Behaviour(_default_lease)
