"""The kinds of workload, one class each: where it is, what makes its pods, and when it is rolled out.

    database = open_workload(cluster, WorkloadRef(namespace="dexter", name="postgres-pod-kv"))
    database.stop()
    database.wait_for_pods_gone(timeout_seconds=60)
    database.start(mark="rotation-7")
    database.wait_for_ready(timeout_seconds=300).pods

A further kind is one more subclass of `WorkloadHandle` and its line in `_KINDS`.
"""

from collections.abc import Collection

from infra.credentials import WorkloadKind, WorkloadRef
from infra.kubernetes.argo_rollouts import ArgoRollout
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.ownership import find_controller, is_of_forgotten_set
from infra.kubernetes.pods import read_pod
from infra.kubernetes.pods import run_in_pod as run_in_pod
from infra.kubernetes.rollouts import (
    RUNS_ONLY,
    Rollout,
    is_observed,
    read_daemon_set,
    read_deployment,
    read_stateful_set,
)
from infra.kubernetes.services import get_load_balancer as get_load_balancer
from infra.kubernetes.services import wait_for_load_balancer as wait_for_load_balancer
from infra.kubernetes.workload_handle import RestartFacts as RestartFacts
from infra.kubernetes.workload_handle import Workload as Workload
from infra.kubernetes.workload_handle import WorkloadHandle as WorkloadHandle
from infra.kubernetes.workload_handle import read_annotations


class Deployment(WorkloadHandle):
    """https://kubernetes.io/docs/concepts/workloads/controllers/deployment/."""

    collection = "/apis/apps/v1/namespaces/{namespace}/deployments"
    makers = "/apis/apps/v1/namespaces/{namespace}/replicasets"

    def read_rollout(self, item: Object) -> Rollout:
        """Say how far its ReplicaSets are with its pods."""
        return read_deployment(item)

    def owns(self, pod: Object, owners: Collection[str]) -> bool:
        """Whether one of its ReplicaSets made the pod."""
        return super().owns(pod, owners) or is_of_forgotten_set(pod, self.ref.name)


class StatefulSet(WorkloadHandle):
    """https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/."""

    collection = "/apis/apps/v1/namespaces/{namespace}/statefulsets"

    def read_rollout(self, item: Object) -> Rollout:
        """Say how many of its pods are of the newest revision."""
        return read_stateful_set(item)

    def template(self, item: Object) -> Object:
        """Return its pods' template with the claims that each pod gets, which come before volumes of the same name."""
        template = super().template(item)
        spec = template.get("spec") or {}
        names = [claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates") or []]
        claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in names]
        volumes = [volume for volume in spec.get("volumes") or [] if volume["name"] not in names]
        return {**template, "spec": {**spec, "volumes": [*volumes, *claims]}}

    def find_hold(self, item: Object) -> str:
        """Say whether its pods are replaced by hand, or those with a low ordinal never."""
        if hold := _find_deletion_by_hand(item):
            return hold
        rolling = (item["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        partition = rolling.get("partition") or 0
        return f"updateStrategy.rollingUpdate.partition is {partition}" if partition else ""

    def unblock(self, item: Object) -> None:
        """Delete the pod that a restart stands still at: the previous password no longer lets it get ready.

        Unless the pods may be replaced in parallel, their controller waits for the unready one of the lowest ordinal,
        and does not replace it: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
        """
        is_ordered = item["spec"].get("podManagementPolicy") != "Parallel"
        restart = read_annotations(item["spec"]["template"])
        if not (restart.restarted_for and is_ordered and is_observed(item)):
            return
        unready = [pod for pod in self._list_pods(item) if not read_pod(pod).ready]
        first = min(unready, key=_find_ordinal, default=None)
        if first and read_annotations(first) != restart and not read_pod(first).terminating:
            self.cluster.delete_this(f"{self._pods}/{first['metadata']['name']}", first["metadata"]["uid"])


class DaemonSet(WorkloadHandle):
    """https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/."""

    collection = "/apis/apps/v1/namespaces/{namespace}/daemonsets"

    def read_rollout(self, item: Object) -> Rollout:
        """Say on how many of its nodes the newest pod runs."""
        return read_daemon_set(item)

    def find_hold(self, item: Object) -> str:
        """Say whether its pods are replaced by hand."""
        return _find_deletion_by_hand(item)


class Job(WorkloadHandle):
    """https://kubernetes.io/docs/concepts/workloads/controllers/job/."""

    collection = "/apis/batch/v1/namespaces/{namespace}/jobs"

    def read_rollout(self, item: Object) -> Rollout:
        """Say that it wants no pod to stay: its pods are runs, which end by themselves."""
        return RUNS_ONLY


class CronJob(WorkloadHandle):
    """https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/."""

    collection = "/apis/batch/v1/namespaces/{namespace}/cronjobs"
    makers = Job.collection

    def read_rollout(self, item: Object) -> Rollout:
        """Say that it wants no pod to stay: its Jobs' pods are runs, which end by themselves."""
        return RUNS_ONLY

    def find_owners(self, item: Object) -> Collection[str]:
        """Return the uids of its Jobs."""
        uid, jobs = item["metadata"]["uid"], self.cluster.get(self.makers.format(namespace=self.ref.namespace))["items"]
        return frozenset(found["metadata"]["uid"] for found in jobs if find_controller(found).get("uid") == uid)

    def select_pods(self, item: Object) -> str:
        """Return the selector of all Jobs' pods: those of one CronJob have no label of their own."""
        return "job-name"

    def template(self, item: Object) -> Object:
        """Return what the pods of its Jobs are made from."""
        return super().template(item["spec"]["jobTemplate"])


_KINDS: dict[WorkloadKind, type[WorkloadHandle]] = {
    WorkloadKind.DEPLOYMENT: Deployment,
    WorkloadKind.STATEFUL_SET: StatefulSet,
    WorkloadKind.DAEMON_SET: DaemonSet,
    WorkloadKind.ROLLOUT: ArgoRollout,
    WorkloadKind.JOB: Job,
    WorkloadKind.CRON_JOB: CronJob,
}


def open_workload(cluster: Cluster, ref: WorkloadRef) -> WorkloadHandle:
    """Return the handle of a workload, without a request to the cluster."""
    return _KINDS[ref.kind](cluster, ref)


def _find_ordinal(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _find_deletion_by_hand(item: Object) -> str:
    kind = (item["spec"].get("updateStrategy") or {}).get("type", "")
    return f"updateStrategy.type is {kind}" if kind == "OnDelete" else ""
