"""Kubernetes Secrets that a delivery keeps: compared, waited for and written, without a value leaving this process.

`expected` is key -> value, and `digests` are key -> keyed digest, which may be remembered. Data alone counts as
evidence: events and resourceVersions prove nothing, since the CSI driver rewrites unchanged Secrets.

    SyncedSecret(cluster, "dexter", "userpass").wait_for(seal({"PASSWORD": "..."}), timeout_seconds=60)

https://secrets-store-csi-driver.sigs.k8s.io/topics/secret-auto-rotation
"""

import base64
import binascii
import hmac
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from infra.credentials import ClusterRef, in_cluster
from infra.errors import NotFound, SyncPending
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.deliveries.port import Sealed, SecretState
from infra.kubernetes.errors import Expired
from infra.kubernetes.waiting import Clock, OnProgress, Progress, Reporter, follow, ignore

MANAGED_LABEL = "secrets-store.csi.k8s.io/managed"
SYNC_FIX = (
    "See whether the add-on's rotation is enabled and its poll interval is below the timeout, and look at the pods' "
    "events; then run again, or use the express sync"
)
_REPLAY_SECONDS = 5.0
_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class SyncedSecretFacts:
    """A Secret without its values.

    Args:
        name: its name.
        managed: whether the CSI driver made it.
        sizes: key -> length of the value in bytes.
    """

    name: str
    managed: bool
    sizes: Mapping[str, int]


class SyncedSecret:
    """A Kubernetes Secret that a delivery keeps equal to the vault.

    Args:
        cluster: where it is.
        namespace: its namespace.
        name: its name.
        place: the cluster as messages name it, if that is not the credential's own.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str, place: ClusterRef | None = None) -> None:
        self._cluster = cluster
        self._collection = f"/api/v1/namespaces/{namespace}/secrets"
        self._path, self._query = f"{self._collection}/{name}", {"fieldSelector": f"metadata.name={name}"}
        self._label = in_cluster(f"{name} in {namespace}", place)

    def get(self) -> SyncedSecretFacts:
        """Return its keys and the lengths of their values.

        Raises:
            NotFound: it does not exist: the driver makes it when the first pod mounts the class.
        """
        secret = self._cluster.get(self._path)
        labels = secret["metadata"].get("labels") or {}
        sizes = {key: len(_decode(value)) for key, value in sorted((secret.get("data") or {}).items())}
        return SyncedSecretFacts(secret["metadata"]["name"], labels.get(MANAGED_LABEL) == "true", sizes)

    def find_differing_keys(self, expected: Mapping[str, str]) -> list[str] | None:
        """Name the keys whose values differ, missing ones included; None if the Secret does not exist."""
        secret = self._cluster.find(self._path)
        return None if secret is None else _list_differing(secret, seal(expected))

    def find_version(self) -> str:
        """Return the resourceVersion; empty if it does not exist."""
        secret = self._cluster.find(self._path)
        return "" if secret is None else str(secret["metadata"]["resourceVersion"])

    def version_that_holds(self, digests: Mapping[str, bytes]) -> str:
        """Return the resourceVersion if it has the values; empty if it has others or does not exist."""
        secret = self._cluster.find(self._path)
        if secret is None or _list_differing(secret, digests):
            return ""
        return str(secret["metadata"]["resourceVersion"])

    def held_others_since(self, digests: Mapping[str, bytes], version: str) -> bool:
        """Say whether it had other values at any time after one of its versions.

        Different versions alone prove nothing: the driver also writes who uses the Secret. So the changes are
        replayed; if the API server has forgotten them, they count as others.
        """
        last = self.version_that_holds(digests)
        if not last:
            return True
        if last == version:
            return False
        try:
            for event in self._cluster.watch(self._collection, self._query, version, _REPLAY_SECONDS):
                if event["type"] == "BOOKMARK":
                    continue
                if event["type"] == "DELETED" or _list_differing(event["object"], digests):
                    return True
                if event["object"]["metadata"]["resourceVersion"] == last:
                    return False
        except Expired:
            pass
        return True

    def wait_for(
        self,
        digests: Mapping[str, bytes],
        timeout_seconds: float,
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait until it has the values.

        Raises:
            SyncPending: it timed out; says which keys differed, never how.
        """
        reporter, seen = Reporter(on_progress, clock), "nothing"
        for found, left in follow(self._cluster, self._collection, self._query, timeout_seconds, clock):
            secret = next(iter(found.values()), None)
            differing = _list_differing(secret, digests) if secret else sorted(digests)
            if not differing:
                return
            seen = f"still the old values: {', '.join(differing)}" if secret else "the Secret does not exist"
            reporter.report(Progress(seen, left))
        what = f"The Secret did not get the new values within {timeout_seconds:.0f} s"
        raise SyncPending(what, name=self._label, seen=seen, fix=SYNC_FIX)

    def update(self, values: Mapping[str, str]) -> bool:
        """Write values into it, ahead of the driver's own poll; its other keys stay.

        Deleting it would not help while a pod has the class mounted: the driver makes an absent Secret from any mount
        that it checks again, and that mount may be old. What is written here stays: up to 1.5 only the poll changes an
        existing Secret, from 1.6 a new mount does so too, and both bring the newest values.

        Returns:
            Whether the Secret exists; an absent one is made by the next mount.
        """
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        try:
            self._cluster.patch(self._path, {"data": data})
        except NotFound:
            return False
        return True


