"""The Secrets Store CSI driver as it shows itself: driver, mounts, synced Secrets.

Evidence only: versions that the driver reported per pod (SecretProviderClassPodStatus) and the Secret's data,
compared here in memory. Events and resourceVersions prove nothing: the driver rewrites unchanged Secrets.
https://secrets-store-csi-driver.sigs.k8s.io/topics/secret-auto-rotation
"""

import base64
import binascii
import hmac
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from infra.errors import NotFound, SyncPending
from infra.kubernetes.client import MERGE_PATCH, Cluster, Object
from infra.kubernetes.translation import Expired
from infra.kubernetes.waiting import Clock, OnProgress, Reporter, follow, ignore

FIELD_MANAGER = "keyturn"
DRIVER = "secrets-store.csi.k8s.io"
MANAGED_LABEL = "secrets-store.csi.k8s.io/managed"
_API = "/apis/secrets-store.csi.x-k8s.io/v1/namespaces"
_SYNC_FIX = (
    "see whether the add-on's rotation is on and its poll interval is below the timeout, and look at the pods' "
    "events; then run again, or use the express sync"
)

_REPLAY_SECONDS = 5.0


@dataclass(frozen=True)
class Driver:
    """The CSI driver that the cluster has, and how it looks for new versions.

    Args:
        name: its name.
        requires_republish: whether the kubelet calls it again and again for a mounted volume.
        generation: "reconciler" (up to 1.5: one ticker a node) or "republish" (from 1.6).
    """

    name: str
    requires_republish: bool
    generation: Literal["reconciler", "republish"]


@dataclass(frozen=True)
class Mount:
    """What one pod has mounted: object name -> version id in the vault."""

    pod: str
    pod_uid: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class SyncedSecret:
    """A Secret without its values: key -> length of the value in bytes."""

    name: str
    managed: bool
    sizes: Mapping[str, int]


def get_driver(cluster: Cluster) -> Driver:
    """Return the Secrets Store CSI driver.

    Raises:
        NotFound: the cluster has none.
    """
    found = cluster.find(f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}")
    if found is None:
        fix = "switch on the cluster's add-on azure-keyvault-secrets-provider (the provision flow does)"
        raise NotFound("The cluster has no Secrets Store CSI driver", name=DRIVER, fix=fix)
    republish = bool(found["spec"].get("requiresRepublish"))
    return Driver(DRIVER, republish, "republish" if republish else "reconciler")


def list_mounts(cluster: Cluster, namespace: str, secret_provider_class: str) -> list[Mount]:
    """Return what the driver reports for each pod that mounts a class, by pod name."""
    statuses = cluster.get(f"{_API}/{namespace}/secretproviderclasspodstatuses")["items"]
    return _mounts(statuses, secret_provider_class)


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
    """Wait until every pod has mounted the versions.

    Args:
        cluster: where to look.
        namespace: the pods' namespace.
        secret_provider_class: the class that they mount.
        pod_uids: the pods, by uid: a pod of the same name is another pod.
        versions: object name -> version id that must be mounted; other objects do not matter.
        timeout_seconds: bound on the wait.
        on_progress: told on each change, and every few seconds without one.
        clock: what the bound is measured with.

    Raises:
        SyncPending: not all pods had them in time; says what was mounted last.
    """
    reporter = Reporter(on_progress, clock)
    seen = "nothing"
    for objects, left in follow(
        cluster, f"{_API}/{namespace}/secretproviderclasspodstatuses", {}, timeout_seconds, clock
    ):
        mounts = {mount.pod_uid: mount for mount in _mounts(objects.values(), secret_provider_class)}
        if all(uid in mounts and versions.items() <= mounts[uid].versions.items() for uid in pod_uids):
            return
        seen = "; ".join(_state(uid, mounts.get(uid), versions) for uid in sorted(pod_uids))
        reporter.tell(seen, left)
    what = f"The new versions were not mounted within {timeout_seconds:g} s"
    raise SyncPending(what, name=f"{secret_provider_class} in {namespace}", seen=seen, fix=_SYNC_FIX)


def find_synced_secret(cluster: Cluster, namespace: str, name: str) -> SyncedSecret | None:
    """Return the keys and lengths of a Secret, None when it does not exist."""
    found = cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    return None if found is None else _without_values(found)


