"""Stopping, starting and restarting the consumers. Each write also remembers: a crash in between forgets nothing."""

from prefect.logging import get_run_logger

from infra.azure.secrets import Secrets
from infra.kubernetes import restarts
from infra.kubernetes.client import Cluster
from infra.kubernetes.secrets_store import get_version_that_holds, held_others_since, update_synced_secret
from infra.kubernetes.workloads import wait_for_pods_gone, wait_for_ready
from infra.settings import Settings
from tasks.connections import cluster_of
from tasks.credentials import read_synced_values
from tasks.opening import opened
from tasks.orders import Order, logged
from tasks.policy import step

MOST_RESTARTS = 2
"""How often a client is restarted once more because its Secret was written while it began."""


@step(name="Scale to 0", run_name="scale {order.subject} to 0", retries=0)
def stop(order: Order) -> None:
    """Scale a consumer to 0 and wait until no pod is left, terminating ones included.

    Raises:
        WorkloadUnhealthy: pods were left (code PodsLeft).
    """
    with opened(order) as (_, cluster):
        restarts.stop(cluster, order.consumer.namespace, order.consumer.workload)
    timeout = order.options.ready_timeout_seconds
    wait_for_pods_gone(
        cluster, order.consumer.namespace, order.consumer.workload, timeout, logged(order.consumer.workload)
    )


@step(name="Scale up", run_name="scale {order.subject} up again")
def start(order: Order) -> int:
    """Scale a consumer to what it had before. Returns how many pods are wanted."""
    with opened(order) as (_, cluster):
        replicas = restarts.start(cluster, order.consumer.namespace, order.consumer.workload, order.mark)
    get_run_logger().info("%s is scaled to %d", order.subject, replicas)
    return replicas


@step(name="Restart", run_name="restart {order.subject} pod by pod")
def restart(order: Order) -> None:
    """Let a client's Deployment replace its pods by its own strategy, so that they begin with the vault's values."""
    with opened(order) as (vault, cluster):
        version = _refresh_secret(order, vault, cluster)
        restarts.restart(cluster, order.consumer.namespace, order.consumer.workload, order.mark, version)


@step(name="Wait for the pods", run_name="wait until {order.subject} is ready", retries=0)
def await_ready(order: Order) -> None:
    """Wait until a consumer's pods are new and ready.

    Raises:
        WorkloadUnhealthy: they did not get ready; the message says why and what to do.
    """
    _wait_for_ready(order)
    for _ in range(0 if order.consumer.is_database else MOST_RESTARTS):
        if not _restart_again(order):
            return
        _wait_for_ready(order)


def _wait_for_ready(order: Order) -> None:
    cluster = cluster_of(order.target.resource_group, order.target.cluster, Settings())
    timeout, consumer = order.options.ready_timeout_seconds, order.consumer
    wait_for_ready(cluster, consumer.namespace, consumer.workload, timeout, logged(consumer.workload))


def _restart_again(order: Order) -> bool:
    """Restart a client once more if its Secret had other values since it was restarted. Returns whether it was.

    A driver that fetched the old values before the new ones were published may write them into the Secret just then,
    and correct itself with its next look: a pod that began in between has old values and nobody sees it. That this was
    looked for is remembered at the Deployment; until then, the next run looks for it.
    """
    consumer = order.consumer
    with opened(order) as (vault, cluster):
        began = restarts.get_restart_facts(cluster, consumer.namespace, consumer.workload)
        if began.restarted_for != order.mark or not began.secret_version:
            return False
        expected = read_synced_values(vault, cluster, order.target, order.consumer)
        where = (consumer.namespace, consumer.synced_secret)
        if not held_others_since(cluster, *where, expected, began.secret_version):
            restarts.settle(cluster, consumer.namespace, consumer.workload)
            return False
        version = _refresh_secret(order, vault, cluster)
        restarts.restart(cluster, consumer.namespace, consumer.workload, order.mark, version)
    get_run_logger().warning("the Secret had other values meanwhile: %s restarts once more", consumer.key)
    return True


def _refresh_secret(order: Order, vault: Secrets, cluster: Cluster) -> str:
    """Write the newest values into the consumer's Secret if it has others; return its version, empty if absent."""
    where = (order.consumer.namespace, order.consumer.synced_secret)
    expected = read_synced_values(vault, cluster, order.target, order.consumer)
    version = get_version_that_holds(cluster, *where, expected)
    if not version and update_synced_secret(cluster, *where, expected):
        version = get_version_that_holds(cluster, *where, expected)
    return version