class WithSecret(ABC):
    """The part of a delivery that is about its Secret; the port documents the methods."""

    _synced: SyncedSecret | None
    """The Secret; None: the delivery has none."""

    @abstractmethod
    def _expect(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return key -> value of what the Secret must hold of the credential."""

    def refresh(self, values: Mapping[str, str]) -> SecretState:
        """Write the values into a stale Secret, ahead of the delivery's own poll."""
        state = self._compare(values)
        if self._synced and state is SecretState.OTHER and not self._synced.update(self._expect(values)):
            return SecretState.ABSENT
        return state

    def secret_version(self) -> str:
        """Return the Secret's resourceVersion, whatever it holds."""
        return self._synced.find_version() if self._synced else ""

    def seal(self, values: Mapping[str, str]) -> Sealed:
        """Return the digests of what the Secret must hold."""
        return (seal(self._expect(values)),) if self._synced else ()

    def version_that_holds(self, sealed: Sealed) -> str:
        """Return the Secret's resourceVersion if it holds the values."""
        return self._synced.version_that_holds(sealed[0]) if self._synced else ""

    def held_others_since(self, sealed: Sealed, version: str) -> bool:
        """Say whether the Secret held other values at any time after one of its resourceVersions.

        A driver that fetched the old values before the new ones were published may write them just then, and correct
        itself with its next poll: a pod that started in between has the old values, and nothing shows it.
        """
        return bool(self._synced and self._synced.held_others_since(sealed[0], version))

    def _compare(self, values: Mapping[str, str] | None) -> SecretState:
        if self._synced is None:
            return SecretState.NONE
        differing = self._synced.find_differing_keys({} if values is None else self._expect(values))
        if differing is None:
            return SecretState.ABSENT
        return SecretState.OTHER if differing or values is None else SecretState.CURRENT


def seal(expected: Mapping[str, str]) -> dict[str, bytes]:
    """Return key -> digest of the values, by a key that only this process has."""
    return {key: _digest(value.encode()) for key, value in expected.items()}


def _digest(value: bytes) -> bytes:
    return hmac.digest(_KEY, value, "sha256")


def _list_differing(secret: Object, digests: Mapping[str, bytes]) -> list[str]:
    """Name the keys whose values differ; all are compared, each in constant time."""
    data = secret.get("data") or {}
    equal = {key: hmac.compare_digest(_digest(_decode(data.get(key))), digests[key]) for key in digests}
    return [key for key in sorted(digests) if key not in data or not equal[key]]


def _decode(value: str | None) -> bytes:
    try:
        return base64.b64decode(value or "", validate=True)
    except binascii.Error:
        return b""
