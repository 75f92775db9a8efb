"""The steps of a rotation that bring new versions to the consumers: pin, unpin, wait for the sync, refresh."""

import time
from functools import partial

from prefect.logging import get_run_logger

from infra.credentials import Consumer
from infra.kubernetes.deliveries import SecretState, open_delivery
from infra.kubernetes.workloads import open_workload
from infra.rotation.steps import Action
from tasks.context import Access
from tasks.reports.progress import log_progress, show_sync
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.restarts import find_newest, note_newest, seal_newest
from tasks.rotation.staged import recall_candidate, recall_newest, recall_values

OUTCOMES = {
    SecretState.NONE: "does not exist: its pods have files alone",
    SecretState.ABSENT: "is absent; the next mount makes it",
    SecretState.CURRENT: "is fresh, and stays as it is",
    SecretState.OTHER: "was stale, and has the newest values now",
}
"""What became of a synced Secret, by what it held before."""


@performs(Action.PIN)
def pin(context: StepContext) -> None:
    """Let mounts keep the versions that were current when the rotation was staged.

    A mount that is under way may have begun before: those of pods that are being started are waited for.

    Raises:
        AccessDenied: the caller may not change the delivery.
    """
    with opened_for(context) as access:
        _, facts = recall_candidate(access.vault, context.credential, context.rotation_id)
        consumers = [consumer for consumer in context.credential.consumers if consumer.source_key == context.subject]
        open_delivery(access.cluster_of(consumers[0]), consumers[0]).pin(facts.base, context.rotation_id)
        for consumer in consumers:
            open_delivery(access.cluster_of(consumer), consumer).wait_for_first_mounts(
                partial(_find_placed, access, consumer), log_progress(context.subject)
            )
    get_run_logger().info("%s is pinned until every secret is written", context.subject)


def _find_placed(access: Access, consumer: Consumer) -> dict[str, str]:
    """Return uid -> name of the consumer's pods that have a node."""
    workload = open_workload(access.cluster_of(consumer), consumer.placed).get()
    return {pod.uid: pod.name for pod in workload.pods if pod.node and not pod.terminating}


@performs(Action.UNPIN)
def unpin(context: StepContext) -> None:
    """Let mounts follow the newest versions again."""
    with opened_for(context) as access:
        consumer = context.consumer_by(lambda consumer: consumer.source_key)
        open_delivery(access.cluster_of(consumer), consumer).unpin()
    get_run_logger().info("%s follows the newest versions again", context.subject)


@performs(Action.AWAIT_SYNC, retries=0)
def await_sync(context: StepContext) -> None:
    """Wait until every pod reports the newest versions of what it uses, then until the synced Secret's data is equal.

    Events, resourceVersions and the clock prove nothing: the driver rewrites unchanged Secrets.

    Raises:
        SyncPending: it timed out; says what was seen last.
    """
    deadline = time.monotonic() + context.options.sync_timeout_seconds
    consumer = context.consumer
    with opened_for(context) as access:
        delivery = open_delivery(access.cluster_of(consumer), consumer)
        newest, sealed = recall_newest(access), seal_newest(access, consumer, context.rotation_id)
        versions = {name: newest[name].version for name in delivery.uses(newest)}
        pods = open_workload(access.cluster_of(consumer), consumer.placed).get().live_pods
        left = deadline - time.monotonic()
        show = show_sync(context.credential.name, context.subject, consumer.secret_key, pods)
        delivery.wait_until_current(pods, versions, sealed, left, show)
    get_run_logger().info("%s has the new versions", context.subject)


@performs(Action.REFRESH_SECRET)
def refresh_secret(context: StepContext) -> bool:
    """Write the vault's newest values into a synced Secret that holds others, ahead of the driver's poll.

    Drivers up to 1.5 never refresh an existing Secret at a mount, so a new pod's environment would be stale; later
    ones may refresh it too late. Returns whether it was written.
    """
    with opened_for(context) as access:
        consumer: Consumer = context.consumer_by(lambda consumer: consumer.secret_key)
        delivery, known = open_delivery(access.cluster_of(consumer), consumer), find_newest(access, consumer)
        before = SecretState.CURRENT
        if not (known and delivery.version_that_holds(known)):
            values, _ = recall_values(access, context.rotation_id)
            before = delivery.refresh(values)
            note_newest(access, consumer, delivery.seal(values))
    get_run_logger().info("the Secret %s %s", context.subject, OUTCOMES[before])
    return before is SecretState.OTHER
