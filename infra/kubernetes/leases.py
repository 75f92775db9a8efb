"""Locks as Kubernetes Leases: one holder, who renews it while alive; free once the holder is dead.

A holder's identity says where it runs: a holder whose process has ended on this very machine is dead at once, any
other when its lease has expired. Times are compared only with those of the same reader, so clocks may differ. Each
`Holder` that is made is another one, so two rotations in one process exclude each other.

    holder = Holder.of_this_process(rotation_id)
    with locked(cluster, "dexter", "keyturn-orders-db", holder) as lock:
        lock.confirm()  # before each write

https://kubernetes.io/docs/concepts/architecture/leases/
"""

import hashlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infra.errors import Code, Conflict, KeyturnError, NotFound
from infra.kubernetes.client import Cluster, Object

DURATION_SECONDS = 15
_POLL_SECONDS = 0.5
_PURPOSE = "keyturn/purpose"


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Args:
        purpose: what for: the rotation's id, or what else is done. For people.
        machine: a digest of host, boot and process namespace.
        process: id and start time of the process, such as "4711.8833".
        host: the host's name. For people.
        nonce: tells the holders of one process apart.
    """

    purpose: str
    machine: str
    process: str
    host: str
    nonce: str = ""

    @classmethod
    def of_this_process(cls, purpose: str) -> "Holder":
        """Describe a new holder in this process."""
        return cls(purpose, _machine(), _process(os.getpid()), socket.gethostname(), secrets.token_hex(4))

    @property
    def identity(self) -> str:
        """The lease's holderIdentity."""
        return "/".join(part for part in (self.host, self.machine, self.process, self.nonce) if part)

    def is_gone(self, identity: str) -> bool:
        """Whether `identity` was a process of this machine and has ended; False if that cannot be known."""
        _, machine, process, *_ = (*identity.split("/"), "", "")
        pid = process.partition(".")[0]
        return machine == self.machine and pid.isdigit() and _process(int(pid)) != process


