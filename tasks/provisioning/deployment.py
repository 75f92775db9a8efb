"""A stack deployed to its cluster: the manifests applied, waited for, the values proven, and reports of what runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.azure.identities import Identities
from infra.credentials import WorkloadRef
from infra.errors import Code, Refused, SecretUnusable
from infra.kubernetes import manifests
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import open_delivery
from infra.kubernetes.deliveries.csi import Driver, get_driver
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret
from infra.kubernetes.manifests import Applied
from infra.kubernetes.pods import list_pods
from infra.kubernetes.services import list_service_accounts, list_services, wait_for_load_balancer
from infra.kubernetes.workloads import Workload, open_workload
from infra.provisioning.options import STACK_FILE, DeployOptions, Stack
from infra.rotation.candidate import name_candidate
from infra.rotation.observation import Phase
from tasks.context import open_cluster, opened_azure
from tasks.reports.artifacts import report_table
from tasks.reports.progress import log_progress
from tasks.retries import task_with_retries
from tasks.rotation.lock import credential_locked
from tasks.rotation.staged import find_candidate
from tasks.rotation.verify import verify_files

Row = dict[str, str]
GENERATIONS = {
    "reconciler": "one ticker per node, every poll interval (driver up to 1.5)",
    "republish": "the kubelet republishes each volume (driver from 1.6)",
}
"""How each generation of the driver looks for new versions."""


@dataclass(frozen=True)
class DatabaseAddress:
    """Where the database is reached from outside the cluster."""

    host: str
    port: int


def list_manifests(stack: Stack) -> list[str]:
    """Return the names of the stack's manifests, in the order in which they are applied."""
    return sorted(path.name for path in stack.folder.glob("*.yaml") if path.name != STACK_FILE)


@task_with_retries(name="Look up the identity", run_name="look up the client id of {stack.identity}")
def look_up_values(stack: Stack, options: DeployOptions) -> Mapping[str, str]:
    """Return placeholder -> value for the manifests: ids are looked up, never typed. None of them is secret.

    Raises:
        NotFound: there is no such identity.
    """
    with opened_azure() as azure:
        identity, cloud = Identities(azure, stack.resource_group).get(stack.identity), azure.cloud
    return {
        "CLOUD": cloud.name,
        "BLOB_DOMAIN": cloud.blob_domain,
        "CLIENT_ID": identity.client_id,
        "TENANT_ID": identity.tenant_id,
        "VAULT": stack.vault,
        "USERNAME_SECRET": stack.database_secrets.username,
        "PASSWORD_SECRET": stack.database_secrets.password,
        "NAMESPACE": stack.namespace,
        "SERVICE_ACCOUNT": stack.service_account,
        "GET_STORAGE_IMAGE": options.get_storage_image,
    }


@task_with_retries(name="Check the secrets", run_name="check that {stack.vault} has username and password")
def check_secrets(stack: Stack) -> None:
    """Make sure that the mount will find the credential's secrets, before anything is applied.

    Raises:
        NotFound: the vault or a secret does not exist.
        SecretUnusable: the newest version of one is disabled: a mount never uses an older one instead.
    """
    with opened_azure() as azure:
        vault = azure.vault(stack.vault)
        for name in stack.database.secrets.names:
            latest = vault.get_latest(name)
            if not latest.enabled:
                seen = f"version {latest.version}"
                raise SecretUnusable(Code.SECRET_DISABLED, name=f"{stack.vault}/{name}", seen=seen)


@task_with_retries(name="Look at the CSI driver", run_name="look at the CSI driver of {stack.cluster}")
def see_driver(stack: Stack) -> Driver:
    """Return the Secrets Store CSI driver and its generation.

    Raises:
        NotFound: the cluster has none: the add-on is off.
    """
    return get_driver(open_cluster(stack.database.cluster))


