"""Several deliveries of one consumer as one: pinned, waited for and refreshed together.

One class may bring the username and another the password. Each has its own poll, so only together do they prove that a
pod has the new login and no mix of two.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import reduce

from infra.credentials import Consumer
from infra.errors import Code, Conflict, KeyturnError
from infra.kubernetes.deliveries.port import DeliveryFacts, DeliveryHandle, OnSync, Sealed, SecretState, SyncProgress
from infra.kubernetes.pods import Files
from infra.kubernetes.waiting import Clock, OnProgress, ignore
from infra.kubernetes.workloads import Workload

_WORST_FIRST = (SecretState.OTHER, SecretState.ABSENT, SecretState.CURRENT, SecretState.NONE)
_NOBODY = "nobody"
"""Stands for the rotation that pinned a part which is not pinned, where another part is."""


class SeveralDeliveries:
    """All deliveries of one consumer; the port documents the methods.

    Args:
        consumer: the workload.
        parts: each delivery, and whether it has a Secret, in the order of the inventory.
    """

    def __init__(self, consumer: Consumer, parts: Sequence[tuple[DeliveryHandle, bool]]) -> None:
        self._consumer = consumer
        self._parts = [part for part, _ in parts]
        self._with_secret = [part for part, has_secret in parts if has_secret]

    def uses(self, secrets: Collection[str]) -> frozenset[str]:
        """Return which of these secrets they bring together."""
        return frozenset[str]().union(*(part.uses(secrets) for part in self._parts))

    def find_mismatch(self, vault: str, secrets: Collection[str]) -> KeyturnError | None:
        """Return what is wrong with the first that does not fit; the database needs all secrets of them together."""
        for part in self._parts:
            if mismatch := part.find_mismatch(vault, secrets):
                return mismatch
        missing = frozenset(secrets) - self.uses(secrets) if self._consumer.is_database else ()
        if not missing:
            return None
        seen = f"{self._consumer.source_key} bring no {', '.join(sorted(missing))}"
        return Conflict(Code.PROVIDER_CLASS_MISMATCH, name=self._consumer.key, seen=seen)

    def find_stillness(self) -> KeyturnError | None:
        """Return why the first Secret that does not follow the vault by itself does not."""
        return next(filter(None, (part.find_stillness() for part in self._parts)), None)

    def find_pin_objection(self) -> KeyturnError | None:
        """Return why the first pin that would not last does not."""
        return next(filter(None, (part.find_pin_objection() for part in self._parts)), None)

    def observe(self, secrets: Collection[str], values: Mapping[str, str] | None) -> DeliveryFacts:
        """Look at each, and return what holds of them together."""
        return reduce(_merge, (part.observe(secrets, values) for part in self._parts))

    def wait_until_current(
        self,
        pods: Mapping[str, str],
        versions: Mapping[str, str],
        sealed: Sealed,
        timeout_seconds: float,
        on_progress: OnSync = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait for one after the other, all within one timeout: what is current stays so."""
        deadline = clock() + timeout_seconds

        def report(progress: SyncProgress) -> None:
            on_progress(replace(progress, secret_is_current=False))

        own = iter(sealed)
        for part in self._parts:
            is_last = part is self._parts[-1]
            left = max(1.0, deadline - clock())
            digests = (next(own),) if part in self._with_secret else ()
            part.wait_until_current(pods, versions, digests, left, on_progress if is_last else report, clock)

    def wait_for_first_mounts(
        self,
        find_pods: Callable[[], Mapping[str, str]],
        on_progress: OnProgress = ignore,
        clock: Clock = time.monotonic,
    ) -> None:
        """Wait for the first mounts of each."""
        for part in self._parts:
            part.wait_for_first_mounts(find_pods, on_progress, clock)

    def refresh(self, values: Mapping[str, str]) -> SecretState:
        """Refresh each, and return the worst of what was held before."""
        return min((part.refresh(values) for part in self._parts), key=_WORST_FIRST.index)

    def secret_version(self) -> str:
        """Return the versions of all their Secrets, if none is absent."""
        found = [part.secret_version() for part in self._with_secret]
        return ",".join(found) if all(found) else ""

    def seal(self, values: Mapping[str, str]) -> Sealed:
        """Return the digests of what each of their Secrets must hold."""
        return tuple(digests for part in self._with_secret for digests in part.seal(values))

    def version_that_holds(self, sealed: Sealed) -> str:
        """Return the versions of all their Secrets, if each holds its values."""
        found = [part.version_that_holds((own,)) for part, own in zip(self._with_secret, sealed, strict=True)]
        return ",".join(found) if all(found) else ""

    def held_others_since(self, sealed: Sealed, version: str) -> bool:
        """Say whether one of their Secrets held others since its version."""
        before = version.split(",")
        if len(before) != len(self._with_secret):
            return True
        return any(
            part.held_others_since((own,), since)
            for part, own, since in zip(self._with_secret, sealed, before, strict=True)
        )

    def pin(self, versions: Mapping[str, str], rotation_id: str) -> None:
        """Pin each."""
        for part in self._parts:
            part.pin(versions, rotation_id)

    def unpin(self) -> None:
        """Unpin each."""
        for part in self._parts:
            part.unpin()

    def files(self, workload: Workload, values: Mapping[str, str]) -> Files:
        """Return the files of all of them in the container that has the first one's."""
        found = [files for part in self._parts if (files := part.files(workload, values)).values]
        if not found:
            return Files("", {})
        container = found[0].container
        same = [files.values for files in found if files.container == container]
        return Files(container, {path: value for values in same for path, value in values.items()})


def _merge(left: DeliveryFacts, right: DeliveryFacts) -> DeliveryFacts:
    uids, uses = {*left.versions, *right.versions}, left.uses | right.uses
    mounted = (left.uses - left.unmounted) | (right.uses - right.unmounted)
    return DeliveryFacts(
        uses=uses,
        versions={uid: _agreed(left.versions.get(uid, {}), right.versions.get(uid, {})) for uid in uids},
        secret=min(left.secret, right.secret, key=_WORST_FIRST.index),
        pinned_for=_merge_pins(left.pinned_for, right.pinned_for),
        pinned=_agreed(left.pinned, right.pinned),
        unmounted=uses - mounted,
        decoded={**left.decoded, **right.decoded},
    )


def _agreed(left: Mapping[str, str], right: Mapping[str, str]) -> dict[str, str]:
    """Return secret -> version of both; what two parts have in different versions counts as none."""
    both = {**left, **right}
    return {name: version for name, version in both.items() if left.get(name, version) == version}


def _merge_pins(left: str, right: str) -> str:
    """Return the rotation that pinned both; if only one is pinned, something that no rotation is called."""
    return left if left == right else f"{left or _NOBODY} and {right or _NOBODY}"
