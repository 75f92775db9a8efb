"""The steps of a deployment: look up what the manifests need, apply them, wait until they run, prove the values."""

from collections.abc import Mapping
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.azure.identities import get_identity
from infra.azure.secrets import Secrets
from infra.errors import SecretUnusable, Unverified
from infra.kubernetes import apply as applying
from infra.kubernetes import load_balancers, manifests, workloads
from infra.kubernetes.apply import Applied
from infra.kubernetes.mounted_files import differing_files
from infra.kubernetes.provider_classes import get_provider_class
from infra.kubernetes.secrets_store import Driver, get_driver, wait_for_synced_secret
from infra.settings import Settings
from infra.targets import DeployOptions, Stack
from tasks.connections import cluster_of
from tasks.orders import logged
from tasks.policy import step

DATABASE, STORAGE, SERVICE = "postgres-pod-kv", "get-storage", "dexter-service"
PROVIDER_CLASS, SYNCED_SECRET = "postgresql-kvname", "userpass"
"""The names that the manifests give; those of `infra.targets.Stack` are filled into them."""


@dataclass(frozen=True)
class Address:
    """Where the database is reached from outside the cluster."""

    host: str
    port: int


@step(name="Look up the identity", run_name="look up the client id of {stack.identity}")
def look_up_values(stack: Stack, options: DeployOptions) -> Mapping[str, str]:
    """Return placeholder -> value for the manifests: ids are looked up, never typed. None of them is secret.

    Raises:
        NotFound: there is no such identity.
    """
    identity = get_identity(stack.identity, stack.resource_group, Settings())
    return {
        "CLIENT_ID": identity.client_id,
        "TENANT_ID": identity.tenant_id,
        "VAULT": stack.vault,
        "USERNAME_SECRET": stack.username_secret,
        "PASSWORD_SECRET": stack.password_secret,
        "NAMESPACE": stack.namespace,
        "SERVICE_ACCOUNT": stack.service_account,
        "GET_STORAGE_IMAGE": options.get_storage_image,
    }


@step(name="Check the secrets", run_name="check that {stack.vault} has username and password")
def check_secrets(stack: Stack) -> None:
    """Make sure that the mount will find both secrets, before anything is applied.

    Raises:
        NotFound: the vault or a secret does not exist.
        SecretUnusable: the newest version of one is disabled: a mount never falls back to an older one.
    """
    secrets = Secrets(stack.vault, Settings())
    for name in (stack.username_secret, stack.password_secret):
        latest = secrets.get_latest(name)
        if not latest.enabled:
            raise SecretUnusable(
                "The newest version of the secret is disabled",
                name=f"{stack.vault}/{name}",
                seen=f"version {latest.version}",
                fix="enable it, or write a new version",
                code="SecretDisabled",
            )


@step(name="See the CSI driver", run_name="see which CSI driver {stack.cluster} has")
def see_driver(stack: Stack) -> Driver:
    """Return the Secrets Store CSI driver and its generation.

    Raises:
        NotFound: the cluster has none: the add-on is off.
    """
    return get_driver(cluster_of(stack.resource_group, stack.cluster, Settings()))


@step(name="Apply a manifest", run_name="apply {manifest}, dry run: {dry_run}")
def apply_manifest(stack: Stack, manifest: str, values: Mapping[str, str], dry_run: bool) -> list[Applied]:
    """Apply a manifest by server-side apply and return what that changed; a dry run changes nothing.

    Raises:
        InvalidInput: a placeholder is unfilled, or the server finds a document invalid.
        NotFound: the cluster does not know a kind.
    """
    documents = manifests.load(manifest, values)
    cluster = cluster_of(stack.resource_group, stack.cluster, Settings())
    applied = applying.apply(cluster, documents, dry_run=dry_run)
    for one in applied:
        get_run_logger().info("%s %s: %s", one.kind, one.name, "; ".join((one.action, *one.changes)))
    return applied


@step(name="Wait for the pods", run_name="wait until {workload} is ready")
def wait_for_workload(stack: Stack, workload: str, timeout_seconds: float) -> workloads.Workload:
    """Wait until a Deployment's pods are ready.

    Raises:
        WorkloadUnhealthy: they did not get ready; the message says why and what to do.
    """
    cluster = cluster_of(stack.resource_group, stack.cluster, Settings())
    return workloads.wait_for_ready(cluster, stack.namespace, workload, timeout_seconds, logged(workload))


@step(name="Wait for the load balancer", run_name="wait until {service} has an address")
def wait_for_address(stack: Stack, service: str, timeout_seconds: float) -> Address:
    """Wait until a load balancer has an address, and return it with its port.

    Raises:
        WorkloadUnhealthy: it got none in time; the message says why, if an event does.
    """
    cluster = cluster_of(stack.resource_group, stack.cluster, Settings())
    found = load_balancers.wait_for_load_balancer(cluster, stack.namespace, service, timeout_seconds, logged(service))
    return Address(*found)


@step(name="Verify the values", run_name="verify that files and Secret hold the vault's values")
def verify_values(stack: Stack, workload: workloads.Workload, timeout_seconds: float) -> list[str]:
    """Prove that the synced Secret and the files in each pod hold what the vault holds; return what was compared.

    Values are read, compared and dropped here. A Secret that is behind is waited for: the driver polls.

    Raises:
        SyncPending: the Secret did not take the vault's values in time.
        Unverified: a file in a pod differs.
    """
    settings = Settings()
    cluster = cluster_of(stack.resource_group, stack.cluster, settings)
    provider = get_provider_class(cluster, stack.namespace, PROVIDER_CLASS)
    vault = Secrets(provider.vault, settings)
    values = {name: vault.read(name) for name in provider.files.values()}
    expected = {key: values[name] for key, name in provider.synced[SYNCED_SECRET].items()}
    wait_for_synced_secret(cluster, stack.namespace, SYNCED_SECRET, expected, timeout_seconds, logged(SYNCED_SECRET))
    root = next(volume.mount_path for volume in workload.volumes if volume.source == PROVIDER_CLASS)
    files = {f"{root}/{file}": values[name] for file, name in provider.files.items()}
    for pod in workload.pods:
        if differing := [] if pod.terminating else differing_files(cluster, stack.namespace, pod.name, files):
            fix = "wait for the driver's next poll, or restart the pod: a new mount takes the newest versions"
            seen = f"other content than the vault's in {', '.join(differing)}"
            raise Unverified("The files in the pod are not the vault's", name=pod.name, seen=seen, fix=fix)
    return [*(f"{SYNCED_SECRET}: {key}" for key in sorted(expected)), *sorted(files)]
