"""Stopping, starting and restarting the consumers. Each write also remembers: a crash in between forgets nothing."""

from prefect.logging import get_run_logger

from infra.kubernetes import restarts
from infra.kubernetes.workloads import wait_for_pods_gone, wait_for_ready
from infra.settings import Settings
from tasks.connections import cluster_of
from tasks.opening import opened
from tasks.orders import Order, logged
from tasks.policy import step


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
    with opened(order) as (_, cluster):
        restarts.restart(cluster, order.consumer.namespace, order.consumer.workload, order.mark)


@step(name="Wait for the pods", run_name="wait until {order.subject} is ready", retries=0)
def await_ready(order: Order) -> None:
    """Wait until a consumer's pods are new and ready.

    Raises:
        WorkloadUnhealthy: they did not get ready; the message says why and what to do.
    """
    cluster = cluster_of(order.target.resource_group, order.target.cluster, Settings())
    timeout = order.options.ready_timeout_seconds
    consumer = order.consumer
    wait_for_ready(cluster, consumer.namespace, consumer.workload, timeout, logged(consumer.workload))