@contextmanager
def rotations_excluded(stack: Stack) -> Iterator[None]:
    """Let no rotation of the stack's database run during a block: it stops pods and pins what the manifests say anew.

    Before the namespace of its lock is made, no rotation can run.

    Raises:
        Conflict: one is running (code Locked).
    """
    credential = stack.database
    if open_cluster(credential.cluster).find(f"/api/v1/namespaces/{credential.lock_namespace}") is None:
        yield
        return
    with credential_locked(credential, f"the deployment of {stack.name}"):
        yield


@task_with_retries(name="Check the rotation", run_name="see whether a rotation of {stack.database.name} is unfinished")
def check_rotation(stack: Stack, values: Mapping[str, str]) -> None:
    """Make sure that no existing object is changed under an unfinished rotation: it may have stopped or pinned it.

    Raises:
        Refused: a rotation is unfinished, and the manifests would change something.
    """
    credential = stack.database
    with opened_azure() as azure:
        found = find_candidate(azure.vault(credential.vault), credential)
    if found is None or not found[1].phase.is_live or found[1].phase is Phase.GRACE:
        return
    cluster = open_cluster(credential.cluster)
    for name in list_manifests(stack):
        for change in manifests.apply(cluster, manifests.load(name, values, stack.folder), dry_run=True):
            if change.action == "configured":
                raise Refused(
                    Code.ROTATION_UNFINISHED,
                    name=f"{credential.name}, rotation {found[1].rotation_id}",
                    seen=f"{change.kind} {change.name} would change: {'; '.join(change.changes)}",
                    fix=f"{Code.ROTATION_UNFINISHED.fix}. If it can't be finished: delete the secret "
                    f"{name_candidate(credential.secrets.names)} from {credential.vault}",
                )


@task_with_retries(name="Apply a manifest", run_name="apply {manifest}, dry run: {dry_run}")
def apply_manifest(stack: Stack, manifest: str, values: Mapping[str, str], dry_run: bool) -> list[Applied]:
    """Apply a manifest by server-side apply and return what that changed; a dry run changes nothing.

    Raises:
        InvalidInput: a placeholder has no value, or the server finds a document invalid.
        NotFound: the cluster does not know a kind.
    """
    documents = manifests.load(manifest, values, stack.folder)
    applied = manifests.apply(open_cluster(stack.database.cluster), documents, dry_run=dry_run)
    for change in applied:
        get_run_logger().info("%s %s: %s", change.kind, change.name, "; ".join((change.action, *change.changes)))
    return applied


@task_with_retries(name="Report what was applied", run_name="report what was applied")
def report_applied(applied: Sequence[Applied], dry_run: bool) -> None:
    """Make the table of what was, or would be, created and configured."""
    rows = [
        {
            "kind": change.kind,
            "name": change.name,
            "namespace": change.namespace or "-",
            "action": change.action,
            "changes": "; ".join(change.changes) or "-",
        }
        for change in applied
    ]
    what = "What the deployment **would** change; nothing was changed." if dry_run else "What the deployment changed."
    report_table("deploy-plan" if dry_run else "deploy-applied", rows, what)


@task_with_retries(name="Wait for the pods", run_name="wait until {workload} is ready")
def wait_for_workload(stack: Stack, workload: WorkloadRef, timeout_seconds: float) -> Workload:
    """Wait until a workload's pods are ready.

    Raises:
        WorkloadUnhealthy: they are not ready in time; the message says why and how to fix it.
    """
    handle = open_workload(open_cluster(stack.database.cluster), workload)
    return handle.wait_for_ready(timeout_seconds, log_progress(str(workload)))


@task_with_retries(name="Wait for the load balancer", run_name="wait until {stack.load_balancer} has an address")
def wait_for_address(stack: Stack, timeout_seconds: float) -> DatabaseAddress:
    """Wait until the database's load balancer has an address, and return it with its port.

    Raises:
        WorkloadUnhealthy: it has none in time; the message says why, if an event does.
    """
    cluster, service = open_cluster(stack.database.cluster), stack.load_balancer.service
    found = wait_for_load_balancer(cluster, stack.namespace, service, timeout_seconds, log_progress(service))
    return DatabaseAddress(*found)