def _machine() -> str:
    parts = [socket.gethostname()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        with suppress(OSError):
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _process(pid: int) -> str:
    """Return id and start time of a process; empty if there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else f"{pid}.{fields[19]}"


@contextmanager
def locked(
    cluster: Cluster,
    namespace: str,
    name: str,
    holder: Holder,
    duration_seconds: int = DURATION_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator["Lock"]:
    """Hold a lock for a block and renew it from a thread.

    Raises:
        Conflict: somebody else holds it and is alive (code Locked).
    """
    lock = Lock(cluster, namespace, name, holder, duration_seconds, clock)
    lock.acquire()
    stopped = threading.Event()
    renewer = threading.Thread(target=lock.keep, args=(stopped,), name=f"lease {name}", daemon=True)
    renewer.start()
    try:
        yield lock
    finally:
        stopped.set()
        renewer.join()
        with suppress(KeyturnError):
            lock.release()


class Lock:
    """A lease as one holder uses it.

    Args:
        cluster: where the lease is.
        namespace: its namespace.
        name: its name.
        holder: who takes it.
        duration_seconds: how long after its last renewal others may take it.
        clock: seconds on a clock that never goes back.
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
        self._written: Object | None = None
        """The lease as this holder wrote it last. Whoever wrote it since makes the next write a conflict."""

    def acquire(self, pause: Callable[[float], object] | None = None) -> None:
        """Take the lock; if its holder has stopped renewing it, wait until the lease expires.

        Args:
            pause: waits between two reads of the lease.

        Raises:
            Conflict: somebody else holds and renews it; says who, since when, and how to break it.
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
                raise self._describe_holder(lease)
            seen = renewed
            if self._clock() - since > (lease["spec"].get("leaseDurationSeconds") or self._duration):
                with suppress(_Raced):
                    return self._take(lease)
            pause(_POLL_SECONDS)

    def confirm(self) -> None:
        """Renew the lock, before anything is written.

        Raises:
            Conflict: somebody else took it, so nothing more may be written (code LockLost).
        """
        if self._written and self._holds(self._written):
            with suppress(_Raced):
                return self._renew(self._written)
        while True:
            lease = self._cluster.find(self._path)
            if lease is None or not self._holds(lease):
                seen = (lease or {}).get("spec", {}).get("holderIdentity") or "no holder"
                raise Conflict(Code.LOCK_LOST, name=f"lease {self._name} in {self._namespace}", seen=seen)
            with suppress(_Raced):
                return self._renew(lease)

    def keep(self, stopped: threading.Event) -> None:
        """Renew every third of the duration until `stopped` is set. Whether the lock is lost, `confirm` finds out."""
        while not stopped.wait(self._duration / 3):
            with suppress(KeyturnError):
                self.confirm()

    def release(self) -> None:
        """Release the lock if this holder still has it."""
        lease = self._cluster.find(self._path)
        if lease and self._holds(lease):
            with suppress(_Raced):
                self._write(lease, "", None)

    def _holds(self, lease: Object) -> bool:
        return bool(lease["spec"].get("holderIdentity") == self._holder.identity)

    def _is_free(self, lease: Object) -> bool:
        identity = lease["spec"].get("holderIdentity") or ""
        return identity in ("", self._holder.identity) or self._holder.is_gone(identity)

    def _take(self, lease: Object | None) -> None:
        self._write(lease, self._holder.identity, _now())

    def _renew(self, lease: Object) -> None:
        self._write(lease, self._holder.identity, lease["spec"].get("acquireTime"))

    def _write(self, lease: Object | None, identity: str, acquired: str | None) -> None:
        metadata: Object = {"name": self._name, "namespace": self._namespace}
        metadata["annotations"] = {_PURPOSE: self._holder.purpose}
        if lease:
            # Without the uid a Lease that somebody deleted meanwhile, to break the lock, would be made anew.
            metadata |= {key: lease["metadata"][key] for key in ("resourceVersion", "uid")}
        spec: Object = {
            "holderIdentity": identity,
            "leaseDurationSeconds": self._duration,
            "acquireTime": acquired,
            "renewTime": _now(),
        }
        body: Object = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            if lease is None:
                self._written = self._cluster.request("POST", self._collection, body=body)
                return
        except Conflict:
            raise _Raced from None
        try:
            self._written = self._cluster.request("PUT", self._path, body=body)
        except (Conflict, NotFound):
            raise _Raced from None

    def _describe_holder(self, lease: Object) -> Conflict:
        spec, annotations = lease["spec"], lease["metadata"].get("annotations") or {}
        return Conflict(
            Code.LOCKED,
            name=f"lease {self._name} in {self._namespace}",
            seen=f"held by {spec.get('holderIdentity')} for {annotations.get(_PURPOSE, 'an unknown purpose')} "
            f"since {spec.get('acquireTime')}",
            fix=f"{Code.LOCKED.fix}, after {spec.get('leaseDurationSeconds')} s. To break it: "
            f"kubectl delete lease {self._name} -n {self._namespace}",
        )


@dataclass(frozen=True)
class LeaseFacts:
    """Who has a lock, as its Lease says.

    Args:
        holder: who holds it; empty if nobody does.
        purpose: the rotation that it was taken for.
        renewed_at: when it was renewed last, by the holder's clock.
    """

    holder: str
    purpose: str
    renewed_at: datetime


def find_lease(cluster: Cluster, namespace: str, name: str) -> LeaseFacts | None:
    """Return who has a lock; None if nobody ever had it."""
    lease = cluster.find(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
    if lease is None:
        return None
    spec, annotations = lease["spec"], lease["metadata"].get("annotations") or {}
    renewed_at = datetime.fromisoformat(spec.get("renewTime") or lease["metadata"]["creationTimestamp"])
    return LeaseFacts(spec.get("holderIdentity") or "", annotations.get(_PURPOSE, ""), renewed_at)


class _Raced(Exception):
    """Somebody wrote the lease between our read and our write: read again."""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
