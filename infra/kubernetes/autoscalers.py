"""HorizontalPodAutoscalers: which of them sets how many pods a workload has.

An autoscaler leaves alone what is scaled to 0, unless it may itself scale to 0:
https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#implicit-maintenance-mode-deactivation
"""

from infra.credentials import WorkloadRef
from infra.kubernetes.client import Cluster, Object

AUTOSCALERS = "/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers"


def find_autoscalers(cluster: Cluster, workload: WorkloadRef) -> tuple[str, ...]:
    """Return the autoscalers of a workload, by name and bounds.

    Raises:
        AccessDenied: the caller may not list them.
    """
    found = cluster.find(AUTOSCALERS.format(namespace=workload.namespace)) or {"items": []}
    return tuple(_describe(item) for item in found["items"] if _targets(item, workload))


def _targets(item: Object, workload: WorkloadRef) -> bool:
    target = item["spec"]["scaleTargetRef"]
    return (target["kind"], target["name"]) == (workload.kind, workload.name)


def _describe(item: Object) -> str:
    spec = item["spec"]
    return f"{item['metadata']['name']}, {spec.get('minReplicas', 1)} to {spec['maxReplicas']} pods"