@task_with_retries(name="Verify the values", run_name="verify that files and Secret hold the vault's values")
def verify_values(stack: Stack, workload: Workload, timeout_seconds: float) -> list[str]:
    """Prove that the synced Secret and the files in each pod hold what the vault holds; return what was compared.

    Values are read, compared and dropped here. Mounts and a Secret that are behind are waited for: the driver polls.

    Raises:
        SyncPending: mounts or Secret did not get the vault's values in time.
        Unverified: a file in a pod differs.
    """
    consumer = stack.database_consumer
    with opened_azure() as azure:
        vault = azure.vault(stack.vault)
        versions = {name: vault.get_latest(name).version for name in stack.database.secrets.names}
        values = {name: vault.read(name, version) for name, version in versions.items()}
    cluster = open_cluster(stack.database.cluster)
    delivery = open_delivery(cluster, consumer)
    tell = log_progress(consumer.secret_key)
    delivery.wait_until_current(workload.live_pods, versions, delivery.seal(values), timeout_seconds, tell)
    files = delivery.files(workload, values)
    verify_files(cluster, consumer.workload.namespace, workload.live_pods.values(), files)
    return [f"Secret {consumer.secret_key}", *sorted(files.values)]


@task_with_retries(name="Report what runs", run_name="report what runs in {stack.namespace}")
def report_inventory(stack: Stack) -> None:
    """Make the tables of what cluster and namespace have; of the synced Secret, keys and lengths alone."""
    cluster, namespace = open_cluster(stack.database.cluster), stack.namespace
    (delivery,) = stack.database_consumer.every_delivery
    secret = delivery.secret_name
    report_table("csi-driver", _driver(cluster), "The Secrets Store CSI driver, and how it looks for new versions.")
    report_table("service-accounts", _accounts(cluster, namespace), f"Service accounts in `{namespace}`.")
    report_table("pods", _pods(cluster, namespace), f"Pods in `{namespace}`.")
    report_table("services", _services(cluster, namespace), f"Services in `{namespace}`.")
    what = f"Keys of the Secret `{secret}` and the lengths of their values."
    report_table("synced-secret", _secret(cluster, namespace, secret), what)


def _driver(cluster: Cluster) -> list[Row]:
    driver = get_driver(cluster)
    return [
        {
            "driver": driver.name,
            "requires republish": str(driver.requires_republish).lower(),
            "generation": driver.generation,
            "looks for new versions by": GENERATIONS[driver.generation],
        }
    ]


def _accounts(cluster: Cluster, namespace: str) -> list[Row]:
    return [
        {"service account": account.name, "client id": account.client_id or "-"}
        for account in list_service_accounts(cluster, namespace)
    ]


def _pods(cluster: Cluster, namespace: str) -> list[Row]:
    return [
        {
            "pod": pod.name,
            "ready": "terminating" if pod.terminating else "yes" if pod.ready else "no",
            "phase": pod.phase,
            "restarts": str(pod.restarts),
            "node": pod.node or "-",
            "image": ", ".join(pod.images),
        }
        for pod in list_pods(cluster, namespace)
    ]


def _services(cluster: Cluster, namespace: str) -> list[Row]:
    return [
        {
            "service": service.name,
            "type": service.kind,
            "cluster address": service.cluster_address or "-",
            "address": service.address or "-",
            "ports": service.ports,
            "selects": service.selector,
        }
        for service in list_services(cluster, namespace)
    ]


def _secret(cluster: Cluster, namespace: str, name: str) -> list[Row]:
    secret = SyncedSecret(cluster, namespace, name).get()
    managed = "yes" if secret.managed else "no"
    return [
        {"secret": secret.name, "key": key, "bytes": str(size), "managed by the driver": managed}
        for key, size in secret.sizes.items()
    ]
