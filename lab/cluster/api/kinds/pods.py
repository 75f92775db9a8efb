"""Pods and pod templates: defaults and first status.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/apis/core/v1/defaults.go
"""

from typing import Any

from lab.cluster.api.errors import FieldError
from lab.cluster.api.kinds.behaviour import Behaviour, fill
from lab.cluster.api.kinds.pod_rules import containers_of, validate_pod_change, validate_pod_spec
from lab.cluster.api.objects import Json, dig

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
    for _, container in containers_of(spec):
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


def _default_pod(pod: Json) -> None:
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    fill(spec, enableServiceLinks=True)
    for _, container in containers_of(spec):
        _default_resources(container["resources"])


def _prepare_create(pod: Json) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
    fill(pod["spec"], priority=0, preemptionPolicy="PreemptLowerPriority")
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key") in (None, "", key) for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers ask for."""
    asked: list[tuple[Any, Any]] = []
    for _, container in containers_of(spec):
        resources = container.get("resources") or {}
        for name in ("cpu", "memory"):
            asked.append((dig(resources, "requests", name), dig(resources, "limits", name)))
    if not any(request or limit for request, limit in asked):
        return "BestEffort"
    return "Guaranteed" if all(limit and request == limit for request, limit in asked) else "Burstable"


def _validate(pod: Json) -> list[FieldError]:
    return validate_pod_spec(pod["spec"], "spec")


PODS = Behaviour(
    default=_default_pod, prepare_create=_prepare_create, validate=_validate, validate_change=validate_pod_change
)
