"""Stopping, starting and restarting a Deployment so that a crash in between forgets nothing.

One write both acts and remembers: how many pods there were, and for whose sake the last restart was made, are
annotations of the Deployment.
"""

from dataclasses import dataclass

from infra.errors import Conflict
from infra.kubernetes.client import MERGE_PATCH, Cluster, Object

FIELD_MANAGER = "keyturn"
STOPPED_REPLICAS = "keyturn/stopped-replicas"
RESTARTED_FOR = "keyturn/restarted-for"
SECRET_VERSION = "keyturn/secret-version"  # noqa: S105
"""Annotation: the resourceVersion that the synced Secret had when the pods were last replaced.

At the Deployment itself it stands until somebody has looked at what the Secret held since then.
"""
_ATTEMPTS = 5


@dataclass(frozen=True)
class RestartFacts:
    """What is remembered at a Deployment.

    Args:
        replicas: how many pods are wanted now.
        stopped_replicas: how many were wanted when it was stopped; None when it was not.
        restarted_for: the mark of the last start or restart.
        secret_version: the resourceVersion of the synced Secret that the last restart was made with, until it is
            checked what the Secret held since.
    """

    replicas: int
    stopped_replicas: int | None
    restarted_for: str
    secret_version: str = ""


def get_restart_facts(cluster: Cluster, namespace: str, name: str) -> RestartFacts:
    """Return what is remembered.

    Raises:
        NotFound: there is no such Deployment.
    """
    return _facts(cluster.get(_path(namespace, name)))


def stop(cluster: Cluster, namespace: str, name: str) -> None:
    """Scale to 0 and remember from how many. Does not wait; that it is at 0 already is fine.

    Raises:
        NotFound: there is no such Deployment.
        Conflict: somebody else keeps changing it.
    """
    for attempt in range(_ATTEMPTS):
        found = cluster.get(_path(namespace, name))
        replicas = _facts(found).replicas
        if replicas == 0:
            return
        version = found["metadata"]["resourceVersion"]
        try:
            _patch(cluster, namespace, name, 0, {STOPPED_REPLICAS: str(replicas)}, version)
            return
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise


def start(cluster: Cluster, namespace: str, name: str, mark: str) -> int:
    """Scale up to what was remembered, 1 if nothing was, and mark the restart. Does not wait.

    Returns:
        How many pods are wanted now.

    Raises:
        NotFound: there is no such Deployment.
    """
    facts = get_restart_facts(cluster, namespace, name)
    if facts.replicas and facts.restarted_for == mark:
        return facts.replicas
    replicas = facts.replicas or facts.stopped_replicas or 1
    _patch(cluster, namespace, name, replicas, {STOPPED_REPLICAS: None, RESTARTED_FOR: mark})
    return replicas


def restart(cluster: Cluster, namespace: str, name: str, mark: str, secret_version: str = "") -> None:
    """Replace the pods as the Deployment's own strategy says, and mark the restart. Does not wait.

    The same mark with the same version of the Secret changes nothing: the pod template stays equal.

    Args:
        cluster: the cluster.
        namespace: of the Deployment.
        name: of the Deployment.
        mark: for whose sake.
        secret_version: the resourceVersion of the synced Secret that the new pods are to begin with, if there is one.

    Raises:
        NotFound: there is no such Deployment.
    """
    annotations = {"annotations": {RESTARTED_FOR: mark, SECRET_VERSION: secret_version or None}}
    body: Object = {"metadata": annotations, "spec": {"template": {"metadata": annotations}}}
    cluster.request("PATCH", _path(namespace, name), {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH)


def settle(cluster: Cluster, namespace: str, name: str) -> None:
    """Remember that it was checked what the Secret held since the last restart. The pods stay.

    Raises:
        NotFound: there is no such Deployment.
    """
    body: Object = {"metadata": {"annotations": {SECRET_VERSION: None}}}
    cluster.request("PATCH", _path(namespace, name), {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH)


def _patch(
    cluster: Cluster,
    namespace: str,
    name: str,
    replicas: int,
    annotations: dict[str, str | None],
    resource_version: str | None = None,
) -> None:
    metadata: Object = {"annotations": annotations}
    if resource_version:
        metadata["resourceVersion"] = resource_version
    body: Object = {"metadata": metadata, "spec": {"replicas": replicas}}
    cluster.request("PATCH", _path(namespace, name), {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH)


def _facts(deployment: Object) -> RestartFacts:
    annotations = deployment["metadata"].get("annotations") or {}
    stopped = annotations.get(STOPPED_REPLICAS, "")
    return RestartFacts(
        deployment["spec"].get("replicas", 1),
        int(stopped) if stopped.isdigit() else None,
        annotations.get(RESTARTED_FOR, ""),
        annotations.get(SECRET_VERSION, ""),
    )


def _path(namespace: str, name: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
