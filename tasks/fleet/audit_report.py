"""The audit's table of all credentials, and one page for each with what was found and where to look."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from prefect.settings import PREFECT_UI_URL

from infra.credentials import FlexibleServerEndpoint
from infra.errors import Code
from infra.fleet.audit import is_drift
from infra.rotation.preflight import Finding
from infra.settings import Settings
from tasks.fleet.audit import Audited
from tasks.reports.artifacts import report_markdown, report_table
from tasks.reports.events import Trail
from tasks.reports.fleet_pictures import Age, picture_ages
from tasks.retries import task_with_retries

TABLE, PAGE = "audit", "audit-page"
"""The artifacts' keys; a credential's page is `NAME-audit`."""
PORTAL = "https://portal.azure.com/#"
SECTION = "audit"
EVENTS = {Code.OVERDUE: "overdue", Code.EXPIRED: "near_expiry", Code.EXPIRES_SOON: "near_expiry"}


@task_with_retries(name="Report the audit", run_name="report the audit")
def report_audit(audited: Sequence[Audited], now: datetime) -> None:
    """Make the table, the picture and a page for each credential, and emit an event for what is late or disagrees."""
    rows = [_row(each, now) for each in sorted(audited, key=_order)]
    report_table(TABLE, rows, describe(audited))
    picture = picture_ages(list(list_ages(audited, now)))
    report_markdown(PAGE, f"**{describe(audited)}**\n\n{picture}", "All credentials.")
    for each in audited:
        report_markdown(f"{each.credential.name}-audit", render(each, now), f"The audit of `{each.credential.name}`.")
        _emit(each)


def describe(audited: Sequence[Audited]) -> str:
    """Say in one sentence what was found."""
    unwell = [each.credential.name for each in audited if not each.is_well]
    warned = sum(1 for each in audited if each.findings and each.is_well)
    if not unwell:
        return f"{len(audited)} credentials, none needs a person; {warned} have warnings."
    names = ", ".join(sorted(unwell)[:10])
    return f"{len(audited)} credentials, {len(unwell)} need a person: {names}; {warned} others have warnings."


def list_ages(audited: Iterable[Audited], now: datetime) -> Iterable[Age]:
    """Yield how old each credential is that has a limit."""
    for each in audited:
        if each.facts and each.due and each.due.limit and each.due.limit > each.facts.created_at:
            share = (now - each.facts.created_at) / (each.due.limit - each.facts.created_at)
            yield Age(each.credential.name, share, each.due.is_overdue(now))


def _order(audited: Audited) -> tuple[bool, bool, str]:
    return audited.is_well, not audited.findings, audited.credential.name


def _row(audited: Audited, now: datetime) -> dict[str, str]:
    facts = audited.facts
    codes = dict.fromkeys(finding.error.code or finding.error.what for finding in audited.findings)
    return {
        "credential": audited.credential.name,
        "found": ", ".join(codes),
        "last": audited.last.get("verdict", ""),
        "age": f"{(now - facts.created_at).days} d" if facts else "",
        "next due": _describe_due(audited, now),
        "expires": f"{facts.expires_at:%Y-%m-%d}" if facts and facts.expires_at else "never",
    }


def _describe_due(audited: Audited, now: datetime) -> str:
    due = audited.due
    if due is None:
        return "paused" if audited.credential.paused else "never"
    return f"overdue: {due.limit:%Y-%m-%d}" if due.is_overdue(now) else f"{due.starts_at:%Y-%m-%d %H:%M}"


def render(audited: Audited, now: datetime) -> str:
    """Return a credential's page as markdown. Its first line says whether it needs a person."""
    credential, facts = audited.credential, audited.facts
    words = "is well" if audited.is_well else "needs a person"
    told = {
        "owner": credential.owner or "nobody is named",
        "strategy": credential.strategy.value,
        "age": f"{(now - facts.created_at).days} days" if facts else "unknown",
        "next due": _describe_due(audited, now) + (f", for {audited.due.why}" if audited.due else ""),
        "expires": f"{facts.expires_at:%Y-%m-%d}" if facts and facts.expires_at else "never",
        **{f"last rotation, {what}": text for what, text in audited.last.items() if what in LAST},
    }
    table = "\n".join(("| what | is |", "|---|---|", *(f"| {what} | {text} |" for what, text in told.items())))
    findings = "\n".join(_render_finding(finding) for finding in audited.findings) or "Nothing."
    links = "\n".join(f"- {link}" for link in list_links(audited))
    sections = {"Findings": findings, "State": table, "Links": links}
    pages = [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join((f"**{credential.name} {words}.**", *pages))


LAST = ("ended", "verdict", "started by", "rotation", "username", "error")
"""What a page says of the last rotation."""


def _render_finding(finding: Finding) -> str:
    error, runbook = finding.error, Settings().runbook_url
    code = f" (`{error.code}`, see `{runbook}#{SECTION}`)" if error.code else ""
    kind = "" if finding.is_blocking else "warning: "
    seen = f" Seen: {error.seen.rstrip('.')}." if error.seen else ""
    fix = f" Fix: {error.fix.rstrip('.')}." if error.fix else ""
    return f"- **{kind}{error.what}**: {error.name}.{seen}{fix}{code}"


def list_links(audited: Audited) -> list[str]:
    """Return where to look: the secrets, cluster and server in Azure's portal, the last run, the runbook."""
    credential, settings = audited.credential, Settings()
    asset = f"{PORTAL}asset/Microsoft_Azure_KeyVault/Secret/https://{credential.vault}.vault.azure.net/secrets"
    links = [f"[secret {name}]({asset}/{name})" for name in credential.secrets.names]
    group = f"{PORTAL}resource/subscriptions/{settings.subscription_id}/resourceGroups"
    cluster, endpoint = credential.cluster, credential.endpoint
    if cluster.name and settings.subscription_id:
        path = f"{cluster.resource_group}/providers/Microsoft.ContainerService/managedClusters/{cluster.name}"
        links.append(f"[cluster {cluster.name}]({group}/{path})")
    if isinstance(endpoint, FlexibleServerEndpoint) and settings.subscription_id:
        path = f"{endpoint.resource_group}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{endpoint.server}"
        links.append(f"[server {endpoint.server}]({group}/{path})")
    if (run := audited.last.get("run")) and (ui := PREFECT_UI_URL.value()):
        links.append(f"[last rotation]({ui}/runs/flow-run/{run})")
    runbook = settings.runbook_url
    return [*links, f"[runbook]({runbook})" if runbook.startswith("http") else f"runbook: `{runbook}`"]


def _emit(audited: Audited) -> None:
    trail, emitted = Trail(audited.credential.name), set[str]()
    for finding in audited.findings:
        event = "drifted" if is_drift(finding) else EVENTS.get(finding.error.code, "")  # type: ignore[call-overload]
        if event and event not in emitted:
            emitted.add(event)
            trail.emit(event, {"code": finding.error.code, "name": finding.error.name, "seen": finding.error.seen})
