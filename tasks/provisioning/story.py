"""The walkthrough's rows: what is looked up to fill them, and the report that the story ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.azure.clusters import ManagedClusters
from infra.azure.identities import FederatedCredentials, Identities
from infra.errors import NotFound
from infra.provisioning.options import Stack
from infra.provisioning.resources import FederatedCredential, ManagedCluster
from infra.provisioning.wanted import federation
from tasks.context import opened_azure
from tasks.reports.artifacts import report_markdown, report_table
from tasks.reports.timeline import Span, picture
from tasks.retries import task_with_retries

TITLES: Mapping[str, str] = {
    "S1": "the machine reads the secret",
    "S2": "the machine reads the blob",
    "S3": "everything is provisioned",
    "S4": "AKS has issuer, workload identity and the CSI add-on",
    "S5": "the identity's ids are looked up",
    "S6": "the identity trusts the service account",
    "S7": "the manifests are applied",
    "S8": "files and Secret hold the vault's values",
    "S9": "driver, service account, pods and service are listed",
    "S10": "login through the load balancer",
    "S11": "new versions written, older ones disabled",
    "S12": "the sync, by evidence",
    "S13": "scaled to 0 and up again",
    "S14": "new login works, old one is refused",
    "S15": "get-storage serves the blob",
    "S16": "login to the Flexible Server over TLS",
}
NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Row:
    """One row of the walkthrough.

    Args:
        row: its number, as "S12".
        seen: what was seen, or what failed.
        took_seconds: how long that took.
        proven: whether it was.
    """

    row: str
    seen: str
    took_seconds: float
    proven: bool = True


@task_with_retries(
    name="Look at what was provisioned", run_name="look at issuer, add-on, identity and federation of {stack.cluster}"
)
def see_infrastructure(stack: Stack) -> dict[str, str]:
    """Look up cluster, identity and federated credential afresh; return row -> what was seen.

    Raises:
        NotFound: one of them does not exist.
    """
    group = stack.resource_group
    with opened_azure() as azure:
        cluster = ManagedClusters(azure, group).find(ManagedCluster(name=stack.cluster))
        identity = Identities(azure, group).get(stack.identity)
        trust = FederatedCredentials(azure, group).find(federation(stack))
    if cluster is None or not isinstance(cluster.resource, ManagedCluster):
        raise NotFound("The cluster does not exist", name=stack.cluster, fix="Run the flow provision")
    if trust is None or not isinstance(trust.resource, FederatedCredential):
        what = "The identity has no such federated credential"
        raise NotFound(what, name=stack.federated_credential, fix="Run the flow provision")
    seen, trusted = cluster.resource, trust.resource
    return {
        "S4": f"workload identity {_on(seen.workload_identity)}, add-on {_on(seen.secrets_provider)}, "
        f"rotation {_on(seen.secret_rotation)} every {seen.poll_interval_seconds} s",
        "S5": f"client id {identity.client_id}",
        "S6": f"{trusted.subject} of {trusted.issuer}",
    }


def _on(value: bool) -> str:
    return "on" if value else "off"


@task_with_retries(name="Look at the versions", run_name="look at the versions of both secrets in {stack.vault}")
def see_versions(stack: Stack) -> str:
    """Return how many versions each of both secrets has, and how many can be read."""
    parts = []
    with opened_azure() as azure:
        vault = azure.vault(stack.vault)
        for name in stack.database.secrets.names:
            versions = vault.list_versions(name)
            newest = vault.get_latest(name).version
            enabled = [version.version for version in versions if version.enabled]
            state = "only the newest can be read" if enabled == [newest] else f"{len(enabled)} can be read"
            parts.append(f"{name} {newest[:8]}: {len(versions)} versions, {state}")
    return "; ".join(parts)


@task_with_retries(name="Report the story", run_name="report the rows of the walkthrough")
def report_story(rows: Sequence[Row], spans: Sequence[Span]) -> None:
    """Make the table of the rows, and the picture of the time."""
    known = {row.row: row for row in rows}
    story = [known.get(row, Row(row, NOT_REACHED, 0.0, False)) for row in TITLES]
    for row in story:
        get_run_logger().info("%s %s: %s", row.row, TITLES[row.row], row.seen)
    table = [
        {
            "row": row.row,
            "what": TITLES[row.row],
            "seen": row.seen,
            "proven": "yes" if row.proven else "no",
            "took": f"{row.took_seconds:.1f} s" if row.seen != NOT_REACHED else "-",
        }
        for row in story
    ]
    report_markdown("story-timeline", picture(spans), "How long each part took.")
    proven = sum(row.proven for row in story)
    report_table("story", table, f"The walkthrough, row by row: {proven} of {len(story)} proven.")
