"""Deployments and their pods: what they are, scaling them, waiting for them.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.errors import NotFound, ServiceFailed, WorkloadUnhealthy
from infra.kubernetes.client import MERGE_PATCH, Cluster, Object
from infra.kubernetes.commands import CommandOutput, run_in_pod
from infra.kubernetes.diagnosis import Diagnosis, Level, diagnose, diagnose_deployment, unhealthy
from infra.kubernetes.load_balancers import get_load_balancer, wait_for_load_balancer
from infra.kubernetes.pods import (
    PodFacts,
    Volume,
    all_pod_facts,
    keeps_pgdata,
    secret_provider_classes,
    secret_references,
    volumes,
)
from infra.kubernetes.waiting import Clock, OnProgress, Reporter, follow, ignore

__all__ = [
    "CommandOutput",
    "PodFacts",
    "Workload",
    "get_load_balancer",
    "get_workload",
    "run_in_pod",
    "scale",
    "wait_for_load_balancer",
    "wait_for_pods_gone",
    "wait_for_ready",
]

FIELD_MANAGER = "keyturn"
_HOPELESS_SECONDS = 10.0
"""How long a cause that does not pass by itself must last before the wait is given up early."""


@dataclass(frozen=True)
class Workload:
    """A Deployment at one moment.

    Args:
        name: its name.
        namespace: its namespace.
        replicas: how many pods are wanted.
        ready: how many are ready.
        generation: of its spec.
        observed_generation: the one that its controller has seen.
        settled: whether the controller has seen the spec and exactly the wanted pods exist, new and ready.
        pods: its pods, terminating ones included.
        volumes: what its containers mount.
        keeps_pgdata: whether PostgreSQL's data outlives the pod.
        secret_refs: environment variable -> (Secret, key).
        csi_classes: the SecretProviderClasses that it mounts.
    """

    name: str
    namespace: str
    replicas: int
    ready: int
    generation: int
    observed_generation: int
    settled: bool
    pods: tuple[PodFacts, ...]
    volumes: tuple[Volume, ...]
    keeps_pgdata: bool
    secret_refs: Mapping[str, tuple[str, str]]
    csi_classes: tuple[str, ...]


def get_workload(cluster: Cluster, namespace: str, name: str) -> Workload:
    """Return a Deployment with its pods.

    Raises:
        NotFound: there is none of that name.
    """
    deployment = cluster.get(_path(namespace, name))
    return _workload(deployment, _pods(cluster, deployment))


def scale(cluster: Cluster, namespace: str, name: str, replicas: int) -> None:
    """Set how many pods are wanted. Does not wait."""
    body: Object = {"spec": {"replicas": replicas}}
    query = {"fieldManager": FIELD_MANAGER}
    cluster.request("PATCH", f"{_path(namespace, name)}/scale", query, body, MERGE_PATCH)


def wait_for_pods_gone(
    cluster: Cluster,
    namespace: str,
    name: str,
    timeout_seconds: float,
    on_progress: OnProgress = ignore,
    clock: Clock = time.monotonic,
    *,
    terminating_alone: bool = False,
) -> None:
    """Wait until a Deployment has no pod left, terminating ones included, or `terminating_alone`: none of those.

    Raises:
        WorkloadUnhealthy: some were left; names them.
    """
    deployment = cluster.get(_path(namespace, name))
    reporter, seen = Reporter(on_progress, clock), ""
    path, query = f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": _selector(deployment)}
    for pods, left in follow(cluster, path, query, timeout_seconds, clock):
        facts = [pod for pod in all_pod_facts(pods.values()) if pod.terminating or not terminating_alone]
        if not facts:
            return
        seen = ", ".join(f"{pod.name} {'is terminating' if pod.terminating else 'runs on'}" for pod in facts)
        reporter.tell(seen, left)
    fix = "see whether the Deployment is scaled to 0 and whether a finalizer or a lost node holds the pods"
    what = f"Pods were left after {timeout_seconds:g} s"
    raise WorkloadUnhealthy(what, name=f"{name} in {namespace}", seen=seen, fix=fix, code="PodsLeft")


def wait_for_ready(
    cluster: Cluster,
    namespace: str,
    name: str,
    timeout_seconds: float,
    on_progress: OnProgress = ignore,
    clock: Clock = time.monotonic,
) -> Workload:
    """Wait until a Deployment has exactly the pods it wants, new and ready.

    Gives up before the bound when the cause is one that does not pass by itself. An API server that is away for a
    while is waited out.

    Raises:
        WorkloadUnhealthy: they did not get ready; the message says why and what to do.
    """
    reporter, hopeless_since = Reporter(on_progress, clock), None
    found: list[Diagnosis] = []
    path, query = f"/apis/apps/v1/namespaces/{namespace}/deployments", {"fieldSelector": f"metadata.name={name}"}
    for deployments, left in follow(cluster, path, query, timeout_seconds, clock):
        deployment = next(iter(deployments.values()), None)
        if deployment is None:
            raise NotFound("The Deployment does not exist", name=f"{name} in {namespace}", fix="run the deploy flow")
        try:
            workload, found = _look_closer(cluster, deployment)
        except ServiceFailed as error:
            reporter.tell(error.what, left)
            continue
        if workload:
            return workload
        reporter.tell(_counts(deployment) + (f"; {found[0].summary}" if found else ""), left)
        hopeless = any(item.level is Level.ERROR for item in found)
        hopeless_since = (hopeless_since or clock()) if hopeless else None
        if hopeless_since is not None and clock() - hopeless_since >= _HOPELESS_SECONDS:
            break
    raise unhealthy(f"{name} in {namespace}", found)


def _look_closer(cluster: Cluster, deployment: Object) -> tuple[Workload | None, list[Diagnosis]]:
    """Return the workload if it is settled, else what keeps it from that."""
    if _is_settled(deployment):
        workload = _workload(deployment, _pods(cluster, deployment))
        if workload.settled:
            return workload, []
    return None, explain(cluster, deployment)


def explain(cluster: Cluster, deployment: Object) -> list[Diagnosis]:
    """Say why a Deployment's pods are not ready, the gravest cause first."""
    namespace = deployment["metadata"]["namespace"]
    events = cluster.get(f"/api/v1/namespaces/{namespace}/events", fieldSelector="type=Warning")["items"]
    return diagnose(_pods(cluster, deployment), events) or diagnose_deployment(deployment)


