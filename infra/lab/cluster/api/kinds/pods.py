"""Pods and pod templates: defaults, first status, and rules.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/apis/core/v1/defaults.go
"""

from collections.abc import Iterator
from typing import Any

from infra.lab.cluster.api.errors import FieldError, bad_value, duplicate, not_allowed, required
from infra.lab.cluster.api.kinds.behaviour import Behaviour, fill
from infra.lab.cluster.api.objects import Json, clone, dig

_CONTAINER_LISTS = ("initContainers", "containers")
_DEFAULT_MODE = 0o644
_TOKEN_SECONDS = 3600


def default_pod_spec(spec: Json) -> None:
    """Fill in a PodSpec, of a pod or of a template."""
    fill(spec, restartPolicy="Always", terminationGracePeriodSeconds=30, dnsPolicy="ClusterFirst")
    fill(spec, securityContext={}, schedulerName="default-scheduler")
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for _, container in _containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)


def _default_container(container: Json) -> None:
    image = str(container.get("image", ""))
    tag = image.rsplit("/", 1)[-1]
    is_latest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
    fill(container, resources={}, imagePullPolicy="Always" if is_latest else "IfNotPresent")
    fill(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for variable in container.get("env") or ():
        if reference := dig(variable, "valueFrom", "fieldRef"):
            fill(reference, apiVersion="v1")
    _default_resources(container["resources"])


def _default_resources(resources: Json) -> None:
    """What is limited but not requested is requested up to its limit."""
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _default_probe(probe: Json) -> None:
    fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if probe.get("httpGet") is not None:
        fill(probe["httpGet"], path="/", scheme="HTTP")
    if probe.get("grpc") is not None:
        fill(probe["grpc"], service="")


def _default_volume(volume: Json) -> None:
    sources = [key for key in volume if key != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if volume.get(key) is not None:
            fill(volume[key], defaultMode=_DEFAULT_MODE)
    if volume.get("hostPath") is not None:
        fill(volume["hostPath"], type="")
    downward = dig(volume, "downwardAPI", "items") or []
    for source in dig(volume, "projected", "sources") or ():
        if source.get("serviceAccountToken") is not None:
            fill(source["serviceAccountToken"], expirationSeconds=_TOKEN_SECONDS)
        downward = downward + (dig(source, "downwardAPI", "items") or [])
    for item in downward:
        if item.get("fieldRef") is not None:
            fill(item["fieldRef"], apiVersion="v1")


def _containers(spec: Json) -> Iterator[tuple[str, Json]]:
    for field in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"{field}[{index}]", container


def validate_pod_spec(spec: Json, path: str) -> list[FieldError]:
    """The findings about a PodSpec that lies at `path`."""
    findings: list[FieldError] = []
    if not spec.get("containers"):
        findings.append(required(f"{path}.containers"))
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or ()]
    findings += _validate_volumes(spec.get("volumes") or [], f"{path}.volumes")
    names: set[str] = set()
    for place, container in _containers(spec):
        findings += _validate_container(container, f"{path}.{place}", volumes)
        name = container.get("name", "")
        if name in names:
            findings.append(duplicate(f"{path}.{place}.name", name))
        names.add(name)
    return findings


def _validate_volumes(volumes: list[Json], path: str) -> list[FieldError]:
    findings = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        name = volume.get("name", "")
        if not name:
            findings.append(required(f"{path}[{index}].name"))
        elif name in seen:
            findings.append(duplicate(f"{path}[{index}].name", name))
        seen.add(name)
        if len([key for key in volume if key != "name"]) > 1:
            extra = [key for key in volume if key != "name"][1]
            findings.append(not_allowed(f"{path}[{index}].{extra}", "may not specify more than 1 volume type"))
        if volume.get("csi") is not None and not volume["csi"].get("driver"):
            findings.append(required(f"{path}[{index}].csi.driver"))
    return findings


def _validate_container(container: Json, path: str, volumes: list[str]) -> list[FieldError]:
    findings = [required(f"{path}.{field}") for field in ("name", "image") if not container.get(field)]
    for index, variable in enumerate(container.get("env") or ()):
        findings += _validate_variable(variable, f"{path}.env[{index}]")
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not number:
            findings.append(required(f"{path}.ports[{index}].containerPort"))
        elif not 0 < number < 65536:
            where = f"{path}.ports[{index}].containerPort"
            findings.append(bad_value(where, number, "must be between 1 and 65535, inclusive"))
    mounted: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{path}.volumeMounts[{index}]"
        if mount.get("name") not in volumes:
            findings.append(FieldError("FieldValueNotFound", f"{here}.name", f'Not found: "{mount.get("name", "")}"'))
        if not mount.get("mountPath"):
            findings.append(required(f"{here}.mountPath"))
        elif mount["mountPath"] in mounted:
            findings.append(bad_value(f"{here}.mountPath", mount["mountPath"], "must be unique"))
        mounted.add(mount.get("mountPath", ""))
    return findings


def _validate_variable(variable: Json, path: str) -> list[FieldError]:
    if not variable.get("name"):
        return [required(f"{path}.name")]
    source = variable.get("valueFrom")
    if source is None:
        return []
    if variable.get("value"):
        return [bad_value(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")]
    if not source:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        return [bad_value(f"{path}.valueFrom", "", text)]
    findings = []
    for kind in ("secretKeyRef", "configMapKeyRef"):
        if source.get(kind) is not None:
            findings += [required(f"{path}.valueFrom.{kind}.{f}") for f in ("key",) if not source[kind].get(f)]
    return findings


def _default_pod(pod: Json) -> None:
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    fill(spec, enableServiceLinks=True)


def _prepare_create(pod: Json) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
    fill(pod["spec"], priority=0, preemptionPolicy="PreemptLowerPriority")
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(one.get("key") in (None, "", key) for one in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers ask for."""
    asked: list[tuple[Any, Any]] = []
    for _, container in _containers(spec):
        resources = container.get("resources") or {}
        for name in ("cpu", "memory"):
            asked.append((dig(resources, "requests", name), dig(resources, "limits", name)))
    if not any(request or limit for request, limit in asked):
        return "BestEffort"
    return "Guaranteed" if all(limit and request == limit for request, limit in asked) else "Burstable"


def _validate(pod: Json) -> list[FieldError]:
    return validate_pod_spec(pod["spec"], "spec")


def _validate_change(new: Json, old: Json) -> list[FieldError]:
    if _without_mutable(new["spec"]) == _without_mutable(old["spec"]):
        return []
    text = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [not_allowed("spec", text)]


def _without_mutable(spec: Json) -> Json:
    rest: Json = clone(spec)
    for field in ("activeDeadlineSeconds", "tolerations"):
        rest.pop(field, None)
    for _, container in _containers(rest):
        container.pop("image", None)
    return rest


PODS = Behaviour(
    default=_default_pod, prepare_create=_prepare_create, validate=_validate, validate_change=_validate_change
)
