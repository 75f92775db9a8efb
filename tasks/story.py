"""The walkthrough's rows: what is looked up to fill them, and the report that the story ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.azure import clusters, identities
from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets
from infra.errors import NotFound
from infra.provisioning.resources import FederatedCredential, ManagedCluster
from infra.settings import Settings
from infra.targets import Stack
from tasks.policy import step
from tasks.reporting import report_markdown, report_table
from tasks.timeline import Span, picture

TITLES: Mapping[str, str] = {
    "S1": "the machine reads the secret",
    "S2": "the machine reads the blob",
    "S3": "everything is provisioned",
    "S4": "AKS has issuer, workload identity and the CSI add-on",
    "S5": "the identity's ids are looked up",
    "S6": "the identity trusts the service account",
    "S7": "the manifests are applied",
    "S8": "files and Secret hold the vault's values",
    "S9": "driver, account, pods and service are seen",
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


@step(name="See what was provisioned", run_name="see issuer, add-on, identity and federation of {stack.cluster}")
def see_infrastructure(stack: Stack) -> dict[str, str]:
    """Look cluster, identity and federated credential up afresh; return row -> what was seen.

    Raises:
        NotFound: one of them is not there.
    """
    settings, group = Settings(), stack.resource_group
    with signed_in(settings):
        cluster = clusters.find_cluster(stack.cluster, group, settings)
        identity = identities.get_identity(stack.identity, group, settings)
        federated = identities.find_federated(stack.federated_credential, stack.identity, group, settings)
    if cluster is None or not isinstance(cluster.resource, ManagedCluster):
        raise NotFound("The cluster does not exist", name=stack.cluster, fix="run the flow provision")
    if federated is None or not isinstance(federated.resource, FederatedCredential):
        raise NotFound("The identity trusts nobody", name=stack.federated_credential, fix="run the flow provision")
    seen, trust = cluster.resource, federated.resource
    return {
        "S4": f"workload identity {_on(seen.workload_identity)}, add-on {_on(seen.secrets_provider)}, "
        f"rotation {_on(seen.secret_rotation)} every {seen.poll_interval_seconds} s",
        "S5": f"client id {identity.client_id}",
        "S6": f"{trust.subject} of {trust.issuer}",
    }


def _on(value: bool) -> str:
    return "on" if value else "off"


@step(name="See the versions", run_name="see the versions of both secrets in {stack.vault}")
def see_versions(stack: Stack) -> str:
    """Return how many versions each of both secrets has, and how many can be read."""
    settings, parts = Settings(), []
    with signed_in(settings):
        vault = Secrets(stack.vault, settings)
        for name in (stack.username_secret, stack.password_secret):
            versions = vault.list_versions(name)
            newest = vault.get_latest(name).version
            enabled = [one.version for one in versions if one.enabled]
            state = "the newest alone can be read" if enabled == [newest] else f"{len(enabled)} can be read"
            parts.append(f"{name} {newest[:8]}: {len(versions)} versions, {state}")
    return "; ".join(parts)


@step(name="Report the story", run_name="report the rows of the walkthrough")
def report_story(rows: Sequence[Row], spans: Sequence[Span]) -> None:
    """Make the table of the rows, and the picture of the time."""
    known = {one.row: one for one in rows}
    told = [known.get(row, Row(row, NOT_REACHED, 0.0, False)) for row in TITLES]
    for one in told:
        get_run_logger().info("%s %s: %s", one.row, TITLES[one.row], one.seen)
    table = [
        {
            "row": one.row,
            "what": TITLES[one.row],
            "seen": one.seen,
            "proven": "yes" if one.proven else "no",
            "took": f"{one.took_seconds:.1f} s" if one.seen != NOT_REACHED else "-",
        }
        for one in told
    ]
    report_markdown("story-timeline", picture(spans), "How long each part took.")
    proven = sum(one.proven for one in told)
    report_table("story", table, f"The walkthrough, row by row: {proven} of {len(told)} proven.")
