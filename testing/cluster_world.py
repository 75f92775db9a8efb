"""Objects of a cluster without a node, written by hand: what controllers, kubelet and driver would report."""

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from infra.credentials import Consumer, CsiDelivery, WorkloadRef
from infra.errors import NotFound
from infra.kubernetes.client import MERGE_PATCH, Cluster
from infra.kubernetes.deliveries import DeliveryHandle, open_delivery
from infra.kubernetes.manifests import apply, load
from infra.kubernetes.waiting import Progress
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from testing.manifest_values import FOLDER, VALUES

GROUP = "secrets-store.csi.x-k8s.io"
CLASS = "postgresql-kvname"
Object = dict[str, Any]


def definition(kind: str, plural: str) -> Object:
    """A custom resource definition that takes anything, as the driver's do for what matters here."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


DEFINITIONS = [
    definition("SecretProviderClass", "secretproviderclasses"),
    definition("SecretProviderClassPodStatus", "secretproviderclasspodstatuses"),
]


def driver(republish: bool) -> Object:
    """Return the CSIDriver of a generation: from 1.6 on the kubelet republishes each volume."""
    spec = {"podInfoOnMount": True, "attachRequired": False, "requiresRepublish": republish}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "secrets-store.csi.k8s.io"},
        "spec": spec,
    }


def reference(kind: str, item: Object) -> Object:
    """Return the reference to an object that controls others."""
    names = {"name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}
    return {"apiVersion": "apps/v1", "kind": kind, "controller": True, **names}


class World:
    """One namespace of a cluster.

    Args:
        cluster: the connection under test.
        namespace: made here.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self._set: Object = {}
        account = {"name": "default", "namespace": namespace}
        apply(
            cluster,
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
            ],
        )

    def manifest(self, name: str) -> list[Object]:
        """The documents of one of the product's manifests, filled in for this namespace."""
        return load(name, VALUES | {"NAMESPACE": self.namespace}, FOLDER)

    def path(self, plural: str, name: str = "", group: str = "api/v1") -> str:
        return f"/{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def put(self, plural: str, item: Object, group: str = "api/v1") -> Object:
        """Create an object, its status as well."""
        made = self.cluster.request("POST", self.path(plural, group=group), {}, item)
        if "status" in item and group != f"apis/{GROUP}/v1":
            self.set_status(plural, item["metadata"]["name"], item["status"], group)
        return made

    def set_readiness(self, is_ready: Callable[[Object], bool]) -> None:
        """Report of each pod whether it is ready; its controller may replace it meanwhile."""
        for pod in self.cluster.get(self.path("pods"))["items"]:
            ready = {"type": "Ready", "status": str(is_ready(pod)), "lastTransitionTime": "2026-01-01T00:00:00Z"}
            with suppress(NotFound):
                self.set_status("pods", pod["metadata"]["name"], {"phase": "Running", "conditions": [ready]})

    def set_status(self, plural: str, name: str, status: Object, group: str = "api/v1") -> None:
        path = f"{self.path(plural, name, group)}/status"
        self.cluster.request("PATCH", path, {}, {"status": status}, MERGE_PATCH)

    @property
    def workload(self) -> WorkloadHandle:
        """The Deployment `db`."""
        return open_workload(self.cluster, WorkloadRef(namespace=self.namespace, name="db"))

    def delivery(self) -> DeliveryHandle:
        """What the walkthrough's SecretProviderClass brings to the Deployment `db`."""
        apply(self.cluster, self.manifest("dexter.yaml")[1:2])
        delivery = CsiDelivery(secret_provider_class=CLASS, synced_secret="userpass")
        return open_delivery(self.cluster, Consumer(workload=self.workload.ref, delivery=delivery, is_database=True))

    def pod(self, name: str, status: Object | None = None, **metadata: Any) -> str:
        """Make a pod of the Deployment `db`, or one with other metadata, and return its uid."""
        container = {"name": "db", "image": "postgres:14"}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        owners = [reference("ReplicaSet", self._set)] if self._set else []
        metadata = {"name": name, "labels": {"app": "db"}, "ownerReferences": owners} | metadata
        item: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        if status is not None:
            item["status"] = status
        return str(self.put("pods", item)["metadata"]["uid"])

    def deployment(self, replicas: int = 1, **spec: Any) -> None:
        """Make the Deployment `db`, and its ReplicaSet as its controller would."""
        template = {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "db", "image": "postgres:14"}]},
        }
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "db"}}, "template": template} | spec
        item = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "db"}, "spec": spec}
        made = self.put("deployments", item, "apis/apps/v1")
        self._set = self.replica_set("db-5f6d", [reference("Deployment", made)])

    def replica_set(self, name: str, owners: list[Object]) -> Object:
        """Make a ReplicaSet whose pods have the labels of the Deployment `db`."""
        labels = {"app": "db", "pod-template-hash": name.rpartition("-")[2]}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "db", "image": "postgres:14"}]},
        }
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        metadata = {"name": name, "labels": labels, "ownerReferences": owners}
        item = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}
        return self.put("replicasets", item, "apis/apps/v1")

    def settle(self, replicas: int = 1) -> None:
        """Report what the Deployment's controller reports when all is well."""
        generation = self.cluster.get(self.path("deployments", "db", "apis/apps/v1"))["metadata"]["generation"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
        self.set_status("deployments", "db", {"observedGeneration": generation, **counts}, "apis/apps/v1")

    def mount(self, pod: str, uid: str, versions: dict[str, str], provider_class: str = CLASS) -> None:
        """Report what the driver reports for a pod: made at first, replaced later."""
        name = f"{pod}-{self.namespace}-{provider_class}"
        objects = [{"id": f"secret/{key}", "version": value} for key, value in versions.items()]
        status = {"podName": pod, "secretProviderClassName": provider_class, "mounted": True, "objects": objects}
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        item = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "SecretProviderClassPodStatus",
            "metadata": {"name": name, "ownerReferences": [owner]},
            "status": status,
        }
        plural, group = "secretproviderclasspodstatuses", f"apis/{GROUP}/v1"
        if self.cluster.find(self.path(plural, name, group)) is None:
            self.put(plural, item, group)
        else:
            self.cluster.request("PATCH", self.path(plural, name, group), {}, {"status": status}, MERGE_PATCH)

    def secret(self, values: dict[str, str]) -> None:
        """Write the Secret `userpass` as the driver does."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        path = self.path("secrets", "userpass")
        if self.cluster.find(path) is None:
            labels = {"secrets-store.csi.k8s.io/managed": "true"}
            metadata = {"name": "userpass", "labels": labels}
            self.put("secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        else:
            self.cluster.request("PATCH", path, {}, {"data": data}, MERGE_PATCH)

    def event(self, reason: str, message: str, kind: str, name: str, uid: str, level: str = "Warning") -> None:
        """Write an event about an object."""
        involved = {"kind": kind, "name": name, "uid": uid, "namespace": self.namespace}
        item = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{reason.lower()}"},
            "involvedObject": involved,
            "type": level,
            "reason": reason,
            "message": message,
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
        self.put("events", item)


class Then:
    """Hears of a wait's progress, and does the next thing each time: so nothing is timed, and nothing sleeps."""

    def __init__(self, *deeds: Callable[[], object]) -> None:
        self._deeds = list(deeds)
        self.heard: list[str] = []

    def __call__(self, progress: Progress) -> None:
        self.heard.append(progress.seen)
        if self._deeds:
            self._deeds.pop(0)()