def _path(namespace: str, name: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def _selector(deployment: Object) -> str:
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _pods(cluster: Cluster, deployment: Object) -> Sequence[Object]:
    path = f"/api/v1/namespaces/{deployment['metadata']['namespace']}/pods"
    found: Sequence[Object] = cluster.get(path, labelSelector=_selector(deployment))["items"]
    return found


def _is_settled(deployment: Object) -> bool:
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status") or {}
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and counts == [wanted] * 4


def _workload(deployment: Object, pods: Sequence[Object]) -> Workload:
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    status, facts = deployment.get("status") or {}, all_pod_facts(pods)
    wanted = deployment["spec"].get("replicas", 1)
    staying = [pod for pod in facts if not pod.terminating]
    return Workload(
        name=metadata["name"],
        namespace=metadata["namespace"],
        replicas=wanted,
        ready=status.get("readyReplicas", 0),
        generation=metadata["generation"],
        observed_generation=status.get("observedGeneration", 0),
        settled=_is_settled(deployment) and len(staying) == wanted and all(pod.ready for pod in staying),
        pods=facts,
        volumes=volumes(template),
        keeps_pgdata=keeps_pgdata(template),
        secret_refs=secret_references(template),
        csi_classes=secret_provider_classes(template),
    )


def _counts(deployment: Object) -> str:
    status = deployment.get("status") or {}
    return f"{status.get('readyReplicas', 0)} of {deployment['spec'].get('replicas', 1)} pods ready"
