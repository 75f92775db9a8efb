"""One rotation per credential at a time, across flows, machines and tools: a Lease in the database's namespace."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from infra.kubernetes.client import Cluster
from infra.kubernetes.leases import Holder, Lock, locked
from infra.settings import Settings
from infra.targets import Target
from tasks.connections import cluster_of, connections_kept
from tasks.policy import step


def lease_name(target: Target) -> str:
    """Name the credential's lease: its vault and secrets in what Kubernetes takes as a name."""
    parts = f"{target.vault}-{target.username_secret}-{target.password_secret}"
    readable = re.sub("[^-a-z0-9]", "-", parts.lower()).strip("-")[:200]
    return f"keyturn-{readable}-{hashlib.sha256(parts.lower().encode()).hexdigest()[:8]}"


@contextmanager
def rotation_locked(target: Target, rotation_id: str) -> Iterator[None]:
    """Hold the credential's lock for a block, whose steps share their connections.

    Raises:
        Conflict: another rotation holds it and lives (code Locked).
    """
    settings = Settings()
    with connections_kept(settings):
        lock_credential(target, rotation_id)
        cluster = cluster_of(target.resource_group, target.cluster, settings)
        with locked(cluster, target.namespace, lease_name(target), Holder.of_this_process(rotation_id)):
            yield


@step(name="Lock the credential", run_name="lock {target.vault} for rotation {rotation_id}")
def lock_credential(target: Target, rotation_id: str) -> None:
    """Take the lock; a holder that died is waited out.

    Raises:
        Conflict: another rotation holds it and lives; says who, since when, and how to break the lock.
    """
    cluster = cluster_of(target.resource_group, target.cluster, Settings())
    Lock(cluster, target.namespace, lease_name(target), Holder.of_this_process(rotation_id)).acquire()
    get_run_logger().info("lease %s in %s is ours", lease_name(target), target.namespace)


def confirm_lock(cluster: Cluster, target: Target, rotation_id: str) -> None:
    """Renew the lock before something is written.

    Raises:
        Conflict: somebody else took it meanwhile (code LockLost); nothing must be written any more.
    """
    Lock(cluster, target.namespace, lease_name(target), Holder.of_this_process(rotation_id)).confirm()
