"""The steps of a rotation that stop, start, restart and reload consumers. Each also remembers why it was made."""

from functools import cached_property

from prefect.logging import get_run_logger

from infra.credentials import Consumer, WorkloadRef
from infra.errors import Code, NotFound, ServiceFailed, WorkloadUnhealthy
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import DeliveryHandle, Sealed, SecretState, open_delivery
from infra.kubernetes.errors import Unreachable
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from infra.rotation.steps import Action
from tasks.context import Access
from tasks.reports.progress import log_progress
from tasks.rotation.lock import confirm_lock
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.staged import recall_values

MOST_RESTARTS = 2
"""How often a workload is restarted once more because its Secret was written while it started."""


class _StartedStale(Exception):
    """Pods may have started with previous values."""


def _open_workload(context: StepContext, access: Access) -> WorkloadHandle:
    return open_workload(access.cluster_of(context.consumer), context.consumer.placed)


def _open_delivery(context: StepContext, access: Access) -> DeliveryHandle:
    return open_delivery(access.cluster_of(context.consumer), context.consumer)


@performs(Action.STOP, retries=0)
def stop(context: StepContext) -> None:
    """Scale a workload to 0 and wait until no pod is left, terminating ones included.

    Raises:
        WorkloadUnhealthy: pods are left (code PodsLeft).
    """
    with opened_for(context) as access:
        workload = _open_workload(context, access)
        workload.stop()
        workload.wait_for_pods_gone(context.options.ready_timeout_seconds, log_progress(context.subject))


@performs(Action.START)
def start(context: StepContext) -> int:
    """Scale a workload to what it had before, so that it starts with the vault's values. Returns its number of pods."""
    with opened_for(context) as access:
        delivery = _open_delivery(context, access)
        version = _refresh(context, access, delivery)
        replicas = _open_workload(context, access).start(context.mark, version)
    get_run_logger().info("%s is scaled to %d", context.subject, replicas)
    return replicas


@performs(Action.RESTART)
def restart(context: StepContext) -> None:
    """Replace a client's pods by its own update strategy, so that they start with the vault's values."""
    with opened_for(context) as access:
        _restart(context, access)


@performs(Action.RELOAD)
def reload(context: StepContext) -> None:
    """Run a client's reload command in every pod that runs, and remember it when it has succeeded in all.

    A pod that is not ready is told, too; if it cannot be, that is no fault of the rotation's. What a command prints may
    hold values, so nobody sees it.

    Raises:
        WorkloadUnhealthy: it failed in a pod that is ready (code ReloadFailed).
    """
    with opened_for(context) as access:
        workload = _open_workload(context, access)
        running = [pod for pod in workload.get().pods if pod.phase == "Running" and not pod.terminating]
        for pod in running:
            if failure := find_reload_failure(access.cluster_of(context.consumer), context.consumer, pod.name):
                if pod.ready:
                    raise failure
                get_run_logger().warning("%s is not ready, and was not reloaded: %s", pod.name, failure.seen)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        workload.mark_reloaded(context.mark)
    get_run_logger().info("%s was reloaded in %d pods", context.subject, len(running))


def find_reload_failure(cluster: Cluster, consumer: Consumer, pod: str) -> WorkloadUnhealthy | None:
    """Run the reload command in a pod; a pod that is gone needs none."""
    assert consumer.reload is not None
    command, container = consumer.reload.command, consumer.reload.container
    try:
        output = run_in_pod(cluster, consumer.workload.namespace, pod, command, container)
        seen = f"exit code {output.code}" if output.code else ""
    except NotFound:
        return None
    except Unreachable:
        raise
    except ServiceFailed as error:
        seen = error.what
    return WorkloadUnhealthy(Code.RELOAD_FAILED, name=f"{container} in {pod}", seen=seen) if seen else None


@performs(Action.AWAIT_READY, retries=0)
def await_ready(context: StepContext) -> None:
    """Wait until a workload's pods are new and ready, and have started with the vault's values.

    A driver that fetched the previous values before the new ones were published may write them into the Secret just
    when it was refreshed, and correct itself with its next poll. A pod that starts in between has previous values: it
    may never get ready, or be ready and nobody sees it. So the Secret is looked at as long as the pods are waited for,
    and once more before either is believed. That this was done is remembered at the workload; until then, the next run
    does it.

    Raises:
        WorkloadUnhealthy: they did not get ready; the message says why and how to fix it.
    """
    for restarts_left in reversed(range(MOST_RESTARTS + 1)):
        with opened_for(context) as access:
            if _wait_for_ready(context, access, is_last=not restarts_left):
                return
            _restart(context, access)
        get_run_logger().warning("the Secret had other values meanwhile: %s is restarted once more", context.subject)


