"""What a step of a rotation works with: vault and cluster under one token, and the lock confirmed."""

from collections.abc import Iterator
from contextlib import contextmanager

from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets
from infra.kubernetes.client import Cluster
from infra.settings import Settings
from tasks.connections import cluster_of
from tasks.locking import confirm_lock
from tasks.orders import Order


@contextmanager
def opened(order: Order) -> Iterator[tuple[Secrets, Cluster]]:
    """Open vault and cluster for one step, with one token, and see that the lock is still ours."""
    settings = Settings()
    with signed_in(settings):
        cluster = cluster_of(order.target.resource_group, order.target.cluster, settings)
        confirm_lock(cluster, order.target, order.rotation_id)
        yield Secrets(order.target.vault, settings), cluster
