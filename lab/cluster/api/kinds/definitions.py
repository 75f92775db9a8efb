"""CustomResourceDefinitions themselves: defaults and rules."""

from lab.cluster.api.errors import FieldError, bad_value, required
from lab.cluster.api.kinds.behaviour import Behaviour, fill
from lab.cluster.api.objects import Json, clone, name_of, timestamp, utc_now

_NAMING = 'must be spec.names.plural+"."+spec.group'
_ONE_STORED = "must have exactly one version marked as storage version"
_NEED_STORED = "must have at least one stored version"
_NEED_SCHEMA = "schemas are required"


def _default(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        fill(names, singular=names["kind"].lower(), listKind=f"{names['kind']}List")
    fill(spec, conversion={"strategy": "None"})
    for version in spec.get("versions") or ():
        for column in version.get("additionalPrinterColumns") or ():
            if column.get("priority") == 0:
                del column["priority"]


def _start(obj: Json) -> None:
    at, names = timestamp(utc_now()), clone(obj["spec"]["names"])
    conditions = [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", at),
        _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", at),
    ]
    stored = [version["name"] for version in obj["spec"].get("versions") or () if version.get("storage")]
    obj["status"] = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}


def _condition(type_: str, reason: str, message: str, at: str) -> Json:
    return {"type": type_, "status": "True", "lastTransitionTime": at, "reason": reason, "message": message}


def _validate(obj: Json) -> list[FieldError]:
    spec = obj["spec"]
    names, versions = spec["names"], spec.get("versions") or []
    findings = [required(f"spec.{field}") for field in ("group", "scope") if not spec.get(field)]
    findings += [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if name_of(obj) != f"{names.get('plural', '')}.{spec.get('group', '')}":
        findings.append(bad_value("metadata.name", name_of(obj), _NAMING))
    if len([version for version in versions if version.get("storage")]) != 1:
        findings.append(bad_value("spec.versions", [version.get("name") for version in versions], _ONE_STORED))
        findings.append(bad_value("status.storedVersions", None, _NEED_STORED))
    for index, version in enumerate(versions):
        findings += _validate_version(version, f"spec.versions[{index}]")
    return findings


def _validate_version(version: Json, path: str) -> list[FieldError]:
    findings = [] if version.get("name") else [required(f"{path}.name")]
    if not (version.get("schema") or {}).get("openAPIV3Schema"):
        findings.append(required(f"{path}.schema.openAPIV3Schema", _NEED_SCHEMA))
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        here = f"{path}.additionalPrinterColumns[{index}]"
        findings += [required(f"{here}.{field}") for field in ("name", "type", "jsonPath") if not column.get(field)]
    return findings


DEFINITIONS = Behaviour(_default, _start, validate=_validate)
