"""Rollouts, pure: which replica set matches, how many replicas each shall have, what the status says."""

import hashlib
import json
from typing import Any

from lab.cluster.client import Object

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_of(owner: Object) -> Object:
    """The pod template without the label that the controller adds."""
    template: Object = json.loads(json.dumps(owner["spec"]["template"]))
    labels = template.get("metadata", {}).get("labels") or {}
    labels.pop(HASH_LABEL, None)
    template.get("metadata", {}).pop("creationTimestamp", None)
    return template


def template_hash(template: Object, collisions: int = 0) -> str:
    """A short name for a template; `collisions` makes another one."""
    digest = hashlib.sha256(json.dumps([template, collisions], sort_keys=True).encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])


def replica_set(owner: Object, reference: Object, label: str, short: str, size: int = 0) -> Object:
    """A replica set of an owner's present template.

    Args:
        owner: whose it is; `reference` says so.
        reference: the owner reference.
        label: the label that tells its pods from those of other templates.
        short: the template's hash, which is the label's value.
        size: how many replicas it has.
    """
    template, selector = template_of(owner), json.loads(json.dumps(owner["spec"]["selector"]))
    labels = (template.get("metadata", {}).get("labels") or {}) | {label: short}
    template.setdefault("metadata", {})["labels"] = labels
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | {label: short}
    least_seconds = owner["spec"].get("minReadySeconds") or 0
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{owner['metadata']['name']}-{short}",
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [reference],
        },
        "spec": {"replicas": size, "selector": selector, "template": template, "minReadySeconds": least_seconds},
    }


def find_new(deployment: Object, sets: list[Object]) -> Object | None:
    """The replica set that has the deployment's template; the oldest, if there are several."""
    template = template_of(deployment)
    same = [entry for entry in sets if template_of(entry) == template]
    return min(
        same, key=lambda entry: (entry["metadata"]["creationTimestamp"], entry["metadata"]["name"]), default=None
    )


def revision_of(entry: Object) -> int:
    """The revision that a replica set carries."""
    return int((entry["metadata"].get("annotations") or {}).get(REVISION, "0"))


def limits(deployment: Object) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers; both 0 would never move, so one may then be unavailable."""
    spec = deployment["spec"]
    if spec.get("strategy", {}).get("type") == "Recreate":
        return 0, 0
    rolling = spec.get("strategy", {}).get("rollingUpdate") or {}
    replicas = spec.get("replicas", 1)
    surge = resolve(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, unavailable if surge or unavailable else 1


def resolve(value: Any, total: int, *, up: bool) -> int:
    """A number of pods, or so many per cent of all, rounded up or down."""
    if isinstance(value, str) and value.endswith("%"):
        product = int(value[:-1]) * total
        return -(-product // 100) if up else product // 100
    return int(value)


def replicas_of(entry: Object) -> int:
    """How many replicas are asked of a replica set."""
    return int(entry["spec"].get("replicas", 1))


def available_of(entry: Object) -> int:
    """How many available pods a replica set has."""
    return int(entry.get("status", {}).get("availableReplicas", 0))


def rolling_sizes(deployment: Object, new: Object, old: list[Object]) -> dict[str, int]:
    """The next size of each replica set in a rolling update, by name; those that stay are left out."""
    wanted = deployment["spec"].get("replicas", 1)
    surge, unavailable = limits(deployment)
    total = replicas_of(new) + sum(map(replicas_of, old))
    sizes: dict[str, int] = {}
    size = replicas_of(new)
    if size > wanted:
        sizes[new["metadata"]["name"]] = wanted
    elif size < wanted and total < wanted + surge:
        sizes[new["metadata"]["name"]] = size + min(wanted + surge - total, wanted - size)
    if not sizes:
        sizes |= _shrink(new, old, total, wanted - unavailable)
    return sizes


def _shrink(new: Object, old: list[Object], total: int, least_available: int) -> dict[str, int]:
    """Take from the old ones: first what is not available anyway, then as many as availability allows."""
    room = total - least_available - (replicas_of(new) - available_of(new))
    sizes = {entry["metadata"]["name"]: replicas_of(entry) for entry in old}
    for entry in sorted(old, key=revision_of):
        taken = min(room, max(replicas_of(entry) - available_of(entry), 0))
        if taken > 0:
            sizes[entry["metadata"]["name"]] -= taken
            room -= taken
    spare = available_of(new) + sum(map(available_of, old)) - least_available
    for entry in sorted(old, key=revision_of):
        name = entry["metadata"]["name"]
        taken = min(spare, sizes[name], available_of(entry))
        if taken > 0:
            sizes[name] -= taken
            spare -= taken
    return {name: size for name, size in sizes.items() if size != replicas_of(_by_name(old, name))}


def _by_name(sets: list[Object], name: str) -> Object:
    return next(entry for entry in sets if entry["metadata"]["name"] == name)


def status_of(deployment: Object, new: Object | None, sets: list[Object]) -> Object:
    """The counts of the status."""

    def count(field: str, entries: list[Object]) -> int:
        return sum(int(entry.get("status", {}).get(field, 0)) for entry in entries)

    replicas, available = count("replicas", sets), count("availableReplicas", sets)
    total = sum(map(replicas_of, sets))
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": replicas,
        "updatedReplicas": count("replicas", [new] if new else []),
        "readyReplicas": count("readyReplicas", sets),
        "availableReplicas": available,
        "unavailableReplicas": max(total - available, 0),
    }


def complete(deployment: Object, status: Object) -> bool:
    """Whether all replicas are new and available, and no old ones are left."""
    wanted = deployment["spec"].get("replicas", 1)
    counts = (status["updatedReplicas"], status["replicas"], status["availableReplicas"])
    return counts == (wanted, wanted, wanted)


def progressed(new: Object, old: Object) -> bool:
    """Whether a status is nearer to the end than the one before."""
    return bool(
        new["updatedReplicas"] > old.get("updatedReplicas", 0)
        or new["readyReplicas"] > old.get("readyReplicas", 0)
        or new["availableReplicas"] > old.get("availableReplicas", 0)
        or new["replicas"] - new["updatedReplicas"] < old.get("replicas", 0) - old.get("updatedReplicas", 0)
    )
