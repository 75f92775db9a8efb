"""The rows of Deployments, ReplicaSets, StatefulSets, DaemonSets and their revisions, of Jobs and CronJobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lab.cluster.api.objects import Json, dig, metadata, parse_time
from lab.cluster.api.tables.ages import age, human_duration
from lab.cluster.api.tables.columns import layout

_WIDE = ("Containers", "Images", "Selector")


def format_labels(labels: Json | None) -> str:
    """A map of labels, `<none>` without any."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def format_selector(selector: Json | None) -> str:
    """A label selector as kubectl writes it."""
    parts = [f"{key}={value}" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for rule in (selector or {}).get("matchExpressions") or ():
        operator = rule["operator"]
        if operator in ("In", "NotIn"):
            parts.append(f"{rule['key']} {operator.lower()} ({','.join(sorted(rule.get('values') or ()))})")
        else:
            parts.append(rule["key"] if operator == "Exists" else f"!{rule['key']}")
    return ",".join(parts) or "<none>"


def _count(obj: Json, section: str, name: str) -> int:
    return int(dig(obj, section, name) or 0)


def _age(obj: Json, now: datetime) -> str:
    return age(metadata(obj).get("creationTimestamp"), now)


def _containers(obj: Json) -> tuple[str, str]:
    containers = dig(obj, "spec", "template", "spec", "containers") or []
    return ",".join(c.get("name", "") for c in containers), ",".join(c.get("image", "") for c in containers)


def _deployment(obj: Json, now: datetime) -> Sequence[Any]:
    ready = f"{_count(obj, 'status', 'readyReplicas')}/{_count(obj, 'spec', 'replicas')}"
    updated, available = _count(obj, "status", "updatedReplicas"), _count(obj, "status", "availableReplicas")
    selector = format_selector(dig(obj, "spec", "selector"))
    return metadata(obj)["name"], ready, updated, available, _age(obj, now), *_containers(obj), selector


def _replica_set(obj: Json, now: datetime) -> Sequence[Any]:
    counts = _count(obj, "spec", "replicas"), _count(obj, "status", "replicas"), _count(obj, "status", "readyReplicas")
    selector = format_selector(dig(obj, "spec", "selector"))
    return metadata(obj)["name"], *counts, _age(obj, now), *_containers(obj), selector


def _stateful_set(obj: Json, now: datetime) -> Sequence[Any]:
    ready = f"{_count(obj, 'status', 'readyReplicas')}/{_count(obj, 'spec', 'replicas')}"
    return metadata(obj)["name"], ready, _age(obj, now), *_containers(obj)


def _daemon_set(obj: Json, now: datetime) -> Sequence[Any]:
    names = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    counts = [_count(obj, "status", name) for name in (*names, "numberAvailable")]
    nodes = format_labels(dig(obj, "spec", "template", "spec", "nodeSelector"))
    selector = format_selector(dig(obj, "spec", "selector"))
    return metadata(obj)["name"], *counts, nodes, _age(obj, now), *_containers(obj), selector


def _revision(obj: Json, now: datetime) -> Sequence[Any]:
    controller = "<none>"
    for owner in metadata(obj).get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            controller = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return metadata(obj)["name"], controller, obj.get("revision", 0), _age(obj, now)


def _job(obj: Json, now: datetime) -> Sequence[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    parallel, wanted = spec.get("parallelism") or 0, spec.get("completions")
    of = str(wanted) if wanted is not None else f"1 of {parallel}" if parallel > 1 else "1"
    duration = ""
    if start := status.get("startTime"):
        end = parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration((end - parse_time(start)).total_seconds())
    done, selector = f"{status.get('succeeded', 0)}/{of}", format_selector(spec.get("selector"))
    return metadata(obj)["name"], _job_status(obj), done, duration, _age(obj, now), *_containers(obj), selector


def _job_status(obj: Json) -> str:
    found = {entry["type"] for entry in dig(obj, "status", "conditions") or () if entry["status"] == "True"}
    if ended := [kind for kind in ("Complete", "Failed") if kind in found]:
        return ended[0]
    if metadata(obj).get("deletionTimestamp"):
        return "Terminating"
    return next((kind for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if kind in found), "Running")


def _cron_job(obj: Json, now: datetime) -> Sequence[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    last = age(status["lastScheduleTime"], now) if status.get("lastScheduleTime") else "<none>"
    times = spec.get("schedule", ""), spec.get("timeZone") or "<none>", str(bool(spec.get("suspend")))
    job = {"spec": spec["jobTemplate"]["spec"]}
    selector = format_selector(job["spec"].get("selector"))
    counts = len(status.get("active") or ()), last, _age(obj, now)
    return metadata(obj)["name"], *times, *counts, *_containers(job), selector


def _integers(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "integer")


_COUNTS = ("Desired", "Current", "Ready", "Up-to-date", "Available")

DEPLOYMENTS = layout(_deployment, "Ready", "Up-to-date", "Available", "Age", wide=_WIDE)
REPLICA_SETS = layout(
    _replica_set, "Desired", "Current", "Ready", "Age", wide=_WIDE, types=_integers("Desired", "Current", "Ready")
)
STATEFUL_SETS = layout(_stateful_set, "Ready", "Age", wide=_WIDE[:2])
DAEMON_SETS = layout(_daemon_set, *_COUNTS, "Node Selector", "Age", wide=_WIDE, types=_integers(*_COUNTS))
CONTROLLER_REVISIONS = layout(_revision, "Controller", "Revision", "Age")
JOBS = layout(_job, "Status", "Completions", "Duration", "Age", wide=_WIDE)
CRON_JOBS = layout(
    _cron_job,
    *("Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"),
    wide=_WIDE,
    types={"Suspend": "boolean", **_integers("Active")},
)
