"""Jobs and CronJobs: defaults, the selector that a Job is given, and rules.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/apis/batch/v1/defaults.go
"""

import re

from lab.cluster.api.errors import FieldError, bad_value, not_supported, required
from lab.cluster.api.kinds.behaviour import Behaviour, fill
from lab.cluster.api.kinds.pod_rules import validate_pod_spec
from lab.cluster.api.kinds.pods import default_pod_spec
from lab.cluster.api.objects import Json

_UID, _NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
_POLICIES = ("OnFailure", "Never")
_FIELD = re.compile(r"^(\*|\?|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*$")
_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def _default_spec(spec: Json) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    fill(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False, manualSelector=False)
    fill(spec, podReplacementPolicy="Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _default_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _default_spec(spec)
    if not obj["metadata"].get("labels") and (labels := spec["template"].get("metadata", {}).get("labels")):
        obj["metadata"]["labels"] = dict(labels)


def _default_cron_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    fill(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    job = template.setdefault("spec", {})
    default_pod_spec(job.setdefault("template", {}).setdefault("spec", {}))
    job["template"].setdefault("metadata", {})


def _start_job(obj: Json) -> None:
    """Give a Job the selector that only its own pods fit."""
    obj["status"], spec, meta = {}, obj["spec"], obj["metadata"]
    if spec["manualSelector"]:
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    own = {"job-name": meta["name"], _NAME: meta["name"], "controller-uid": meta["uid"], _UID: meta["uid"]}
    for name, value in own.items():
        labels.setdefault(name, value)
    spec.setdefault("selector", {}).setdefault("matchLabels", {}).setdefault(_UID, meta["uid"])
    if not meta.get("labels"):
        meta["labels"] = dict(labels)


def _start_cron_job(obj: Json) -> None:
    obj["status"] = {}


def _validate_template(spec: Json, path: str) -> list[FieldError]:
    findings = validate_pod_spec(spec["template"]["spec"], f"{path}.template.spec")
    policy = spec["template"]["spec"]["restartPolicy"]
    if policy not in _POLICIES:
        place, text = f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'
        findings.append(required(place, text) if policy == "Always" else not_supported(place, policy, _POLICIES))
    return findings


def _validate_job(obj: Json) -> list[FieldError]:
    return _validate_template(obj["spec"], "spec")


def _validate_cron_job(obj: Json) -> list[FieldError]:
    spec = obj["spec"]
    schedule, findings = (
        str(spec.get("schedule") or ""),
        _validate_template(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"),
    )
    if not schedule:
        findings.append(required("spec.schedule"))
    elif schedule not in _MACROS and (len(schedule.split()) != 5 or not all(map(_FIELD.match, schedule.split()))):
        findings.append(
            bad_value("spec.schedule", schedule, f"expected exactly 5 fields, found {len(schedule.split())}")
        )
    if len(obj["metadata"].get("name", "")) > 52:
        findings.append(bad_value("metadata.name", obj["metadata"]["name"], "must be no more than 52 characters"))
    return findings


def _validate_change(new: Json, old: Json) -> list[FieldError]:
    text = "field is immutable"
    return [
        bad_value(f"spec.{name}", new["spec"].get(name), text)
        for name in ("completions", "selector", "template", "completionMode")
        if new["spec"].get(name) != old["spec"].get(name)
    ]


JOBS = Behaviour(_default_job, _start_job, validate=_validate_job, validate_change=_validate_change)
CRON_JOBS = Behaviour(_default_cron_job, _start_cron_job, validate=_validate_cron_job)