def _wait_for_ready(context: StepContext, access: Access, *, is_last: bool) -> bool:
    """Wait until the pods are ready. Returns whether they started with the right values, or were waited for last."""
    workload, held = (
        _open_workload(context, access),
        _HeldValues(context, access),
    )

    def check() -> None:
        if held.were_others():
            raise _StartedStale

    try:
        workload.wait_for_ready(
            context.options.ready_timeout_seconds,
            log_progress(context.subject),
            check=(lambda: None) if is_last else check,
        )
    except _StartedStale:
        return False
    except WorkloadUnhealthy:
        if is_last or not held.were_others():
            raise
        return False
    if is_last:
        return True
    if held.were_others():
        return False
    if held.version:
        workload.mark_start_checked()
    return True


class _HeldValues:
    """What a workload's Secret held since the workload was started for a rotation.

    Args:
        context: the step that waits for it.
        access: where it is.
    """

    def __init__(self, context: StepContext, access: Access) -> None:
        began = _open_workload(context, access).get().restart
        self.version = began.secret_version if began.restarted_for == context.mark else ""
        self._delivery = _open_delivery(context, access)
        self._access, self._consumer, self._rotation_id = access, context.consumer, context.rotation_id

    @cached_property
    def _sealed(self) -> Sealed:
        """What it must hold: read only once it has another version than the one that the workload was started with."""
        return seal_newest(self._access, self._consumer, self._rotation_id)

    def were_others(self) -> bool:
        """Whether it held other values since the last look; not known of an absent Secret, or without a start."""
        if not self.version or self._delivery.secret_version() == self.version:
            return False
        version = self._delivery.version_that_holds(self._sealed)
        if not version or self._delivery.held_others_since(self._sealed, self.version):
            return True
        self.version = version
        return False


def _restart(context: StepContext, access: Access) -> None:
    delivery = _open_delivery(context, access)
    version = _refresh(context, access, delivery)
    confirm_lock(access.cluster, context.credential, context.rotation_id)
    _open_workload(context, access).restart(context.mark, version)


def _refresh(context: StepContext, access: Access, delivery: DeliveryHandle) -> str:
    """Write the newest values into the synced Secret if it has others; return its version, empty if it is absent.

    The vault is read only if the Secret does not hold what this run knows of the newest values.
    """
    consumer = context.consumer
    if (known := find_newest(access, consumer)) and (version := delivery.version_that_holds(known)):
        return version
    values, _ = recall_values(access, context.rotation_id)
    sealed = delivery.seal(values)
    version = delivery.version_that_holds(sealed)
    if not version and delivery.refresh(values) is SecretState.OTHER:
        version = delivery.version_that_holds(sealed)
    note_newest(access, consumer, sealed)
    return version


def find_newest(access: Access, consumer: Consumer) -> Sealed | None:
    """Return what a synced Secret must hold to have the newest values; None if this run has not read them for it."""
    return access.memory.find_copy(_place(consumer), access.credential.secret_names)


def seal_newest(access: Access, consumer: Consumer, rotation_id: str) -> Sealed:
    """Return what a synced Secret must hold to have the newest values; they are read once for each."""
    if not consumer.secret_key:
        return ()
    if (known := find_newest(access, consumer)) is not None:
        return known
    values, _ = recall_values(access, rotation_id)
    sealed = open_delivery(access.cluster_of(consumer), consumer).seal(values)
    note_newest(access, consumer, sealed)
    return sealed


def note_newest(access: Access, consumer: Consumer, sealed: Sealed) -> None:
    """Remember what a synced Secret must hold to have the newest values that were read just now."""
    access.memory.keep_copy(_place(consumer), access.credential.secret_names, sealed)


def _place(consumer: Consumer) -> str:
    """Name the synced Secret, and what of the vault is brought there."""
    return f"{consumer.secret_key} by {consumer.source_key}"


def wait_for_terminating_pods(cluster: Cluster, workload: WorkloadRef, timeout_seconds: float) -> None:
    """Wait until no pod of a workload is terminating.

    Raises:
        WorkloadUnhealthy: some still are (code PodsLeft).
    """
    handle = open_workload(cluster, workload)
    handle.wait_for_pods_gone(timeout_seconds, log_progress(workload), terminating_only=True)


def warn_of_runs(cluster: Cluster, workload: WorkloadRef) -> None:
    """Name the runs that are under way: those that began before the new login was published have the previous one."""
    if runs := open_workload(cluster, workload).get().live_pods.values():
        names = ", ".join(sorted(runs))
        get_run_logger().warning("%s: what began with the previous login gets no new connection: %s", workload, names)
