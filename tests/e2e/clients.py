"""A client of the database in the lab: a Deployment that mounts the credential and has it in its environment."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from infra.credentials import Consumer, Strategy
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.waiting import follow
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from testing.rotating import KEYS, NAMESPACE, Pair, World
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

CLIENT = consumer_like(DATABASE, name="client", is_database=False)
READER = consumer_like(CLIENT, needs_restart=False)
"""The same workload, which re-reads its files."""
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{CLIENT.workload.namespace}/deployments"
IN_PLACE = change(DEXTER, strategy=Strategy.IN_PLACE)
WITH_CLIENT = change(IN_PLACE, consumers=(DATABASE, CLIENT))
WITH_READER = change(IN_PLACE, consumers=(DATABASE, READER))
WAITING = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
LINGERING = "trap '' TERM; while :; do sleep 1; done"
"""It keeps working until its grace period is over."""
SECONDS = 40


def wait_for_no_pods(world: World, name: str) -> None:
    """Wait until the pods of a workload have ended."""
    left: Mapping[str, Any] = {}
    for left, _ in follow(world.cluster, PODS, {"labelSelector": f"app={name}"}, SECONDS):
        if not left:
            return
    pytest.fail(f"after {SECONDS} s there are still {', '.join(pod['metadata']['name'] for pod in left.values())}")


def ready_only_with(password: str) -> list[str]:
    """Return the readiness probe of a client that works with one password and no other."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return ["sh", "-c", f'test "$(printf %s "$PASSWORD" | sha256sum | cut -c1-64)" = {digest}']


def manifest(
    probe: Sequence[str], command: str = WAITING, grace_seconds: int = 1, *, has_environment: bool = True
) -> dict[str, Any]:
    """Return the Deployment of a client that waits, and is ready when its probe succeeds."""
    labels = {"app": CLIENT.workload.name}
    pod_labels = {**labels, "azure.workload.identity/use": "true"}
    secret = DATABASE.delivery.synced_secret
    attributes = {"secretProviderClass": DATABASE.delivery.secret_provider_class}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    keys = KEYS if has_environment else ()
    container = {
        "name": "client",
        "image": "postgres:14",
        "command": ["sh", "-c", command],
        "readinessProbe": {"exec": {"command": list(probe)}, "periodSeconds": 1, "timeoutSeconds": 5},
        "env": [{"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for key in keys],
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
        "metadata": {"name": CLIENT.workload.name, "namespace": CLIENT.workload.namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": pod_labels}, "spec": spec},
        },
    }


class Client:
    """A running client.

    Args:
        world: where it runs.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def workload(self) -> WorkloadHandle:
        """Its Deployment."""
        return open_workload(self.world.cluster, CLIENT.workload)

    def uids(self) -> list[str]:
        """The uids of its pods that are not terminating."""
        return list(self.workload.get().live_pods)

    def environment(self) -> Pair:
        """The username and the password that its process has."""
        (pod,) = self.workload.get().live_pods.values()
        where = (self.world.cluster, CLIENT.workload.namespace, pod)
        username, password = (run_in_pod(*where, ["printenv", key]).stdout.strip() for key in KEYS)
        return username, password


@contextmanager
def running_client(world: World, probe: Sequence[str] = ("true",), **how: Any) -> Iterator[Client]:
    """Run a client for a block."""
    client, path = Client(world), f"{DEPLOYMENTS}/{CLIENT.workload.name}"
    world.cluster.request("POST", DEPLOYMENTS, {}, manifest(probe, **how))
    try:
        client.workload.wait_for_ready(SECONDS)
        yield client
    finally:
        world.cluster.patch(path, {"spec": {"replicas": 0}})
        client.workload.wait_for_pods_gone(SECONDS)
        world.cluster.delete(path)


def wait_for_sync(world: World, consumer: Consumer) -> None:
    """Wait until a consumer that is not restarted has the newest versions by the driver's poll."""
    pods = open_workload(world.cluster, consumer.workload).get().live_pods
    values = dict(zip(DEXTER.secrets.names, world.values(), strict=True))
    delivery = open_delivery(world.cluster, consumer)
    delivery.wait_until_current(pods, world.newest_versions(), delivery.seal(values), SECONDS)
