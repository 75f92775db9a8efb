"""Reports of what a cluster runs, as tables: driver, service accounts, pods, services, synced Secret (no values)."""

from collections.abc import Sequence

from infra.kubernetes import inventory
from infra.kubernetes.apply import Applied
from infra.kubernetes.client import Cluster
from infra.kubernetes.secrets_store import get_driver, get_synced_secret
from infra.settings import Settings
from infra.targets import Stack
from tasks.connections import cluster_of
from tasks.deployment import SYNCED_SECRET
from tasks.policy import step
from tasks.reporting import report_table

Row = dict[str, str]

LOOKS = {
    "reconciler": "one ticker per node, every poll interval (driver up to 1.5)",
    "republish": "the kubelet republishes each volume (driver from 1.6)",
}


@step(name="Report what was applied", run_name="report what was applied")
def report_applied(applied: Sequence[Applied], dry_run: bool) -> None:
    """Make the table of what was, or would be, created and configured."""
    rows = [
        {
            "kind": one.kind,
            "name": one.name,
            "namespace": one.namespace or "-",
            "action": one.action,
            "changes": "; ".join(one.changes) or "-",
        }
        for one in applied
    ]
    what = "What the deployment **would** change; nothing was changed." if dry_run else "What the deployment changed."
    report_table("deploy-plan" if dry_run else "deploy-applied", rows, what)


@step(name="Report what runs", run_name="report what runs in {stack.namespace}")
def report_inventory(stack: Stack) -> None:
    """Make the tables of what the cluster and the namespace have."""
    cluster = cluster_of(stack.resource_group, stack.cluster, Settings())
    report_table("csi-driver", _driver(cluster), "The Secrets Store CSI driver, and how it looks for new versions.")
    report_table("service-accounts", _accounts(cluster, stack), f"Service accounts in `{stack.namespace}`.")
    report_table("pods", _pods(cluster, stack), f"Pods in `{stack.namespace}`.")
    report_table("services", _services(cluster, stack), f"Services in `{stack.namespace}`.")
    what = f"Keys of the Secret `{SYNCED_SECRET}` and the lengths of their values."
    report_table("synced-secret", _secret(cluster, stack), what)


def _driver(cluster: Cluster) -> list[Row]:
    driver = get_driver(cluster)
    return [
        {
            "driver": driver.name,
            "requires republish": str(driver.requires_republish).lower(),
            "generation": driver.generation,
            "looks for new versions by": LOOKS[driver.generation],
        }
    ]


def _accounts(cluster: Cluster, stack: Stack) -> list[Row]:
    return [
        {"service account": one.name, "client id": one.client_id or "-"}
        for one in inventory.list_service_accounts(cluster, stack.namespace)
    ]


def _pods(cluster: Cluster, stack: Stack) -> list[Row]:
    return [
        {
            "pod": one.name,
            "ready": "terminating" if one.terminating else "yes" if one.ready else "no",
            "phase": one.phase,
            "restarts": str(one.restarts),
            "node": one.node or "-",
            "image": ", ".join(one.images),
        }
        for one in inventory.list_pods(cluster, stack.namespace)
    ]


def _services(cluster: Cluster, stack: Stack) -> list[Row]:
    return [
        {
            "service": one.name,
            "type": one.kind,
            "cluster address": one.cluster_address or "-",
            "address": one.address or "-",
            "ports": one.ports,
            "selects": one.selector,
        }
        for one in inventory.list_services(cluster, stack.namespace)
    ]


def _secret(cluster: Cluster, stack: Stack) -> list[Row]:
    secret = get_synced_secret(cluster, stack.namespace, SYNCED_SECRET)
    managed = "yes" if secret.managed else "no"
    return [
        {"secret": secret.name, "key": key, "bytes": str(size), "managed by the driver": managed}
        for key, size in secret.sizes.items()
    ]
