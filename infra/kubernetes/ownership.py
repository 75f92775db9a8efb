"""Which pods are a workload's: those that its controller made, as long as they have not finished. Pure.

Labels alone prove nothing: a Job's pods may have the same ones. A finished pod (phase Succeeded or Failed, as an
evicted one) stays listed beside its replacement; its controller no longer counts it, and no driver brings it anything.

    translate_selector({"matchLabels": {"app": "db"}, "matchExpressions": [...]})   # -> "app=db,tier in (a,b)"

https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from collections.abc import Mapping

from infra.kubernetes.client import Object

_FINISHED = ("Succeeded", "Failed")
_HASH_LABEL = "pod-template-hash"
_OPERATORS: Mapping[str, str] = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}


def translate_selector(selector: Object) -> str:
    """Return a workload's selector in the form that lists take."""
    labels = sorted((selector.get("matchLabels") or {}).items())
    requirements = [
        _OPERATORS[expression["operator"]].format(
            key=expression["key"], values=",".join(expression.get("values") or [])
        )
        for expression in selector.get("matchExpressions") or []
    ]
    return ",".join([*(f"{key}={value}" for key, value in labels), *requirements])


def is_finished(pod: Object) -> bool:
    """Whether a pod's containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in _FINISHED


def find_controller(item: Object) -> Object:
    """Return the reference to what controls an object; empty if nothing does."""
    references = item["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), {})


def is_of_forgotten_set(pod: Object, owner: str, hash_label: str = _HASH_LABEL) -> bool:
    """Whether a terminating pod was made by a ReplicaSet of a Deployment or Rollout, which may be deleted already.

    With `revisionHistoryLimit: 0` a ReplicaSet goes before its last pods have. Its name says whose it was.
    """
    metadata, controller = pod["metadata"], find_controller(pod)
    template_hash = (metadata.get("labels") or {}).get(hash_label)
    is_named_so = controller.get("name") == f"{owner}-{template_hash}" and controller["kind"] == "ReplicaSet"
    return bool(metadata.get("deletionTimestamp")) and is_named_so
