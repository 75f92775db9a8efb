"""The audit: every credential is looked at, and whatever is late, disagrees or was left behind is on one page.

python -m flows.audit                          # all credentials
python -m flows.audit --credentials orders-db  # one
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.cli import run_from_shell
from infra.errors import Code, KeyturnError, NeedsOperator
from tasks.context import connections_shared
from tasks.fleet.audit import Audited, audit_credential
from tasks.fleet.audit_report import describe, report_audit
from tasks.fleet.scan import scan
from tasks.inventory import get_inventory
from tasks.reports.endings import end, ends_with_own_errors
from tasks.reports.history import read_latest
from tasks.reports.logs import best_effort

SIDE_BY_SIDE = 8
"""Credentials that are looked at at once."""


@flow(
    name="audit",
    flow_run_name="audit",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=SIDE_BY_SIDE),  # type: ignore[arg-type]
)
@ends_with_own_errors
def audit(credentials: tuple[str, ...] = ()) -> Any:
    """Look at every credential: age, expiry, what disagrees with the vault, what was left behind, missing rights.

    It changes nothing. It ends as Failed if something needs a person.

    Args:
        credentials: The credentials to look at, by name. None: all of them.
    """
    inventory = get_inventory()
    chosen = [inventory.get(name) for name in credentials] or list(inventory.credentials.values())
    audited = list[Audited]()
    with connections_shared():
        found = scan(chosen)
        futures = [
            audit_credential.submit(credential, found.facts.get(credential.name), found.errors.get(credential.name))
            for credential in chosen
        ]
        audited = [future.result() for future in futures]
    with best_effort("recall the last rotations"):
        latest = read_latest()
        for each in audited:
            each.last = latest.get(each.credential.name, {})
    with best_effort("report the audit"):
        report_audit(audited, datetime.now(UTC))
    return _end(audited, {} if credentials else inventory.errors)


def _end(audited: list[Audited], mistakes: Mapping[str, KeyturnError]) -> Any:
    """End well if everything is. Whatever the inventory has and cannot be used would never rotate."""
    message = describe(audited)
    unwell = [each for each in audited if not each.is_well]
    if not unwell and not mistakes:
        return end("all-well", "fleet", message, kind="fleet", data=tuple(audited))
    names = ", ".join(sorted([*mistakes, *(each.credential.name for each in unwell)])[:10])
    findings = (finding.error for each in unwell for finding in each.findings if finding.is_blocking)
    causes = [*mistakes.values(), *findings]
    error = NeedsOperator(Code.FLEET_TROUBLE, name=names, seen=message.rstrip("."), cause=causes[0])
    return end("needs-operator", "fleet", kind="fleet", error=error)


if __name__ == "__main__":
    run_from_shell(audit)
