"""The Secrets Store CSI driver as a delivery: a SecretProviderClass, its mounts, and the Secret that it may sync.

Evidence only: the versions that the driver reports for each pod (SecretProviderClassPodStatus) and the Secret's data.
A pod that reads the Secret without a mount of its own (`KeptSecret`) has the data alone.
https://secrets-store-csi-driver.sigs.k8s.io/topics/secret-auto-rotation
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from infra.credentials import Consumer, in_cluster
from infra.errors import Code, Conflict, KeyturnError, NotFound, Refused, SyncPending
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.deliveries.port import DeliveryFacts, OnSync, Sealed, SyncProgress
from infra.kubernetes.deliveries.provider_classes import (
    API,
    ProviderClass,
    get_provider_class,
    pin_versions,
    unpin_versions,
)
from infra.kubernetes.deliveries.synced_secrets import SYNC_FIX, SyncedSecret, WithSecret
from infra.kubernetes.diagnosis import Diagnosis, diagnose
from infra.kubernetes.mount_failures import Level
from infra.kubernetes.pods import Files
from infra.kubernetes.waiting import Clock, OnProgress, Progress, Reporter, follow, ignore
from infra.kubernetes.workloads import Workload

DRIVER = "secrets-store.csi.k8s.io"
MOUNT_SECONDS = 120.0
"""The longest that the kubelet lets a mount take; it then begins anew.

