"""The proof of a rotation: files, Secret and logins, all looked at afresh. Values are compared in here."""

from prefect.logging import get_run_logger

from infra.errors import LoginRefused, Unverified
from infra.kubernetes.client import Cluster
from infra.kubernetes.mounted_files import differing_files
from infra.kubernetes.provider_classes import ProviderClass, get_provider_class
from infra.kubernetes.restarts import get_restart_facts
from infra.kubernetes.secrets_store import wait_for_mounts, wait_for_synced_secret
from infra.kubernetes.workloads import Workload, get_workload, wait_for_ready
from infra.postgres.login import Endpoint, prove_login, wait_for_login
from infra.rotation.candidate import Credential
from infra.rotation.observation import Phase
from infra.rotation.strategies import STRATEGIES
from infra.settings import Settings
from infra.targets import Consumer, Sync, Target
from tasks.connections import endpoint_of
from tasks.credentials import (
    get_candidate,
    read_base,
    read_newest,
    synced_values,
    used_secrets,
    values_by_secret,
)
from tasks.opening import opened
from tasks.orders import Order, logged, logged_errors
from tasks.policy import step
from tasks.rotation import set_phase


@step(name="Verify", run_name="verify files, new login and refused old login of {order.subject}", retries=0)
def verify(order: Order) -> None:
    """Prove that the consumers have the new values and that the database takes them, and no longer the old ones.

    Raises:
        SyncPending: mount or Secret do not have the new versions.
        WorkloadUnhealthy: a client that was restarted did not stay ready.
        Unverified: a file differs, or the old login still works.
        LoginRefused: the new login does not work.
        DatabaseStarting, DatabaseUnreachable: the database did not answer in time.
    """
    logger = get_run_logger()
    with opened(order) as (vault, cluster):
        candidate, facts = get_candidate(vault, order.target, order.rotation_id)
        new, old = read_newest(vault, order.target), read_base(vault, order.target, facts)
        versions = {name: vault.get_latest(name).version for name in values_by_secret(order.target, new)}
        strategy = STRATEGIES[facts.strategy]
        for consumer in order.target.consumers:
            if order.options.sync is Sync.WAIT or strategy.restarts(consumer) or not consumer.is_database:
                _verify_consumer(order, consumer, cluster, versions, new)
                logger.info("%s: mounts, files and Secret have the new values", consumer.key)
            else:
                logger.info("%s is not restarted: it gets the new values with the next poll", consumer.key)
        endpoint = endpoint_of(order.target, cluster)
        _wait_for_login(order, endpoint, new)
        logger.info("the new login works at %s", endpoint)
        verify_refused(endpoint, old)
        logger.info("the old login is refused")
        set_phase(vault, candidate, Phase.PROVEN)


@step(
    name="Verify the old login again",
    run_name="verify that the old login of {order.subject} works again",
    retries=0,
)
def verify_restored(order: Order) -> None:
    """Log in afresh with the restored versions; the database may need a while to begin.

    Raises:
        LoginRefused: it does not take them.
        DatabaseStarting, DatabaseUnreachable: it did not answer in time.
    """
    with opened(order) as (vault, cluster):
        endpoint = endpoint_of(order.target, cluster)
        _wait_for_login(order, endpoint, read_newest(vault, order.target))
        get_run_logger().info("the old login works again at %s", endpoint)


def verify_refused(endpoint: Endpoint, old: Credential) -> None:
    """See that a login does not work, for the one right reason.

    Raises:
        Unverified: it works.
        DatabaseUnreachable, ServiceFailed: it failed for another reason, which proves nothing.
    """
    try:
        prove_login(endpoint, old.username, old.password, Settings())
    except LoginRefused:
        return
    raise Unverified(
        "The old login still works",
        name=str(endpoint),
        seen="a fresh connection with the former versions was let in",
        fix="see whether the database really took the new login in place of the old",
        code="OldLoginWorks",
    )


def _wait_for_login(order: Order, endpoint: Endpoint, credential: Credential) -> None:
    timeout, tell = order.options.ready_timeout_seconds, logged_errors(str(endpoint))
    wait_for_login(endpoint, credential.username, credential.password, Settings(), timeout, tell)


def _verify_consumer(
    order: Order, consumer: Consumer, cluster: Cluster, versions: dict[str, str], new: Credential
) -> None:
    """See what a consumer has. A client's image need not have a tool that reads its files: the driver's word counts."""
    target, timeout, namespace = order.target, order.options.ready_timeout_seconds, consumer.namespace
    provider = get_provider_class(cluster, namespace, consumer.secret_provider_class)
    workload = get_workload(cluster, namespace, consumer.workload)
    if (
        not consumer.is_database
        and get_restart_facts(cluster, namespace, consumer.workload).restarted_for == order.mark
    ):
        workload = wait_for_ready(cluster, namespace, consumer.workload, timeout, logged(consumer.workload))
    pods = {pod.uid: pod.name for pod in workload.pods if not pod.terminating}
    if not pods and not consumer.is_database:
        return
    used = {name: versions[name] for name in used_secrets(target, provider)}
    tell = logged(consumer.workload)
    wait_for_mounts(cluster, namespace, consumer.secret_provider_class, pods, used, timeout, tell)
    expected = synced_values(target, consumer, provider, new)
    wait_for_synced_secret(
        cluster, namespace, consumer.synced_secret, expected, timeout, logged(consumer.synced_secret)
    )
    files = _files(target, consumer, provider, workload, new) if consumer.is_database else {}
    for pod in pods.values():
        if differing := differing_files(cluster, namespace, pod, files):
            raise Unverified(
                "The files in the pod are not the vault's",
                name=f"{namespace}/{pod}",
                seen=f"other content than the vault's in {', '.join(differing)}",
                fix="see the CSI driver's log on the pod's node",
                code="FilesDiffer",
            )


def _files(
    target: Target, consumer: Consumer, provider: ProviderClass, workload: Workload, new: Credential
) -> dict[str, str]:
    """Return path -> value of the files that every pod must have."""
    values = values_by_secret(target, new)
    roots = [volume.mount_path for volume in workload.volumes if volume.source == consumer.secret_provider_class]
    return {f"{root}/{file}": values[name] for root in roots for file, name in provider.files.items() if name in values}
