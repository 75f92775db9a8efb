"""External Secrets Operator as a delivery: an ExternalSecret, its status, and the Secret that it keeps.

The operator reads one reference after the other, each by its newest version unless it names one, and reconciles an
ExternalSecret in one place at a time. So what it has synced of a generation says that no earlier read is under way.

https://external-secrets.io/latest/api/externalsecret/
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property

from infra.credentials import Consumer, in_cluster
from infra.errors import Code, Conflict, KeyturnError, NotFound, Refused, SyncPending
from infra.kubernetes.access import Rehearsal
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.deliveries.operator_objects import (
    ExternalSecret,
    find_api,
    read_external_secret,
    read_vault,
    refs_of,
    with_versions,
)
from infra.kubernetes.deliveries.port import DeliveryFacts, OnSync, Sealed, SecretState, SyncProgress
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret, WithSecret
from infra.kubernetes.pods import Files
from infra.kubernetes.waiting import Clock, OnProgress, Progress, Reporter, follow, ignore
from infra.kubernetes.workloads import Workload

FORCE_SYNC = "force-sync"
"""Annotation: any change of it lets the operator sync at once."""
UNPINNED_REFS = "keyturn/unpinned-refs"
"""Annotation: `data` and `dataFrom` as they were before the pin."""
SYNC_SECONDS = 120.0
"""The longest that a sync which was asked for may take."""
_FIX = "See the ExternalSecret's status and events, and the operator's log; then run again"
_OWNERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Annotation or label -> the tool that keeps what has it equal to a repository."""


