"""A client of the database in the lab: a Deployment that mounts the credential and has it in its environment."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from infra.kubernetes.secrets_store import wait_for_mounts, wait_for_synced_secret
from infra.kubernetes.workloads import get_workload, run_in_pod, wait_for_pods_gone, wait_for_ready
from infra.targets import Consumer, Strategy
from testing.rotating import DATABASE, TARGET, World

CLIENT = DATABASE.model_copy(update={"workload": "client", "is_database": False})
READER = CLIENT.model_copy(update={"needs_restart": False})
PATH = f"/apis/apps/v1/namespaces/{CLIENT.namespace}/deployments"
IN_PLACE = TARGET.model_copy(update={"strategy": Strategy.IN_PLACE})
WITH_CLIENT = IN_PLACE.model_copy(update={"consumers": (DATABASE, CLIENT)})
WITH_READER = IN_PLACE.model_copy(update={"consumers": (DATABASE, READER)})
WAITING = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
LINGERING = "trap '' TERM; while :; do sleep 1; done"
"""It works on until its grace period is over."""
SECONDS = 40


def ready_with_alone(password: str) -> list[str]:
    """The readiness probe of a client that works with one password and no other."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return ["sh", "-c", f'test "$(printf %s "$PASSWORD" | sha256sum | cut -c1-64)" = {digest}']


def manifest(probe: Sequence[str], command: str = WAITING, grace_seconds: int = 1) -> dict[str, Any]:
    """The Deployment of a client that waits, and is ready when its probe succeeds."""
    labels = {"app": CLIENT.workload}
    pod_labels = {**labels, "azure.workload.identity/use": "true"}
    secret = DATABASE.synced_secret
    attributes = {"secretProviderClass": DATABASE.secret_provider_class}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    container = {
        "name": "client",
        "image": "postgres:14",
        "command": ["sh", "-c", command],
        "readinessProbe": {"exec": {"command": list(probe)}, "periodSeconds": 1, "timeoutSeconds": 5},
        "env": [{"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for key in _KEYS],
        "volumeMounts": [{"name": "credential", "mountPath": "/credential", "readOnly": True}],
    }
    spec = {
        "serviceAccountName": "dexter-sa",
        "terminationGracePeriodSeconds": grace_seconds,
        "containers": [container],
        "volumes": [{"name": "credential", "csi": csi}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": CLIENT.workload, "namespace": CLIENT.namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": pod_labels}, "spec": spec},
        },
    }


_KEYS = ("USERNAME", "PASSWORD")


class Client:
    """A running client.

    Args:
        world: where it runs.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    def uids(self) -> list[str]:
        """The uids of its pods."""
        workload = get_workload(self.world.cluster, CLIENT.namespace, CLIENT.workload)
        return [pod.uid for pod in workload.pods if not pod.terminating]

    def environment(self) -> tuple[str, str]:
        """Username and password as its process has them."""
        cluster = self.world.cluster
        pods = get_workload(cluster, CLIENT.namespace, CLIENT.workload).pods
        (pod,) = (pod for pod in pods if not pod.terminating)
        said = [run_in_pod(cluster, CLIENT.namespace, pod.name, ["printenv", key]).stdout.strip() for key in _KEYS]
        return said[0], said[1]


@contextmanager
def client_of(world: World, probe: Sequence[str] = ("true",), **how: Any) -> Iterator[Client]:
    """Run a client for a block."""
    cluster, where = world.cluster, (CLIENT.namespace, CLIENT.workload)
    cluster.request("POST", PATH, {}, manifest(probe, **how))
    try:
        wait_for_ready(cluster, *where, SECONDS)
        yield Client(world)
    finally:
        cluster = world.cluster
        cluster.request(
            "PATCH", f"{PATH}/{CLIENT.workload}", {}, {"spec": {"replicas": 0}}, "application/merge-patch+json"
        )
        wait_for_pods_gone(cluster, *where, SECONDS)
        cluster.delete(f"{PATH}/{CLIENT.workload}")


def wait_for_sync(world: World, *consumers: Consumer) -> None:
    """Wait until consumers that are not restarted have the newest versions by the driver's poll."""
    cluster, values = world.cluster, world.values()
    versions = {name: world.vault.get_latest(name).version for name in ("username", "password")}
    for one in consumers:
        pods = get_workload(cluster, one.namespace, one.workload).pods
        uids = [pod.uid for pod in pods if not pod.terminating]
        wait_for_mounts(cluster, one.namespace, one.secret_provider_class, uids, versions, SECONDS)
        expected = dict(zip(_KEYS, values, strict=True))
        wait_for_synced_secret(cluster, one.namespace, one.synced_secret, expected, SECONDS)
