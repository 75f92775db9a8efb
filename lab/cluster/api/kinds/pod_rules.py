"""The rules of pods and pod templates, in the words of a real API server.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/apis/core/validation/validation.go
"""

import re
from collections.abc import Iterator

from lab.cluster.api.errors import (
    FieldError,
    bad_value,
    duplicate,
    not_allowed,
    not_found_value,
    not_supported,
    required,
)
from lab.cluster.api.kinds.names import validate_name
from lab.cluster.api.objects import Json, clone, dig

_CONTAINER_LISTS = ("initContainers", "containers")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_NO_SOURCE = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
_VARIABLE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_PORTS = "must be between 1 and 65535, inclusive"
_CHANGES = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def containers_of(spec: Json) -> Iterator[tuple[str, Json]]:
    """All containers of a PodSpec with their place, as `containers[0]`."""
    for field in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container


def validate_pod_spec(spec: Json, path: str) -> list[FieldError]:
    """The findings about a PodSpec that lies at `path`."""
    findings = _validate_volumes(spec.get("volumes") or [], f"{path}.volumes")
    volumes = {volume.get("name", "") for volume in spec.get("volumes") or ()}
    if not spec.get("containers"):
        findings.append(required(f"{path}.containers"))
    names: set[str] = set()
    for place, container in containers_of(spec):
        here, name = f"{path}.{place}", container.get("name", "")
        findings += _validate_container_name(name, here)
        if name and name in names:
            findings.append(duplicate(f"{here}.name", name))
        findings += _validate_container(container, here, volumes)
        names.add(name)
    return findings


def _validate_volumes(volumes: list[Json], path: str) -> list[FieldError]:
    findings = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        here, name = f"{path}[{index}]", volume.get("name", "")
        findings += validate_name(name, "label", f"{here}.name") if name else [required(f"{here}.name")]
        if name and name in seen:
            findings.append(duplicate(f"{here}.name", name))
        seen.add(name)
        extra = [key for key in volume if key != "name"][1:]
        findings += [not_allowed(f"{here}.{key}", "may not specify more than 1 volume type") for key in extra]
        findings += _validate_source(volume, here)
    return findings


def _validate_source(volume: Json, path: str) -> list[FieldError]:
    needed = (("csi", "driver"), ("secret", "secretName"), ("configMap", "name"))
    findings = []
    for source, field in needed:
        if volume.get(source) is not None and not volume[source].get(field):
            findings.append(required(f"{path}.{source}.{field}"))
    for source in dig(volume, "projected", "sources") or ():
        if source.get("serviceAccountToken") is not None and not source["serviceAccountToken"].get("path"):
            findings.append(required(f"{path}.projected.path"))
    return findings


def _validate_container_name(name: str, path: str) -> list[FieldError]:
    return validate_name(name, "label", f"{path}.name") if name else [required(f"{path}.name")]


def _validate_container(container: Json, path: str, volumes: set[str]) -> list[FieldError]:
    findings = [] if container.get("image") else [required(f"{path}.image")]
    for index, port in enumerate(container.get("ports") or ()):
        number, where = port.get("containerPort", 0), f"{path}.ports[{index}].containerPort"
        if not number:
            findings.append(required(where))
        elif not 0 < number < 65536:
            findings.append(bad_value(where, number, _PORTS))
    for index, variable in enumerate(container.get("env") or ()):
        findings += _validate_variable(variable, f"{path}.env[{index}]")
    findings += _validate_mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    policy = container.get("imagePullPolicy")
    if policy not in _PULL_POLICIES:
        findings.append(not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES))
    return findings


def _validate_mounts(mounts: list[Json], path: str, volumes: set[str]) -> list[FieldError]:
    findings = []
    used: set[str] = set()
    for index, mount in enumerate(mounts):
        here, name, where = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            findings.append(required(f"{here}.name"))
        elif name not in volumes:
            findings.append(not_found_value(f"{here}.name", name))
        if not where:
            findings.append(required(f"{here}.mountPath"))
        elif where in used:
            findings.append(bad_value(f"{here}.mountPath", where, "must be unique"))
        used.add(where)
    return findings


def _validate_variable(variable: Json, path: str) -> list[FieldError]:
    name, source = variable.get("name", ""), variable.get("valueFrom")
    if not name:
        return [required(f"{path}.name")]
    findings = [] if re.fullmatch(r"[ -<>-~]+", name) else [bad_value(f"{path}.name", name, _VARIABLE)]
    if source is None:
        return findings
    here = f"{path}.valueFrom"
    if not any(source.get(kind) is not None for kind in _SOURCES):
        findings.append(bad_value(here, "", _NO_SOURCE))
    elif variable.get("value"):
        findings.append(bad_value(here, "", "may not be specified when `value` is not empty"))
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if (reference := source.get(kind)) is not None:
            findings += validate_name(reference.get("name", ""), "subdomain", f"{here}.{kind}.name")
            findings += [] if reference.get("key") else [required(f"{here}.{kind}.key")]
    return findings


def validate_pod_change(new: Json, old: Json) -> list[FieldError]:
    """The findings about a changed pod: hardly anything of its spec may change."""
    if _without_mutable(new["spec"]) == _without_mutable(old["spec"]):
        return []
    return [not_allowed("spec", _CHANGES)]


def _without_mutable(spec: Json) -> Json:
    rest: Json = clone(spec)
    for field in ("activeDeadlineSeconds", "tolerations"):
        rest.pop(field, None)
    for _, container in containers_of(rest):
        container.pop("image", None)
    return rest
