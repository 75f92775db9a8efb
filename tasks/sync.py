"""The sync: what the CSI driver brings, waited for by evidence; and the Secret that it leaves stale."""

import time

from prefect.logging import get_run_logger

from infra.kubernetes.provider_classes import get_provider_class
from infra.kubernetes.secrets_store import (
    delete_synced_secret,
    find_synced_secret,
    get_driver,
    synced_secret_holds,
    wait_for_mounts,
    wait_for_synced_secret,
)
from infra.kubernetes.workloads import get_workload
from tasks.credentials import read_newest, synced_values
from tasks.orders import Order
from tasks.policy import step
from tasks.rotation import opened
from tasks.sync_progress import SyncProgress, Wanted


@step(name="Wait for the sync", run_name="wait until {order.subject} has the new versions", retries=0)
def await_sync(order: Order) -> None:
    """Wait until every pod reports both versions, then until the synced Secret's data is equal.

    Events, resourceVersions and the clock prove nothing: the driver rewrites unchanged Secrets.

    Raises:
        SyncPending: the bound is over; says what was seen last. Nothing is broken: the consumers have the old
            login, which the database still takes.
    """
    target, deadline = order.target, time.monotonic() + order.options.sync_timeout_seconds
    with opened(order) as (vault, cluster):
        names = (target.username_secret, target.password_secret)
        versions = {name: vault.get_latest(name).version for name in names}
        provider = get_provider_class(cluster, target.namespace, target.secret_provider_class)
        expected = synced_values(target, provider, read_newest(vault, target))
    workload = get_workload(cluster, target.namespace, order.workload)
    pods = {pod.uid: pod.name for pod in workload.pods if not pod.terminating}
    progress = SyncProgress(order, cluster, Wanted(pods, versions, target.synced_secret))
    left = deadline - time.monotonic()
    wait_for_mounts(
        cluster,
        target.namespace,
        target.secret_provider_class,
        pods,
        versions,
        left,
        progress.told(order.workload),
    )
    get_run_logger().info("every pod of %s has mounted both new versions", order.subject)
    left = max(1.0, deadline - time.monotonic())
    wait_for_synced_secret(
        cluster, target.namespace, target.synced_secret, expected, left, progress.told(target.synced_secret)
    )
    get_run_logger().info("the Secret %s holds the new values", target.synced_secret)
    progress.show(max(0.0, deadline - time.monotonic()), secret_is_new=True)


@step(name="Refresh the synced Secret", run_name="delete the synced Secret {order.subject} if it is stale")
def refresh_secret(order: Order) -> bool:
    """Delete the synced Secret while no pod runs, if it does not hold the vault's newest values.

    The driver up to 1.5 never refreshes an existing Secret at a mount, so the new pod's environment would be old;
    the newer one may come late. Returns whether it was deleted.
    """
    target = order.target
    with opened(order) as (vault, cluster):
        if find_synced_secret(cluster, target.namespace, target.synced_secret) is None:
            return False
        provider = get_provider_class(cluster, target.namespace, target.secret_provider_class)
        expected = synced_values(target, provider, read_newest(vault, target))
        if synced_secret_holds(cluster, target.namespace, target.synced_secret, expected):
            get_run_logger().info("the Secret %s is fresh and stays", order.subject)
            return False
        delete_synced_secret(cluster, target.namespace, target.synced_secret)
        generation = get_driver(cluster).generation
    get_run_logger().info(
        "the Secret %s was stale and is gone; the next mount makes it (%s)", order.subject, generation
    )
    return True
