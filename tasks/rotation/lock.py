"""One rotation of a credential at a time, across flows, machines and tools: a Lease in the cluster."""

import hashlib
import re
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.credentials import Credential
from infra.kubernetes.client import Cluster
from infra.kubernetes.leases import Holder, Lock, locked
from infra.rotation.plan import new_rotation_id
from tasks.context import connections_shared, opened, versions_remembered
from tasks.retries import task_with_retries

TOKEN_CHARACTERS = string.ascii_lowercase + string.digits

_holder: ContextVar[Holder] = ContextVar("holder")
"""Who holds the lock of the block that runs: the steps are its own, whatever rotation they belong to."""


def name_rotation() -> str:
    """Name a new rotation by the time and four random characters."""
    token = "".join(secrets.choice(TOKEN_CHARACTERS) for _ in range(4))
    return new_rotation_id(datetime.now(UTC), token)


def lease_name(credential: Credential) -> str:
    """Name the credential's Lease after its vault and secrets: two names for one credential still share a lock."""
    parts = "-".join((credential.vault, *credential.secrets.names)).lower()
    readable = re.sub("[^-a-z0-9]", "-", parts).strip("-")[:200]
    return f"keyturn-{readable}-{hashlib.sha256(parts.encode()).hexdigest()[:8]}"


@contextmanager
def rotation_locked(credential: Credential, rotation_id: str) -> Iterator[None]:
    """Hold the credential's lock for a rotation, whose steps share connections and what they know of versions.

    Raises:
        Conflict: another rotation of it is running (code Locked).
    """
    with credential_locked(credential, rotation_id), versions_remembered():
        yield


@contextmanager
def credential_locked(credential: Credential, purpose: str) -> Iterator[None]:
    """Hold the credential's lock for a block, whose steps share their connections.

    Args:
        credential: what is locked.
        purpose: the rotation's id, or what else is done; for people.

    Raises:
        Conflict: a rotation of it is running (code Locked).
    """
    holder = Holder.of_this_process(purpose)
    with connections_shared(), opened(credential) as access:
        lock_credential(credential, holder)
        with locked(access.cluster, *_place(credential), holder), _known(holder):
            yield


@contextmanager
def _known(holder: Holder) -> Iterator[None]:
    """Let the steps of a block confirm the lock as this holder."""
    mark = _holder.set(holder)
    try:
        yield
    finally:
        _holder.reset(mark)


@task_with_retries(name="Lock", run_name="{credential.name}: lock for {holder.purpose}")
def lock_credential(credential: Credential, holder: Holder) -> None:
    """Take the lock; one whose holder died is waited out.

    Raises:
        Conflict: another rotation is running; says whose, since when, and how to break the lock.
    """
    namespace, name = _place(credential)
    with opened(credential) as access:
        Lock(access.cluster, namespace, name, holder).acquire()
    get_run_logger().info("holding the lease %s in %s", name, namespace)


def confirm_lock(cluster: Cluster, credential: Credential, rotation_id: str) -> None:
    """Renew the lock before something is written.

    Raises:
        Conflict: somebody else took it (code LockLost); nothing may be written any more.
    """
    Lock(cluster, *_place(credential), replace(_holder.get(), purpose=rotation_id)).confirm()


def _place(credential: Credential) -> tuple[str, str]:
    return credential.lock_namespace, lease_name(credential)
