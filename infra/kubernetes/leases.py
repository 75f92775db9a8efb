"""Locks as Kubernetes Leases: one holder, renewed while it lives, free when it is dead.

Who holds says where it runs: a holder whose process is gone from this very machine is dead at once; any other
one when its lease has run out. Times are compared only with those of the same reader, so clocks may differ.
https://kubernetes.io/docs/concepts/architecture/leases/
"""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.errors import Conflict, KeyturnError, NotFound
from infra.kubernetes.client import Cluster, Object

DURATION_SECONDS = 15
_POLL_SECONDS = 0.5
_PURPOSE = "keyturn/purpose"


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Args:
        purpose: for what, as the rotation's id; people read it.
        machine: a digest of host, boot and process namespace.
        process: number and start of the process, as "4711.8833".
        host: the host's name; people read it.
    """

    purpose: str
    machine: str
    process: str
    host: str

    @classmethod
    def of_this_process(cls, purpose: str) -> "Holder":
        """Who we are."""
        return cls(purpose, _machine(), _process(os.getpid()), socket.gethostname())

    @property
    def identity(self) -> str:
        """The lease's holderIdentity."""
        return f"{self.host}/{self.machine}/{self.process}"

    def is_gone(self, identity: str) -> bool:
        """Whether `identity` was a process of this machine and has ended; False also when nobody can know."""
        _, _, rest = identity.partition("/")
        machine, _, process = rest.partition("/")
        number = process.partition(".")[0]
        return machine == self.machine and number.isdigit() and _process(int(number)) != process


def _machine() -> str:
    parts = [socket.gethostname()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _process(number: int) -> str:
    """Number and start time of a process; empty when there is none, zombies included."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else f"{number}.{fields[19]}"


@contextmanager
def locked(
    cluster: Cluster,
    namespace: str,
    name: str,
    holder: Holder,
    duration_seconds: int = DURATION_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator["Lock"]:
    """Hold a lock for a block and renew it from a thread of its own meanwhile.

    Raises:
        Conflict: somebody else holds it and lives (code Locked).
    """
    lock = Lock(cluster, namespace, name, holder, duration_seconds, clock)
    lock.acquire()
    stopped = threading.Event()
    keeper = threading.Thread(target=lock.keep, args=(stopped,), name=f"lease {name}", daemon=True)
    keeper.start()
    try:
        yield lock
    finally:
        stopped.set()
        keeper.join()
        with suppress(KeyturnError):
            lock.release()


class Lock:
    """One lease, as one holder uses it.

    Args:
        cluster: where the lease is.
        namespace: its namespace.
        name: its name.
        holder: who we are.
        duration_seconds: after how long without renewal others may take it.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        holder: Holder,
        duration_seconds: int = DURATION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._holder, self._clock = cluster, holder, clock
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace, self._name, self._duration = namespace, name, duration_seconds
        self._path = f"{self._collection}/{name}"

    def acquire(self, pause: Callable[[float], object] | None = None) -> None:
        """Take the lock; a holder that shows no sign of life is waited out for the lease's duration.

        Args:
            pause: what lies between two looks.

        Raises:
            Conflict: it is held and renewed by somebody else; says by whom, since when, and how to break it.
        """
        pause = pause or threading.Event().wait
        seen, since = "", self._clock()
        while True:
            lease = self._cluster.find(self._path)
            if lease is None or self._is_free(lease):
                with suppress(_Raced):
                    return self._take(lease)
                continue
            renewed = str(lease["spec"].get("renewTime", "")) + str(lease["metadata"]["resourceVersion"])
            if seen and renewed != seen:
                raise self._held(lease)
            seen = renewed
            if self._clock() - since > (lease["spec"].get("leaseDurationSeconds") or self._duration):
                with suppress(_Raced):
                    return self._take(lease)
            pause(_POLL_SECONDS)

    def confirm(self) -> None:
        """Renew the lock, before anything is written.

        Raises:
            Conflict: somebody else took it: whatever is under way must stop (code LockLost).
        """
        lease = self._cluster.find(self._path)
        if lease is None or lease["spec"].get("holderIdentity") != self._holder.identity:
            raise Conflict(
                "The lock was taken over by somebody else",
                name=f"lease {self._name} in {self._namespace}",
                seen=(lease or {}).get("spec", {}).get("holderIdentity") or "no holder",
                fix="see who runs a rotation of the same credential; run again when it has ended",
                code="LockLost",
            )
        with suppress(_Raced):
            self._write(lease, self._holder.identity, lease["spec"].get("acquireTime"))

    def keep(self, stopped: threading.Event) -> None:
        """Renew every third of the duration until told to stop; a lock that is lost is noticed by `confirm`."""
        while not stopped.wait(self._duration / 3):
            with suppress(KeyturnError):
                self.confirm()

    def release(self) -> None:
        """Give the lock back if it is still ours."""
        lease = self._cluster.find(self._path)
        if lease and lease["spec"].get("holderIdentity") == self._holder.identity:
            with suppress(_Raced):
                self._write(lease, "", None)

    def _is_free(self, lease: Object) -> bool:
        identity = lease["spec"].get("holderIdentity") or ""
        return identity in ("", self._holder.identity) or self._holder.is_gone(identity)

    def _take(self, lease: Object | None) -> None:
        self._write(lease, self._holder.identity, _now())

    def _write(self, lease: Object | None, identity: str, acquired: str | None) -> None:
        metadata: Object = {"name": self._name, "namespace": self._namespace}
        metadata["annotations"] = {_PURPOSE: self._holder.purpose}
        if lease:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        spec: Object = {
            "holderIdentity": identity,
            "leaseDurationSeconds": self._duration,
            "acquireTime": acquired,
            "renewTime": _now(),
        }
        body: Object = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            if lease is None:
                self._cluster.request("POST", self._collection, body=body)
                return
        except Conflict:
            raise _Raced from None
        try:
            self._cluster.request("PUT", self._path, body=body)
        except (Conflict, NotFound):
            raise _Raced from None

    def _held(self, lease: Object) -> Conflict:
        spec, annotations = lease["spec"], lease["metadata"].get("annotations") or {}
        return Conflict(
            "Another rotation of this credential is under way",
            name=f"lease {self._name} in {self._namespace}",
            seen=f"held by {spec.get('holderIdentity')} for rotation {annotations.get(_PURPOSE, 'unknown')} "
            f"since {spec.get('acquireTime')}",
            fix="wait until it ends. If nobody runs it any more the lock falls free by itself after "
            f"{spec.get('leaseDurationSeconds')} s; to break it: "
            f"kubectl delete lease {self._name} -n {self._namespace}",
            code="Locked",
        )


class _Raced(Exception):
    """Somebody wrote the lease between our look and our write: look again."""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
