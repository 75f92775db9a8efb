"""The proof of a rotation: mounts, files, Secret and logins, all looked at afresh. Values are compared in here."""

from collections.abc import Iterable, Mapping

from prefect.logging import get_run_logger

from infra.credentials import Consumer, Login, Strategy
from infra.errors import Code, LoginRefused, Unverified
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.pods import Files, find_differing_files
from infra.kubernetes.workloads import open_workload
from infra.postgres.database import Database
from infra.postgres.refusals import REFUSALS
from infra.rotation.observation import Phase
from infra.rotation.options import Sync
from infra.rotation.steps import Action
from infra.rotation.strategies import STRATEGIES
from tasks.context import Access
from tasks.reports.progress import log_errors, log_progress
from tasks.rotation.lock import confirm_lock
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.staged import begin_grace, read_both, recall_candidate, recall_values, set_phase


@performs(Action.VERIFY, retries=0)
def verify(context: StepContext) -> None:
    """Prove that the consumers have the new values, that the database accepts them, and refuses the previous ones.

    Raises:
        SyncPending: a mount or a Secret does not have the new versions.
        WorkloadUnhealthy: a client that was restarted did not stay ready.
        Unverified: a file differs, or the previous login still works.
        LoginRefused: the new login does not work.
        DatabaseStarting, DatabaseUnreachable: the database did not answer in time.
    """
    with opened_for(context) as access:
        candidate, facts = recall_candidate(access.vault, context.credential, context.rotation_id)
        _verify_new_login(context, access, facts.strategy, *recall_values(access, context.rotation_id))
        _, previous = read_both(access, context.rotation_id)
        verify_refused(access.database.accepting_md5, previous)
        get_run_logger().info("the previous login is refused")
        set_phase(access.vault, candidate, Phase.PROVEN)


@performs(Action.BEGIN_GRACE, retries=0)
def verify_and_begin_grace(context: StepContext) -> None:
    """Prove what `verify` does of the new login, and note until when the previous one works on.

    Raises:
        SyncPending, WorkloadUnhealthy, Unverified, LoginRefused, DatabaseStarting, DatabaseUnreachable: as `verify`.
    """
    with opened_for(context) as access:
        candidate, facts = recall_candidate(access.vault, context.credential, context.rotation_id)
        _verify_new_login(context, access, facts.strategy, *recall_values(access, context.rotation_id))
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        grace = begin_grace(access.vault, candidate, context.credential.grace_period)
        get_run_logger().info("the previous login works %s", grace)


def _verify_new_login(
    context: StepContext, access: Access, strategy: Strategy, values: Mapping[str, str], versions: Mapping[str, str]
) -> None:
    logger, credential = get_run_logger(), context.credential
    new = credential.secrets.parse(values)
    for consumer in credential.consumers:
        if consumer.runs_to_an_end:
            logger.info("%s: its next run begins with the new values", consumer.key)
        elif context.options.sync is Sync.WAIT or STRATEGIES[strategy].restarts(consumer) or not consumer.is_database:
            _verify_consumer(context, access, consumer, versions, values)
            logger.info("%s: mounts, files and Secret have the new values", consumer.key)
        else:
            logger.info("%s is not restarted: it gets the new values with the next poll", consumer.key)
    _wait_for_login(context, access.database, new)
    logger.info("the new login works at %s", access.database)


@performs(Action.VERIFY_RESTORED, retries=0)
def verify_restored(context: StepContext) -> None:
    """Log in with the restored versions; the database may need a while to start.

    Raises:
        LoginRefused: the database refuses them.
        DatabaseStarting, DatabaseUnreachable: it did not answer in time.
    """
    with opened_for(context) as access:
        _wait_for_login(context, access.database.accepting_md5, access.read_newest())
        get_run_logger().info("the previous login works again at %s", access.database)


def verify_refused(database: Database, login: Login) -> None:
    """Verify that a login is refused, and for no other reason fails: its password is wrong, or its role disabled.

    Raises:
        Unverified: it works; or it failed for another reason, which proves nothing.
        DatabaseUnreachable, DatabaseStarting, ServiceFailed: it failed for another reason, which proves nothing.
    """
    try:
        database.prove(login)
    except LoginRefused as error:
        if error.code in REFUSALS:
            return
        raise
    seen = "a new connection with the previous versions was accepted"
    raise Unverified(Code.OLD_LOGIN_WORKS, name=str(database), seen=seen)


def _wait_for_login(context: StepContext, database: Database, login: Login) -> None:
    database.wait_for(login, context.options.ready_timeout_seconds, log_errors(database))


def _verify_consumer(
    context: StepContext, access: Access, consumer: Consumer, versions: Mapping[str, str], values: Mapping[str, str]
) -> None:
    """See what a consumer has. A client's image need not have a tool that reads its files: the driver's word counts.

    Files are read where they are all there is, and in the database's pods.
    """
    timeout = context.options.ready_timeout_seconds
    cluster = access.cluster_of(consumer)
    delivery, handle = open_delivery(cluster, consumer), open_workload(cluster, consumer.placed)
    workload = handle.get()
    if not consumer.is_database and workload.restart.restarted_for == context.mark:
        workload = handle.wait_for_ready(timeout, log_progress(consumer.key))
    pods = workload.live_pods
    if not pods and not consumer.is_database:
        return
    used = {name: versions[name] for name in delivery.uses(versions)}
    delivery.wait_until_current(pods, used, delivery.seal(values), timeout, log_progress(consumer.key))
    if consumer.is_database or not consumer.secret_key:
        verify_files(cluster, consumer.workload.namespace, pods.values(), delivery.files(workload, values))


def verify_files(cluster: Cluster, namespace: str, pods: Iterable[str], files: Files) -> None:
    """Verify that the files in pods have the given values. Where they cannot be read, the driver's word counts.

    Raises:
        Unverified: a file differs.
    """
    for pod in pods:
        try:
            differing = find_differing_files(cluster, namespace, pod, files.values, files.container)
        except Unverified as error:
            get_run_logger().warning("%s", error)
            continue
        if differing:
            seen = f"{', '.join(differing)} have other content than the vault"
            raise Unverified(Code.FILES_DIFFER, name=f"pod {pod}", seen=seen)
