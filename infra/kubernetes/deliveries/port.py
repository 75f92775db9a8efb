"""The port that every delivery implements, and the facts that it speaks in: names, versions and states, no values."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from infra.credentials import Encoding
from infra.errors import KeyturnError
from infra.kubernetes.pods import Files
from infra.kubernetes.waiting import Clock, OnProgress, Progress, ignore
from infra.kubernetes.workloads import Workload

Sealed = tuple[Mapping[str, bytes], ...]
"""What each of a delivery's Secrets must hold, by key, as digests that no other process can compare or try to guess."""


class SecretState(StrEnum):
    """What a synced Secret holds, compared in memory with given values."""

    NONE = "no Secret"
    ABSENT = "absent"
    CURRENT = "the given values"
    OTHER = "something else"


@dataclass(frozen=True)
class DeliveryFacts:
    """A delivery at one moment.

    Args:
        uses: which of the credential's secrets it brings.
        versions: pod uid -> secret -> version in the pod's mount; a pod without a report is missing.
        secret: what the synced Secret holds.
        pinned_for: the rotation that pinned its versions; empty: none.
        pinned: secret -> version that mounts are pinned to now: somebody else may have taken a rotation's pins away.
        unmounted: those of the secrets that it uses which no mount of the pods brings: a Secret alone does.
        decoded: secret -> encoding, of those that it decodes on the way to the pods.
    """

    uses: frozenset[str]
    versions: Mapping[str, Mapping[str, str]]
    secret: SecretState
    pinned_for: str
    pinned: Mapping[str, str]
    unmounted: frozenset[str] = frozenset()
    decoded: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True)
class SyncProgress(Progress):
    """How far a sync is.

    Args:
        subject: whose progress it is: the workload, while its pods mount; then the synced Secret.
        versions: pod uid -> secret -> version in the pod's mount.
        wanted: secret -> version that every pod must have.
        secret_is_current: whether the synced Secret, if there is one, holds the new values; False until the mounts are
            current.
    """

    subject: str
    versions: Mapping[str, Mapping[str, str]]
    wanted: Mapping[str, str]
    secret_is_current: bool = False


OnSync = Callable[[SyncProgress], None]


class DeliveryHandle(Protocol):
    """How the vault's secrets get to one consumer's pods.

    Secrets are named as in the vault, and `values` is secret -> value of all of the credential's secrets: each
    delivery knows by itself which of them it brings, and where. Errors name the object that is wrong.
    """

    def uses(self, secrets: Collection[str]) -> frozenset[str]:
        """Return which of these secrets it brings.

        Raises:
            NotFound: the object that describes the delivery does not exist.
        """
        ...

    def find_mismatch(self, vault: str, secrets: Collection[str]) -> KeyturnError | None:
        """Say what keeps it from bringing the secrets of a vault to the consumer; None if it fits.

        The database needs all of them. A client may use some; its synced Secret must have what its mount has.

        Raises:
            NotFound: the object that describes the delivery does not exist.
        """
        ...

    def find_stillness(self) -> KeyturnError | None:
        """Say why its Secret would not follow the vault by itself; None if it does, or if it has mounts of its own."""
        ...

    def find_pin_objection(self) -> KeyturnError | None:
        """Say why a pin would not last; None if it does."""
        ...

    def observe(self, secrets: Collection[str], values: Mapping[str, str] | None) -> DeliveryFacts:
        """Look at mounts, synced Secret and pins.

        Args:
            secrets: the credential's secrets.
            values: what the synced Secret is compared with; None: nothing, so an existing one holds something else.

        Raises:
            NotFound: the object that describes the delivery does not exist.
        """
        ...

    def wait_until_current(
        self,
        pods: Mapping[str, str],
        versions: Mapping[str, str],
        sealed: Sealed,
        timeout_seconds: float,
        on_progress: OnSync = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait until every pod has the versions it uses, then until the synced Secret holds the values.

        Args:
            pods: uid -> name: a later pod of the same name is another pod.
            versions: secret -> version.
            sealed: what the Secret must hold.
            timeout_seconds: bound on the whole wait; the Secret has at least a second of it.
            on_progress: called on each change, every few seconds without one, and when each of the two is current.
            clock: measures the timeout.

        Raises:
            SyncPending: it timed out; says what was seen last.
        """
        ...

    def wait_for_first_mounts(
        self,
        find_pods: Callable[[], Mapping[str, str]],
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait until every pod that is being started has its mount.

        Such a mount may have begun before versions were pinned, and then it reads the newest of each secret. It cannot
        last longer than its bound: what begins anew after that is pinned. So the wait ends then without an error.

        Args:
            find_pods: returns uid -> name of the pods that have a node now.
            on_progress: called on each change, and every few seconds without one.
            clock: measures the bound.
        """
        ...

    def refresh(self, values: Mapping[str, str]) -> SecretState:
        """Write the values into a stale synced Secret, ahead of the delivery's own poll.

        Returns:
            What the Secret held before. An absent one is left to the next mount.
        """
        ...

    def secret_version(self) -> str:
        """Return the synced Secret's resourceVersion, whatever it holds; empty if it is absent, or if there is none."""
        ...

    def seal(self, values: Mapping[str, str]) -> Sealed:
        """Return what the synced Secret must hold for these values, in a form that may outlive them."""
        ...

    def version_that_holds(self, sealed: Sealed) -> str:
        """Return the synced Secret's resourceVersion if it holds the values; empty if not, or if it is absent."""
        ...

    def held_others_since(self, sealed: Sealed, version: str) -> bool:
        """Say whether the synced Secret held other values at any time after one of its resourceVersions."""
        ...

    def pin(self, versions: Mapping[str, str], rotation_id: str) -> None:
        """Make mounts read these versions, secret -> version, until they are unpinned; other secrets stay.

        Raises:
            NotFound: the object that describes the delivery does not exist.
            Conflict: somebody else keeps changing it.
        """
        ...

    def unpin(self) -> None:
        """Make mounts read what they did before the pin. Nothing happens without one. Raises as `pin`."""
        ...

    def files(self, workload: Workload, values: Mapping[str, str]) -> Files:
        """Return the files that every pod of the workload must have, in one of its containers."""
        ...
