"""What all controllers share: the caches, and small questions about objects."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.cluster import client as api
from lab.cluster.client import Client, Object, Resource
from lab.cluster.events import Recorder
from lab.cluster.informer import Informer

CACHED = (
    api.PODS,
    api.NODES,
    api.NAMESPACES,
    api.SERVICES,
    api.ENDPOINTS,
    api.ENDPOINT_SLICES,
    api.SERVICE_ACCOUNTS,
    api.CONFIG_MAPS,
    api.SECRETS,
    api.CLAIMS,
    api.DEPLOYMENTS,
    api.REPLICA_SETS,
    api.STATEFUL_SETS,
    api.DAEMON_SETS,
    api.REVISIONS,
    api.JOBS,
    api.CRON_JOBS,
)


@dataclass
class Context:
    """The API server's client, a cache of every built-in collection that controllers look at, and the events."""

    client: Client
    recorders: dict[str, Recorder] = field(default_factory=dict)
    informers: dict[Resource, Informer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.informers = {resource: Informer(self.client, resource) for resource in CACHED}

    def cache(self, resource: Resource) -> Informer:
        """The cache of a collection."""
        return self.informers[resource]

    def recorder(self, component: str) -> Recorder:
        """The event writer of a component."""
        if component not in self.recorders:
            self.recorders[component] = Recorder(self.client, component)
        return self.recorders[component]


def matches(selector: Object | None, labels: dict[str, str] | None) -> bool:
    """Whether labels satisfy a label selector; an empty selector matches everything, none matches nothing."""
    if selector is None:
        return False
    labels = labels or {}
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_satisfies(rule, labels) for rule in selector.get("matchExpressions") or [])


def _satisfies(rule: Object, labels: dict[str, str]) -> bool:
    key, operator, values = rule["key"], rule["operator"], rule.get("values") or []
    if operator == "In":
        return bool(labels.get(key) in values)
    if operator == "NotIn":
        return bool(labels.get(key) not in values)
    present = key in labels
    return present if operator == "Exists" else not present


def controller_of(obj: Object) -> Object | None:
    """The owner reference of the object's controller."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def owned_by(obj: Object, owner: Object) -> bool:
    """Whether `owner` controls `obj`."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def owner_reference(owner: Object, api_version: str, kind: str) -> Object:
    """A reference that makes `owner` the controller."""
    meta = owner["metadata"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def terminating(obj: Object) -> bool:
    """Whether the object is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def condition(obj: Object, kind: str) -> Object | None:
    """A condition of the object's status."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), None)


def active(pod: Object) -> bool:
    """Whether a pod counts: it has neither ended nor is it being deleted."""
    return not terminating(pod) and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def ready(pod: Object) -> bool:
    """Whether a pod is ready."""
    entry = condition(pod, "Ready")
    return entry is not None and entry["status"] == "True"


def seconds_until_available(pod: Object, min_ready_seconds: int) -> float | None:
    """0 when the pod has been ready for long enough, else how long that takes; None when it is not ready."""
    entry = condition(pod, "Ready")
    if entry is None or entry["status"] != "True":
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = datetime.fromisoformat(entry["lastTransitionTime"])
    return max(min_ready_seconds - (datetime.now(UTC) - since).total_seconds(), 0.0)


def differs(new: Any, old: Any) -> bool:
    """Whether anything that `new` says is otherwise in `old`: the API server adds fields of its own."""
    if isinstance(new, dict):
        return not isinstance(old, dict) or any(differs(value, old.get(key)) for key, value in new.items())
    if isinstance(new, list):
        return not isinstance(old, list) or len(new) != len(old) or any(map(differs, new, old))
    return bool(new != old)
