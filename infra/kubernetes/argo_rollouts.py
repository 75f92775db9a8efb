"""Argo Rollouts as a kind of workload: https://argo-rollouts.readthedocs.io/en/stable/features/restart/

A restart is `spec.restartAt`, and the rotation that made it is an annotation of the Rollout alone: a change of the pod
template, as at a Deployment, would begin a canary or blue-green update with its pauses.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from infra.credentials import WorkloadRef
from infra.errors import Code, Refused
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.ownership import is_of_forgotten_set
from infra.kubernetes.rollouts import Rollout, read_argo_rollout
from infra.kubernetes.workload_handle import RESTARTED_FOR, SECRET_VERSION, WorkloadHandle, select

COLLECTION = "/apis/argoproj.io/v1alpha1/{}rollouts"
"""With `{}` for the namespace's part of the path."""
RESTARTED_WITH = "keyturn/restarted-with"
"""Annotation: the mark of the last restart, and the resourceVersion of the synced Secret that it was made with."""
_DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
_HASH_LABEL = "rollouts-pod-template-hash"


class ArgoRollout(WorkloadHandle):
    """A Rollout, whose controller moves ReplicaSets as a Deployment's does."""

    collection = COLLECTION.format("namespaces/{namespace}/")
    makers = "/apis/apps/v1/namespaces/{namespace}/replicasets"

    def __init__(self, cluster: Cluster, ref: WorkloadRef) -> None:
        super().__init__(cluster, ref)
        self._referenced: Object | None = None

    def read_rollout(self, item: Object) -> Rollout:
        """Say how far its ReplicaSets are with its pods, and whether the last restart is over."""
        return read_argo_rollout(item)

    def select_pods(self, item: Object) -> str:
        """Return the selector of its pods, which may stand at the Deployment that it takes its template from."""
        return select(self._resolve(item))

    def template(self, item: Object) -> Object:
        """Return what its pods are made from, which may stand at a Deployment that is scaled to 0."""
        return super().template(self._resolve(item))

    def owns(self, pod: Object, owners: Iterable[str]) -> bool:
        """Whether one of its ReplicaSets made the pod."""
        return super().owns(pod, frozenset(owners)) or is_of_forgotten_set(pod, self.ref.name, _HASH_LABEL)

    def restart(self, mark: str, secret_version: str = "") -> None:
        """Have the pods replaced, and mark the restart, in one write. Does not wait.

        Repeating it with the same mark and the same version changes nothing.

        Raises:
            NotFound: it does not exist.
            Conflict: somebody else keeps changing it.
        """
        restarted_with = f"{mark} {secret_version}".strip()

        def ask(item: Object) -> Object | None:
            if (item["metadata"].get("annotations") or {}).get(RESTARTED_WITH) == restarted_with:
                return None
            created = (datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) for pod in self._list_pods(item))
            marks = {RESTARTED_FOR: mark, RESTARTED_WITH: restarted_with, SECRET_VERSION: secret_version or None}
            restart_at = find_restart_time(datetime.now(UTC), created)
            return {"metadata": {"annotations": marks}, "spec": {"restartAt": restart_at}}

        self.cluster.change(self.path, ask)

    def _resolve(self, item: Object) -> Object:
        """Return the Rollout with template and selector, which are a Deployment's where it has a `workloadRef`."""
        reference = item["spec"].get("workloadRef")
        if not reference:
            return item
        if reference.get("kind") != "Deployment":
            seen = f"workloadRef names the {reference.get('kind')} {reference.get('name')}"
            raise Refused(Code.TEMPLATE_ELSEWHERE, name=str(self.ref), seen=seen)
        if self._referenced is None:
            path = _DEPLOYMENT.format(namespace=self.ref.namespace, name=reference["name"])
            self._referenced = self.cluster.get(path)
        spec = self._referenced["spec"]
        selector = item["spec"].get("selector") or spec["selector"]
        return {**item, "spec": {**item["spec"], "template": spec["template"], "selector": selector}}


def find_restart_time(now: datetime, created: Iterable[datetime]) -> str:
    """Return the first whole second that is later than now and than every pod, whatever the clock here says.

    Argo replaces the pods that were created before it, and keeps no fraction of a second of it.
    """
    latest = max([now, *created]).replace(microsecond=0) + timedelta(seconds=1)
    return latest.strftime("%Y-%m-%dT%H:%M:%SZ")
