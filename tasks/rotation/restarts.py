"""The steps of a rotation that stop, start and restart consumers. Each write also remembers why it was made."""

from collections.abc import Mapping

from prefect.logging import get_run_logger

from infra.credentials import WorkloadRef
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import DeliveryHandle, SecretState, open_delivery
from infra.kubernetes.workloads import open_workload
from infra.rotation.steps import Action
from tasks.context import opened
from tasks.reports.progress import log_progress
from tasks.rotation.registry import StepContext, opened_for, performs

MOST_RESTARTS = 2
"""How often a client is restarted once more because its Secret was written while it started."""


@performs(Action.STOP, retries=0)
def stop(context: StepContext) -> None:
    """Scale a workload to 0 and wait until no pod is left, terminating ones included.

    Raises:
        WorkloadUnhealthy: pods are left (code PodsLeft).
    """
    with opened_for(context) as access:
        workload = open_workload(access.cluster, context.consumer.workload)
        workload.stop()
        workload.wait_for_pods_gone(context.options.ready_timeout_seconds, log_progress(context.subject))


@performs(Action.START)
def start(context: StepContext) -> int:
    """Scale a workload to what it had before. Returns how many pods are wanted."""
    with opened_for(context) as access:
        replicas = open_workload(access.cluster, context.consumer.workload).start(context.mark)
    get_run_logger().info("%s is scaled to %d", context.subject, replicas)
    return replicas


@performs(Action.RESTART)
def restart(context: StepContext) -> None:
    """Replace a client's pods by its own update strategy, so that they start with the vault's values."""
    with opened_for(context) as access:
        delivery = open_delivery(access.cluster, context.consumer)
        version = _refresh(delivery, context.credential.secrets.render(access.read_newest()))
        open_workload(access.cluster, context.consumer.workload).restart(context.mark, version)


@performs(Action.AWAIT_READY, retries=0)
def await_ready(context: StepContext) -> None:
    """Wait until a workload's pods are new and ready.

    Raises:
        WorkloadUnhealthy: they did not get ready; the message says why and how to fix it.
    """
    _wait_for_ready(context)
    for _ in range(0 if context.consumer.is_database else MOST_RESTARTS):
        if not _restart_again(context):
            return
        _wait_for_ready(context)


def _wait_for_ready(context: StepContext) -> None:
    with opened(context.credential) as access:
        workload = open_workload(access.cluster, context.consumer.workload)
        workload.wait_for_ready(context.options.ready_timeout_seconds, log_progress(context.subject))


def _restart_again(context: StepContext) -> bool:
    """Restart a client once more if its Secret had other values since it was restarted. Returns whether it was.

    A driver that fetched the previous values before the new ones were published may write them into the Secret just
    then, and correct itself with its next poll: a pod that started in between has previous values and nobody sees it.
    That this was checked is remembered at the workload; until then, the next run checks it.
    """
    with opened_for(context) as access:
        workload = open_workload(access.cluster, context.consumer.workload)
        began = workload.get().restart
        if began.restarted_for != context.mark or not began.secret_version:
            return False
        delivery, values = open_delivery(access.cluster, context.consumer), access.read_newest()
        rendered = context.credential.secrets.render(values)
        if not delivery.held_others_since(rendered, began.secret_version):
            workload.mark_start_checked()
            return False
        workload.restart(context.mark, _refresh(delivery, rendered))
    get_run_logger().warning("the Secret had other values meanwhile: %s is restarted once more", context.subject)
    return True


def _refresh(delivery: DeliveryHandle, values: Mapping[str, str]) -> str:
    """Write the newest values into the synced Secret if it has others; return its version, empty if it is absent."""
    version = delivery.version_that_holds(values)
    if not version and delivery.refresh(values) is SecretState.OTHER:
        version = delivery.version_that_holds(values)
    return version


def wait_for_terminating_pods(cluster: Cluster, workload: WorkloadRef, timeout_seconds: float) -> None:
    """Wait until no pod of a workload is terminating.

    Raises:
        WorkloadUnhealthy: some still are (code PodsLeft).
    """
    handle = open_workload(cluster, workload)
    handle.wait_for_pods_gone(timeout_seconds, log_progress(workload), terminating_only=True)
