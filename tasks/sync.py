"""The sync: what the CSI driver brings, waited for by evidence; and the Secret that it leaves stale."""

import time

from prefect.logging import get_run_logger

from infra.kubernetes.provider_classes import get_provider_class
from infra.kubernetes.secrets_store import (
    find_synced_secret,
    synced_secret_holds,
    update_synced_secret,
    wait_for_mounts,
    wait_for_synced_secret,
)
from infra.kubernetes.workloads import get_workload
from tasks.credentials import read_newest, read_synced_values, synced_values, used_secrets
from tasks.opening import opened
from tasks.orders import Order
from tasks.policy import step
from tasks.sync_progress import SyncProgress, Wanted


@step(name="Wait for the sync", run_name="wait until {order.subject} has the new versions", retries=0)
def await_sync(order: Order) -> None:
    """Wait until every pod reports the newest versions of what it uses, then until the synced Secret's data is equal.

    Events, resourceVersions and the clock prove nothing: the driver rewrites unchanged Secrets.

    Raises:
        SyncPending: the bound is over; says what was seen last.
    """
    consumer, deadline = order.consumer, time.monotonic() + order.options.sync_timeout_seconds
    namespace = consumer.namespace
    with opened(order) as (vault, cluster):
        provider = get_provider_class(cluster, namespace, consumer.secret_provider_class)
        versions = {name: vault.get_latest(name).version for name in used_secrets(order.target, provider)}
        expected = synced_values(order.target, consumer, provider, read_newest(vault, order.target))
    workload = get_workload(cluster, namespace, consumer.workload)
    pods = {pod.uid: pod.name for pod in workload.pods if not pod.terminating}
    progress = SyncProgress(order, cluster, Wanted(pods, versions, consumer.synced_secret))
    left, tell = deadline - time.monotonic(), progress.told(consumer.workload)
    wait_for_mounts(cluster, namespace, consumer.secret_provider_class, pods, versions, left, tell)
    get_run_logger().info("every pod of %s has mounted the new versions", order.subject)
    left, tell = max(1.0, deadline - time.monotonic()), progress.told(consumer.synced_secret)
    wait_for_synced_secret(cluster, namespace, consumer.synced_secret, expected, left, tell)
    get_run_logger().info("the Secret %s holds the new values", consumer.synced_secret)
    progress.show(max(0.0, deadline - time.monotonic()), secret_is_new=True)


@step(name="Refresh the synced Secret", run_name="bring the synced Secret {order.subject} up to date if it is stale")
def refresh_secret(order: Order) -> bool:
    """Write the vault's newest values into a synced Secret that holds others, ahead of the driver's poll.

    The driver up to 1.5 never refreshes an existing Secret at a mount, so a new pod's environment would be old; the
    newer one may come late. Returns whether it was written.
    """
    consumer, logger = order.owner, get_run_logger()
    where = (consumer.namespace, consumer.synced_secret)
    with opened(order) as (vault, cluster):
        if find_synced_secret(cluster, *where) is None:
            logger.info("the Secret %s is absent; the next mount makes it", order.subject)
            return False
        expected = read_synced_values(vault, cluster, order.target, consumer)
        if synced_secret_holds(cluster, *where, expected):
            logger.info("the Secret %s is fresh and stays", order.subject)
            return False
        written = update_synced_secret(cluster, *where, expected)
    logger.info("the Secret %s was stale and has the newest values", order.subject)
    return written
