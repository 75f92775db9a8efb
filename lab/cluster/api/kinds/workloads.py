"""Deployments, ReplicaSets, StatefulSets and DaemonSets: defaults and rules.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/apis/apps/v1/defaults.go
"""

from lab.cluster.api.errors import FieldError, bad_value, not_supported, required
from lab.cluster.api.kinds.behaviour import Behaviour, fill
from lab.cluster.api.kinds.pod_rules import validate_pod_spec
from lab.cluster.api.kinds.pods import default_pod_spec
from lab.cluster.api.objects import Json, dig
from lab.cluster.api.selectors import matches_selector

_STRATEGIES = ("Recreate", "RollingUpdate")
_IMMUTABLE = "field is immutable"
_CHANGEABLE = (
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
    *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
)
_CHANGES = (
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
    "are forbidden"
)


def _default_template(spec: Json) -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def _default_deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    fill(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        fill(spec["strategy"], rollingUpdate={})
        fill(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _default_template(spec)


def _default_replica_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, replicas=1)
    _default_template(spec)


def _default_stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={})
        fill(spec["updateStrategy"]["rollingUpdate"], partition=0)
    for claim in spec.get("volumeClaimTemplates") or ():
        fill(claim, kind="PersistentVolumeClaim", apiVersion="v1", status={"phase": "Pending"})
        fill(claim.setdefault("spec", {}), volumeMode="Filesystem")
    fill(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    _default_template(spec)


def _default_daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, revisionHistoryLimit=10, updateStrategy={})
    fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        fill(spec["updateStrategy"], rollingUpdate={"maxUnavailable": 1, "maxSurge": 0})
    _default_template(spec)


def _start_replicas(obj: Json) -> None:
    obj["status"] = {"replicas": 0}


def _start_empty(obj: Json) -> None:
    obj["status"] = {}


def _start_stateful_set(obj: Json) -> None:
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


def _start_daemon_set(obj: Json) -> None:
    names = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    obj["status"] = dict.fromkeys(names, 0)


def _validate(obj: Json) -> list[FieldError]:
    spec = obj["spec"]
    findings: list[FieldError] = []
    if (spec.get("replicas") or 0) < 0:
        findings.append(bad_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    findings += _validate_selector(spec)
    findings += _validate_strategy(spec)
    findings += validate_pod_spec(spec["template"]["spec"], "spec.template.spec")
    policy = spec["template"]["spec"]["restartPolicy"]
    if policy != "Always":
        findings.append(not_supported("spec.template.spec.restartPolicy", policy, ["Always"]))
    return findings


def _validate_stateful_set(obj: Json) -> list[FieldError]:
    """As any workload; its claims count as volumes of each pod."""
    spec = obj["spec"]
    names = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or ()]
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
    pod = spec["template"]["spec"]
    volumes = [*(volume for volume in pod.get("volumes") or () if volume.get("name") not in names), *claims]
    whole = {**spec, "template": {**spec["template"], "spec": {**pod, "volumes": volumes}}}
    findings, strategy = _validate({**obj, "spec": whole}), spec["updateStrategy"]
    if strategy["type"] == "OnDelete" and strategy.get("rollingUpdate") is not None:
        text = "only allowed for updateStrategy 'RollingUpdate'"
        findings.append(bad_value("spec.updateStrategy.rollingUpdate", strategy["rollingUpdate"], text))
    return findings


def _validate_change_of_stateful_set(new: Json, old: Json) -> list[FieldError]:
    def fixed(obj: Json) -> Json:
        return {name: value for name, value in obj["spec"].items() if name not in _CHANGEABLE}

    if fixed(new) == fixed(old):
        return []
    return [FieldError("FieldValueForbidden", "spec", _CHANGES)]


def _validate_selector(spec: Json) -> list[FieldError]:
    selector = spec.get("selector")
    if selector == {}:
        return [bad_value("spec.selector", {}, "empty selector is invalid for deployment")]
    labels = dig(spec, "template", "metadata", "labels")
    findings = [] if selector else [required("spec.selector")]
    if not selector or not matches_selector(selector, labels or {}):
        text = "`selector` does not match template `labels`"
        findings.append(bad_value("spec.template.metadata.labels", labels, text))
    return findings


def _validate_strategy(spec: Json) -> list[FieldError]:
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        text = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        return [FieldError("FieldValueForbidden", "spec.strategy.rollingUpdate", text)]
    if strategy and strategy.get("type") not in _STRATEGIES:
        shown = {"Type": strategy.get("type"), "RollingUpdate": strategy.get("rollingUpdate")}
        return [not_supported("spec.strategy", shown, _STRATEGIES)]
    return []


def _validate_change(new: Json, old: Json) -> list[FieldError]:
    selector = new["spec"].get("selector")
    if selector == old["spec"].get("selector"):
        return []
    return [bad_value("spec.selector", selector, _IMMUTABLE)]


DEPLOYMENTS = Behaviour(_default_deployment, _start_empty, validate=_validate, validate_change=_validate_change)
REPLICA_SETS = Behaviour(_default_replica_set, _start_replicas, validate=_validate, validate_change=_validate_change)
STATEFUL_SETS = Behaviour(
    _default_stateful_set,
    _start_stateful_set,
    validate=_validate_stateful_set,
    validate_change=_validate_change_of_stateful_set,
)
DAEMON_SETS = Behaviour(_default_daemon_set, _start_daemon_set, validate=_validate, validate_change=_validate_change)