def get_synced_secret(cluster: Cluster, namespace: str, name: str) -> SyncedSecret:
    """Return the keys and lengths of a Secret.

    Raises:
        NotFound: it does not exist: the driver makes it when the first pod mounts the class.
    """
    return _without_values(cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{name}"))


def synced_secret_holds(cluster: Cluster, namespace: str, name: str, expected: Mapping[str, str]) -> bool:
    """Say whether a Secret has the values, key -> value. An absent Secret or key holds nothing."""
    found = cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    return found is not None and not _differing(found, expected)


def get_version_that_holds(cluster: Cluster, namespace: str, name: str, expected: Mapping[str, str]) -> str:
    """Return a Secret's resourceVersion if it has the values, key -> value; empty when it has others or is absent."""
    found = cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if found is None or _differing(found, expected):
        return ""
    return str(found["metadata"]["resourceVersion"])


def held_others_since(cluster: Cluster, namespace: str, name: str, expected: Mapping[str, str], version: str) -> bool:
    """Say whether a Secret had other values than expected at any time after one of its versions.

    The versions alone do not tell: the driver also writes who uses the Secret. So the changes are replayed; those that
    the API server has forgotten count as others.
    """
    found = cluster.find(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if found is None or _differing(found, expected):
        return True
    last, query = found["metadata"]["resourceVersion"], {"fieldSelector": f"metadata.name={name}"}
    if last == version:
        return False
    try:
        for event in cluster.watch(f"/api/v1/namespaces/{namespace}/secrets", query, version, _REPLAY_SECONDS):
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED" or _differing(event["object"], expected):
                return True
            if event["object"]["metadata"]["resourceVersion"] == last:
                return False
    except Expired:
        pass
    return True


def wait_for_synced_secret(
    cluster: Cluster,
    namespace: str,
    name: str,
    expected: Mapping[str, str],
    timeout_seconds: float,
    on_progress: OnProgress = ignore,
    clock: Clock = time.monotonic,
) -> None:
    """Wait until a Secret has the values. Arguments as for the functions above.

    Raises:
        SyncPending: it did not have them in time; says which keys differed, never how.
    """
    reporter = Reporter(on_progress, clock)
    seen, query = "nothing", {"fieldSelector": f"metadata.name={name}"}
    for objects, left in follow(cluster, f"/api/v1/namespaces/{namespace}/secrets", query, timeout_seconds, clock):
        found = next(iter(objects.values()), None)
        differing = _differing(found, expected) if found else sorted(expected)
        if not differing:
            return
        seen = f"still the old values: {', '.join(differing)}" if found else "the Secret does not exist"
        reporter.tell(seen, left)
    what = f"The Secret did not take the new values within {timeout_seconds:g} s"
    raise SyncPending(what, name=f"{name} in {namespace}", seen=seen, fix=_SYNC_FIX)


def update_synced_secret(cluster: Cluster, namespace: str, name: str, values: Mapping[str, str]) -> bool:
    """Write values, key -> value, into a Secret that the driver made, ahead of the driver's own poll.

    Deleting it instead would not do while a pod has the class mounted: the driver makes an absent Secret from any
    mount that it rechecks, and that one may be old. What is written here stays: up to 1.5 the poll alone changes an
    existing Secret, from 1.6 on a new mount does it too, and both bring the newest values.

    Returns:
        Whether the Secret exists; an absent one is made by the next mount.
    """
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    path, query = f"/api/v1/namespaces/{namespace}/secrets/{name}", {"fieldManager": FIELD_MANAGER}
    try:
        cluster.request("PATCH", path, query, {"data": data}, MERGE_PATCH)
    except NotFound:
        return False
    return True


def _mounts(statuses: Collection[Object], secret_provider_class: str) -> list[Mount]:
    """Read SecretProviderClassPodStatus objects. The owner is the pod; its uid tells namesakes apart."""
    mounts = []
    for item in statuses:
        status = item.get("status") or {}
        if status.get("secretProviderClassName") != secret_provider_class or not status.get("mounted"):
            continue
        owners = item["metadata"].get("ownerReferences") or []
        uid = next((owner["uid"] for owner in owners if owner.get("kind") == "Pod"), "")
        versions = {entry["id"].partition("/")[2]: entry["version"] for entry in status.get("objects") or []}
        mounts.append(Mount(status.get("podName", ""), uid, versions))
    return sorted(mounts, key=lambda mount: mount.pod)


def _state(uid: str, mount: Mount | None, versions: Mapping[str, str]) -> str:
    if mount is None:
        return f"pod {uid[:8]} has mounted nothing"
    done = [name for name, version in sorted(versions.items()) if mount.versions.get(name) == version]
    late = [f"{name} at {mount.versions.get(name, 'none')[:8]}" for name in sorted(versions) if name not in done]
    return f"{mount.pod} has {len(done)} of {len(versions)} new versions, {', '.join(late) or 'none behind'}"


def _differing(secret: Object, expected: Mapping[str, str]) -> list[str]:
    """Name the keys whose values differ; all are compared, each in constant time."""
    data = secret.get("data") or {}
    held = {key: hmac.compare_digest(_decoded(data.get(key)), expected[key].encode()) for key in expected}
    return [key for key in sorted(expected) if key not in data or not held[key]]


def _decoded(value: str | None) -> bytes:
    try:
        return base64.b64decode(value or "", validate=True)
    except binascii.Error:
        return b""


def _without_values(secret: Object) -> SyncedSecret:
    labels = secret["metadata"].get("labels") or {}
    sizes = {key: len(_decoded(value)) for key, value in sorted((secret.get("data") or {}).items())}
    return SyncedSecret(secret["metadata"]["name"], labels.get(MANAGED_LABEL) == "true", sizes)