class ExternalSecrets(WithSecret):
    """A consumer's delivery by External Secrets Operator; its port documents the methods.

    Args:
        cluster: where the consumer is.
        consumer: the workload, and this one delivery.
        is_part: whether the consumer has other deliveries, too; then this one need not bring everything.
    """

    def __init__(self, cluster: Cluster, consumer: Consumer, *, is_part: bool = False) -> None:
        self._cluster, self._consumer, self._is_part = cluster, consumer, is_part
        self._namespace, (delivery,) = consumer.workload.namespace, consumer.every_delivery
        self._name, self._secret = delivery.source.rpartition("/")[2], delivery.secret_name
        self._label = in_cluster(f"ExternalSecret {self._name} in {self._namespace}", consumer.cluster)
        self._synced: SyncedSecret = SyncedSecret(cluster, self._namespace, self._secret, consumer.cluster)

    def get(self) -> ExternalSecret:
        """Return the ExternalSecret as it is now.

        Raises:
            NotFound: it does not exist, or the cluster has no such operator.
        """
        return read_external_secret(self._cluster.get(self._path))

    def uses(self, secrets: Collection[str]) -> frozenset[str]:
        """Return which of these secrets it reads; the vault does not count the case of their names."""
        read = self.get().secrets
        return frozenset(name for name in secrets if name.lower() in read)

    def find_mismatch(self, vault: str, secrets: Collection[str]) -> KeyturnError | None:
        """Say what keeps it from bringing the secrets of a vault to the consumer."""
        found, used = self.get(), self.uses(secrets)
        read = self._find_vault(found)
        if read.lower() != vault.lower():
            return self._mismatch(f"its store reads the vault '{read}'")
        if found.target != self._secret:
            return self._mismatch(f"it keeps the Secret {found.target}, not {self._secret}")
        if found.item["spec"].get("refreshPolicy") == "CreatedOnce":
            return self._mismatch("its refreshPolicy is CreatedOnce, so its Secret never changes")
        if ((found.item["spec"].get("target") or {}).get("template") or {}).get("data"):
            return self._mismatch("its target has a template, so nothing says what its Secret must hold")
        if not found.pinned_for and (pinned := sorted(name for name in used if name.lower() in found.pins)):
            return self._mismatch(f"it names a version of {', '.join(pinned)} (remoteRef.version)")
        needs_all = self._consumer.is_database and not self._is_part
        missing = frozenset(secrets) - used if needs_all or not used else ()
        return self._mismatch(f"it does not read {', '.join(sorted(missing))}") if missing else None

    def find_stillness(self) -> KeyturnError | None:
        """Say that it is not ready, or that it does not look for new versions by itself."""
        found = self.get()
        spec, seen = found.item["spec"], found.complaint
        if not seen and spec.get("refreshPolicy") == "OnChange":
            seen = "its refreshPolicy is OnChange"
        if not seen and not any(digit in "123456789" for digit in str(spec.get("refreshInterval") or "1h")):
            seen = "its refreshInterval is 0"
        fix = "Give it a refreshInterval, or use the express sync; if it is not ready, do what its status says"
        return Refused(Code.NOT_KEPT, name=self._label, seen=seen, fix=fix) if seen else None

    def find_pin_objection(self) -> KeyturnError | None:
        """Say that something else keeps the object as it is: it would take the versions out again."""
        metadata = self.get().item["metadata"]
        tags = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
        owners = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or []]
        owners += [f"{tool} ({tag})" for tag, tool in _OWNERS.items() if tag in tags]
        return Refused(Code.PIN_UNDONE, name=self._label, seen=f"kept by {', '.join(owners)}") if owners else None

    def observe(self, secrets: Collection[str], values: Mapping[str, str] | None) -> DeliveryFacts:
        """Look at the Secret and the versions that are named."""
        found, uses = self.get(), self.uses(secrets)
        pins = found.pins
        return DeliveryFacts(
            uses=uses,
            versions={},
            secret=self._compare(values),
            pinned_for=found.pinned_for,
            pinned={name: pins[name.lower()] for name in uses if name.lower() in pins},
            unmounted=uses,
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
        """Wait until the Secret holds the values, which the operator brings in its own time."""
        deadline = clock() + timeout_seconds
        progress = SyncProgress("the new values", 0.0, self._secret, {}, {})

        def report(seen: Progress) -> None:
            on_progress(replace(progress, **vars(seen)))

        self._wait_for_secret(sealed, timeout_seconds, report, clock)
        on_progress(replace(progress, left_seconds=max(0.0, deadline - clock()), secret_is_current=True))

    def wait_for_first_mounts(
        self,
        find_pods: Callable[[], Mapping[str, str]],
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait until the operator has synced the object as it was pinned: what it read before is over then.

        Raises:
            SyncPending: it timed out; says what the operator says.
        """
        reporter, seen = Reporter(on_progress, clock), "the ExternalSecret does not exist"
        query = {"fieldSelector": f"metadata.name={self._name}"}
        for items, left in follow(self._cluster, self._collection, query, SYNC_SECONDS, clock):
            for item in items.values():
                found = read_external_secret(item)
                if found.has_synced_this:
                    return
                seen = found.complaint or "an earlier generation is synced"
            reporter.report(Progress(seen, left))
        raise SyncPending("The operator did not sync the pinned versions", name=self._label, seen=seen, fix=_FIX)

    def refresh(self, values: Mapping[str, str]) -> SecretState:
        """Let the operator sync at once if the Secret does not hold the values, and wait until it does.

        Raises:
            SyncPending: it timed out; says what the operator says.
        """
        state = self._compare(values)
        if state is not SecretState.CURRENT:
            metadata = self.get().item["metadata"]
            mark = f"keyturn-{metadata['resourceVersion']}"
            self._cluster.patch(self._path, {"metadata": {"annotations": {FORCE_SYNC: mark}}})
            if not isinstance(self._cluster, Rehearsal):
                self._wait_for_secret(self.seal(values), SYNC_SECONDS)
        return state

    def pin(self, versions: Mapping[str, str], rotation_id: str) -> None:
        """Name these versions in the references."""
        wanted = {name.lower(): version for name, version in versions.items()}

        def change(item: Object) -> Object | None:
            pinned = with_versions(item, wanted)
            annotations = item["metadata"].get("annotations") or {}
            if annotations.get(PINNED_FOR) == rotation_id and pinned == refs_of(item):
                return None
            before = annotations.get(UNPINNED_REFS) or json.dumps(refs_of(item))
            return {"metadata": {"annotations": {PINNED_FOR: rotation_id, UNPINNED_REFS: before}}, "spec": pinned}

        self._cluster.change(self._path, change)

    def unpin(self) -> None:
        """Name the versions that were named before, which is none; what else was changed since stays."""

        def change(item: Object) -> Object | None:
            annotations = item["metadata"].get("annotations") or {}
            if PINNED_FOR not in annotations and UNPINNED_REFS not in annotations:
                return None
            before = {**item, "spec": json.loads(annotations.get(UNPINNED_REFS) or "{}")}
            versions = read_external_secret(before).pins
            names = read_external_secret(item).secrets
            unpinned = with_versions(item, {name: versions.get(name, "") for name in names})
            return {"metadata": {"annotations": {PINNED_FOR: None, UNPINNED_REFS: None}}, "spec": unpinned}

        self._cluster.change(self._path, change)

    def files(self, workload: Workload, values: Mapping[str, str]) -> Files:
        """Return no files: the kubelet brings a Secret's values to files, if any, in its own time."""
        return Files("", {})

    @cached_property
    def _api(self) -> str:
        api = find_api(self._cluster)
        if api is None:
            fix = "Install External Secrets Operator, or give the consumer another delivery"
            raise NotFound("The cluster has no External Secrets Operator", name=self._label, fix=fix)
        return api

    @property
    def _collection(self) -> str:
        return f"{self._api}/namespaces/{self._namespace}/externalsecrets"

    @property
    def _path(self) -> str:
        return f"{self._collection}/{self._name}"

    def _find_vault(self, found: ExternalSecret) -> str:
        reference = found.item["spec"].get("secretStoreRef") or {}
        is_own = (reference.get("kind") or "SecretStore") == "SecretStore"
        where = f"/namespaces/{self._namespace}/secretstores" if is_own else "/clustersecretstores"
        return read_vault(self._cluster.get(f"{self._api}{where}/{reference.get('name', '')}"))

    def _expect(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return key -> value of what the Secret must hold of the credential."""
        by_name, expected = {name.lower(): value for name, value in values.items()}, dict[str, str]()
        for reference in self.get().references:
            if reference.secret in by_name:
                expected |= reference.pick(by_name[reference.secret])
        return expected

    def _wait_for_secret(
        self,
        sealed: Sealed,
        timeout_seconds: float,
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        try:
            self._synced.wait_for(sealed[0], max(1.0, timeout_seconds), on_progress, clock)
        except SyncPending as error:
            seen = "; ".join(filter(None, (error.seen, self.get().complaint)))
            raise SyncPending(error.what, name=error.name, seen=seen, fix=_FIX) from None

    def _mismatch(self, seen: str) -> KeyturnError:
        return Conflict(Code.EXTERNAL_SECRET_MISMATCH, name=self._label, seen=seen)