https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/volume/csi/csi_plugin.go
"""


@dataclass(frozen=True)
class Driver:
    """The CSI driver that the cluster has, and how it looks for new versions.

    Args:
        name: its name.
        requires_republish: whether the kubelet calls it regularly for each mounted volume.
        generation: "reconciler" (up to 1.5: one ticker a node) or "republish" (from 1.6).
    """

    name: str
    requires_republish: bool
    generation: Literal["reconciler", "republish"]


def get_driver(cluster: Cluster) -> Driver:
    """Return the Secrets Store CSI driver.

    Raises:
        NotFound: the cluster has none.
    """
    item = cluster.find(f"/apis/storage.k8s.io/v1/csidrivers/{DRIVER}")
    if item is None:
        fix = "Enable the cluster's add-on azure-keyvault-secrets-provider (the flow provision does)"
        raise NotFound("The cluster has no Secrets Store CSI driver", name=DRIVER, fix=fix)
    republish = bool(item["spec"].get("requiresRepublish"))
    return Driver(DRIVER, republish, "republish" if republish else "reconciler")


class CsiSecretsStore(WithSecret):
    """A consumer's delivery by the Secrets Store CSI driver; its port documents the methods.

    Args:
        cluster: where the consumer is.
        consumer: the workload, and this one delivery: its SecretProviderClass and the Secret that this syncs, if any.
        is_part: whether the consumer has other deliveries, too; then this one need not bring everything.
    """

    def __init__(self, cluster: Cluster, consumer: Consumer, *, is_part: bool = False) -> None:
        self._cluster, self._consumer, self._is_part = cluster, consumer, is_part
        self._namespace, (delivery,) = consumer.workload.namespace, consumer.every_delivery
        self._class, self._secret = delivery.source, delivery.secret_name
        self._label = in_cluster(f"{self._class} in {self._namespace}", consumer.cluster)
        self._statuses = f"{API}/namespaces/{self._namespace}/secretproviderclasspodstatuses"
        self._synced = SyncedSecret(cluster, self._namespace, self._secret, consumer.cluster) if self._secret else None

    @cached_property
    def _provider(self) -> ProviderClass:
        return get_provider_class(self._cluster, self._namespace, self._class)

    def uses(self, secrets: Collection[str]) -> frozenset[str]:
        """Return which of these secrets the class mounts; the vault does not count the case of their names."""
        mounted = set(self._provider.files.values())
        return frozenset(name for name in secrets if name.lower() in mounted)

    def find_mismatch(self, vault: str, secrets: Collection[str]) -> KeyturnError | None:
        """Say what keeps the class from bringing the secrets of a vault to the consumer."""
        provider, used = self._provider, self.uses(secrets)
        if provider.vault.lower() != vault.lower():
            return self._mismatch(f"it reads the vault '{provider.vault}'")
        pinned = [name for name in used if name.lower() in provider.pinned]
        if pinned and not provider.pinned_for:
            return self._mismatch(
                f"it pins a version of {_join(pinned)} (objectVersion), so its pods never get a newer one"
            )
        needs_all = self._consumer.is_database and not self._is_part
        if missing := (frozenset(secrets) if needs_all else self._needed(secrets)) - used:
            return self._mismatch(self._describe_missing(missing))
        return self._find_missing_keys(secrets)

    def find_stillness(self) -> KeyturnError | None:
        """Nothing: what has mounts of its own is polled."""
        return None

    def find_pin_objection(self) -> KeyturnError | None:
        """Nothing: who takes pins away is noticed by what the class says."""
        return None

    def observe(self, secrets: Collection[str], values: Mapping[str, str] | None) -> DeliveryFacts:
        """Look at mounts, synced Secret and pins."""
        uses, pins, decoded = self.uses(secrets), self._provider.pinned, self._provider.decoded
        return DeliveryFacts(
            uses=uses,
            versions=self._read_versions(self._cluster.get(self._statuses)["items"], secrets),
            secret=self._compare(values),
            pinned_for=self._provider.pinned_for,
            pinned={name: pins[name.lower()] for name in uses if name.lower() in pins},
            decoded={name: decoded[name.lower()] for name in uses if name.lower() in decoded},
        )

    def wait_until_current(
        self,
        pods: Mapping[str, str],
        versions: Mapping[str, str],
        sealed: Sealed,
        timeout_seconds: float,
        on_progress: OnSync = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait until every pod has mounted the versions, then until the synced Secret holds the values."""
        deadline = clock() + timeout_seconds
        mounted = self.wait_for_mounts(pods, versions, timeout_seconds, on_progress, clock)
        seen, left = "every pod has mounted the new versions", max(0.0, deadline - clock())
        on_progress(replace(mounted, seen=seen, left_seconds=left, secret_is_current=self._synced is None))
        if self._synced:
            self._wait_for_secret(self._synced, sealed[0], mounted, deadline, on_progress, clock)

    def _wait_for_secret(
        self,
        synced: SyncedSecret,
        digests: Mapping[str, bytes],
        mounted: SyncProgress,
        deadline: float,
        on_progress: OnSync,
        clock: Clock,
    ) -> None:
        def report(progress: Progress) -> None:
            on_progress(replace(mounted, subject=self._secret, **vars(progress)))

        synced.wait_for(digests, max(1.0, deadline - clock()), report, clock)
        left = max(0.0, deadline - clock())
        on_progress(
            replace(mounted, seen="the new values", left_seconds=left, subject=self._secret, secret_is_current=True)
        )

    def wait_for_mounts(
        self,
        pods: Mapping[str, str],
        versions: Mapping[str, str],
        timeout_seconds: float,
        on_progress: OnSync = ignore,
        clock: Clock = time.monotonic,
    ) -> SyncProgress:
        """Wait until every pod, uid -> name, has mounted the versions that it uses; return what is mounted.

        Raises:
            SyncPending: it timed out; says what was mounted last.
        """
        wanted = {name: versions[name] for name in sorted(self.uses(versions))}
        reporter, seen, mounted = Reporter(on_progress, clock), "nothing", dict[str, dict[str, str]]()
        for statuses, left in follow(self._cluster, self._statuses, {}, timeout_seconds, clock):
            mounted = self._read_versions(statuses.values(), versions)
            seen = "; ".join(_describe_mount(pod, mounted.get(uid), wanted) for uid, pod in sorted(pods.items()))
            progress = SyncProgress(seen, left, self._consumer.workload.name, mounted, wanted)
            if all(uid in mounted and wanted.items() <= mounted[uid].items() for uid in pods):
                return progress
            reporter.report(progress)
        what, fix = f"The new versions were not mounted within {timeout_seconds:.0f} s", SYNC_FIX
        if cause := self._find_failed_mount(pods.keys() - mounted.keys()):
            seen, fix = f"{seen}; {cause}", cause.fix
        raise SyncPending(what, name=self._label, seen=seen, fix=fix)

    def _find_failed_mount(self, unmounted: Collection[str]) -> Diagnosis | None:
        """Find why pods have no mount at all, if their events say it; what cannot be read says nothing."""
        path, causes = f"/api/v1/namespaces/{self._namespace}", list[Diagnosis]()
        with suppress(KeyturnError):
            pods = [pod for pod in self._cluster.get(f"{path}/pods")["items"] if pod["metadata"]["uid"] in unmounted]
            causes = diagnose(pods, self._cluster.get(f"{path}/events")["items"]) if pods else []
        return next((cause for cause in causes if cause.level is not Level.INFO), None)

    def wait_for_first_mounts(
        self,
        find_pods: Callable[[], Mapping[str, str]],
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait until every pod that is being started has its mount, or a mount's longest time has passed."""
        reporter = Reporter(on_progress, clock)
        for statuses, left in follow(self._cluster, self._statuses, {}, MOUNT_SECONDS, clock):
            mounted = self._read_versions(statuses.values(), ())
            missing = sorted(pod for uid, pod in find_pods().items() if uid not in mounted)
            if not missing:
                return
            reporter.report(Progress(f"being mounted: {', '.join(missing)}", left))

    def pin(self, versions: Mapping[str, str], rotation_id: str) -> None:
        """Make the class mount these versions until it is unpinned."""
        pin_versions(self._cluster, self._namespace, self._class, versions, rotation_id)
        self.__dict__.pop("_provider", None)

    def unpin(self) -> None:
        """Make the class mount what it did before the pin."""
        unpin_versions(self._cluster, self._namespace, self._class)
        self.__dict__.pop("_provider", None)

    def files(self, workload: Workload, values: Mapping[str, str]) -> Files:
        """Return the files that every pod of the workload must have, in the first container that mounts the class.

        All of a pod's containers mount one and the same volume.
        """
        mounts = [volume for volume in workload.volumes if volume.source == self._class and not volume.sub_path]
        container = mounts[0].container if mounts else ""
        return Files(
            container,
            {
                f"{volume.mount_path}/{file}": self._decode(name, values[name])
                for volume in mounts
                if volume.container == container
                for file, mounted in self._provider.files.items()
                for name in values
                if name.lower() == mounted
            },
        )

    def _expect(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return key -> value of what the synced Secret must hold of the credential; nothing if there is none."""
        if mismatch := self._find_missing_keys(values):
            raise mismatch
        by_name = {name.lower(): self._decode(name, value) for name, value in values.items()}
        keys = self._provider.synced.get(self._secret, {})
        return {key: by_name[name] for key, name in keys.items() if name in by_name}

    def _decode(self, name: str, value: str) -> str:
        """Return what the pods get of a value; one that the class cannot decode never gets there, and stays itself."""
        encoding = self._provider.decoded.get(name.lower())
        with suppress(ValueError):
            return encoding.read(value) if encoding else value
        return value

    def _find_missing_keys(self, secrets: Collection[str]) -> KeyturnError | None:
        if not self._secret:
            return None
        synced = set(self._provider.synced.get(self._secret, {}).values())
        needed = self._needed(secrets)
        missing = [name for name in needed if name.lower() not in synced]
        is_enough = self._is_part and len(missing) < len(needed)
        if not missing or is_enough:
            return None
        return self._mismatch(f"the Secret {self._secret} has no key for {_join(missing)}")

    def _describe_missing(self, missing: Collection[str]) -> str:
        return f"it does not mount {_join(missing)}"

    def _needed(self, secrets: Collection[str]) -> frozenset[str]:
        return self.uses(secrets) or frozenset(secrets)

    def _mismatch(self, seen: str) -> KeyturnError:
        return Conflict(Code.PROVIDER_CLASS_MISMATCH, name=self._label, seen=seen)

    def _read_versions(self, statuses: Iterable[Object], secrets: Collection[str]) -> dict[str, dict[str, str]]:
        """Read SecretProviderClassPodStatus objects. Their owner is the pod: its uid tells pods of one name apart.

        They name objects as the class does; what is returned is named as in `secrets`.
        """
        versions, names = {}, {name.lower(): name for name in secrets}
        for item in statuses:
            status = item.get("status") or {}
            if status.get("secretProviderClassName") != self._class or not status.get("mounted"):
                continue
            owners = item["metadata"].get("ownerReferences") or []
            uid = next((owner["uid"] for owner in owners if owner.get("kind") == "Pod"), "")
            mounted = [(*_parse_id(entry["id"]), entry["version"]) for entry in status.get("objects") or []]
            versions[uid] = {names.get(name.lower(), name): version for name, index, version in mounted if not index}
        return versions


class KeptSecret(CsiSecretsStore):
    """A Secret that the driver keeps for the pods of others: the consumer's own pods mount nothing.

    It is pinned by the class, and written ahead of the driver's poll as every synced Secret is.
    """

    def uses(self, secrets: Collection[str]) -> frozenset[str]:
        """Return which of these secrets the Secret has."""
        kept = set(self._provider.synced.get(self._secret, {}).values())
        return frozenset(name for name in secrets if name.lower() in kept)

    def find_stillness(self) -> KeyturnError | None:
        """Say that no pod mounts the class: the driver updates a Secret only for pods that do."""
        if self._read_versions(self._cluster.get(self._statuses)["items"], ()):
            return None
        name = in_cluster(f"{self._secret} in {self._namespace}", self._consumer.cluster)
        return Refused(Code.NOT_KEPT, name=name, seen=f"no mount of {self._class}")

    def observe(self, secrets: Collection[str], values: Mapping[str, str] | None) -> DeliveryFacts:
        """Look at Secret and pins; the mounts are other pods'."""
        return replace(super().observe(secrets, values), versions={}, unmounted=self.uses(secrets))

    def wait_for_mounts(
        self,
        pods: Mapping[str, str],
        versions: Mapping[str, str],
        timeout_seconds: float,
        on_progress: OnSync = ignore,
        clock: Clock = time.monotonic,
    ) -> SyncProgress:
        """Wait for nothing: the pods have no mount of the class."""
        return SyncProgress("no mounts", timeout_seconds, self._consumer.workload.name, {}, {})

    def wait_for_first_mounts(
        self,
        find_pods: Callable[[], Mapping[str, str]],
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait for nothing: the pods mount nothing. Those that do are consumers, too."""

    def files(self, workload: Workload, values: Mapping[str, str]) -> Files:
        """Return no files: the kubelet brings a Secret's values to files, if any, in its own time."""
        return Files("", {})

    def _describe_missing(self, missing: Collection[str]) -> str:
        return f"it syncs no {_join(missing)} to the Secret {self._secret}"


def _parse_id(text: str) -> tuple[str, int]:
    """Return the vault's object, and which of its versions it is: `secret/NAME`, or `secret/NAME/0` for the newest.

    https://github.com/Azure/secrets-store-csi-driver-provider-azure/blob/v1.8.2/pkg/provider/types/parameters.go
    """
    _, name, *index = text.split("/")
    return name, int(index[0]) if index else 0


def _describe_mount(pod: str, versions: Mapping[str, str] | None, wanted: Mapping[str, str]) -> str:
    if versions is None:
        return f"{pod} has mounted nothing"
    behind = [name for name, version in sorted(wanted.items()) if versions.get(name) != version]
    late = ", ".join(f"{name} at {versions.get(name, 'none')[:8]}" for name in behind)
    return f"{pod} has {len(wanted) - len(behind)} of {len(wanted)} new versions, {late or 'none behind'}"


def _join(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
