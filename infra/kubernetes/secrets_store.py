"""Former names of what `deliveries` has; to be deleted."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from infra.credentials import Consumer, CsiDelivery, WorkloadRef
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries.csi import CsiSecretsStore, Driver, get_driver
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret, SyncedSecretFacts
from infra.kubernetes.waiting import Clock, OnProgress, ignore

__all__ = [
    "Driver",
    "Mount",
    "find_synced_secret",
    "get_driver",
    "get_synced_secret",
    "get_version_that_holds",
    "held_others_since",
    "list_mounts",
    "synced_secret_holds",
    "update_synced_secret",
    "wait_for_mounts",
    "wait_for_synced_secret",
]


@dataclass(frozen=True)
class Mount:
    """What one pod has mounted."""

    pod_uid: str
    versions: Mapping[str, str]


class _Mounts(CsiSecretsStore):
    """Waits for given objects of a class, whatever the class says."""

    def __init__(self, cluster: Cluster, namespace: str, secret_provider_class: str) -> None:
        delivery = CsiDelivery(secret_provider_class=secret_provider_class, synced_secret="none")  # noqa: S106
        super().__init__(cluster, Consumer(workload=WorkloadRef(namespace=namespace, name="pods"), delivery=delivery))

    def uses(self, secrets: Collection[str]) -> frozenset[str]:
        return frozenset(secrets)

    def list(self) -> list[Mount]:
        """Return what the driver reports for each pod."""
        statuses = self._cluster.get(self._statuses)["items"]
        return [Mount(uid, versions) for uid, versions in self._read_versions(statuses).items()]


def list_mounts(cluster: Cluster, namespace: str, secret_provider_class: str) -> list[Mount]:
    """Return what the driver reports for each pod."""
    return _Mounts(cluster, namespace, secret_provider_class).list()


def wait_for_mounts(
    cluster: Cluster,
    namespace: str,
    secret_provider_class: str,
    pod_uids: Collection[str],
    versions: Mapping[str, str],
    timeout_seconds: float,
    on_progress: OnProgress = ignore,
    clock: Clock = time.monotonic,
) -> None:
    """Wait until every pod has mounted the versions."""
    pods = {uid: f"pod {uid[:8]}" for uid in pod_uids}
    mounts = _Mounts(cluster, namespace, secret_provider_class)
    mounts.wait_for_mounts(pods, versions, timeout_seconds, on_progress, clock)


def get_synced_secret(cluster: Cluster, namespace: str, name: str) -> SyncedSecretFacts:
    """Return the keys and lengths of a Secret."""
    return SyncedSecret(cluster, namespace, name).get()


def find_synced_secret(cluster: Cluster, namespace: str, name: str) -> bool | None:
    """Return None if a Secret does not exist."""
    return None if SyncedSecret(cluster, namespace, name).find_differing_keys({}) is None else True


def synced_secret_holds(cluster: Cluster, namespace: str, name: str, expected: Mapping[str, str]) -> bool:
    """Say whether a Secret has the values."""
    return SyncedSecret(cluster, namespace, name).find_differing_keys(expected) == []


def get_version_that_holds(cluster: Cluster, namespace: str, name: str, expected: Mapping[str, str]) -> str:
    """Return a Secret's resourceVersion if it has the values."""
    return SyncedSecret(cluster, namespace, name).version_that_holds(expected)


def held_others_since(cluster: Cluster, namespace: str, name: str, expected: Mapping[str, str], version: str) -> bool:
    """Say whether a Secret had other values since one of its versions."""
    return SyncedSecret(cluster, namespace, name).held_others_since(expected, version)


def update_synced_secret(cluster: Cluster, namespace: str, name: str, values: Mapping[str, str]) -> bool:
    """Write values into a Secret."""
    return SyncedSecret(cluster, namespace, name).update(values)


def wait_for_synced_secret(
    cluster: Cluster,
    namespace: str,
    name: str,
    expected: Mapping[str, str],
    timeout_seconds: float,
    on_progress: OnProgress = ignore,
    clock: Clock = time.monotonic,
) -> None:
    """Wait until a Secret has the values."""
    SyncedSecret(cluster, namespace, name).wait_for(expected, timeout_seconds, on_progress, clock)
