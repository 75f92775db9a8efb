"""Live check: what a preflight would say of each credential of the inventory. Nothing is changed."""

from dataclasses import dataclass
from typing import Any, NoReturn

from prefect import flow
from prefect.states import Completed, Failed

from flows.cli import keep_imports
from flows.console import run
from infra.credentials import Credential, load_inventory
from infra.errors import KeyturnError
from infra.rotation.options import RotationOptions
from infra.rotation.plan import make_plan
from infra.rotation.preflight import Finding
from infra.settings import Settings
from tasks.context import connections_shared
from tasks.inventory import list_problems
from tasks.preflight import denials_explained, observe_and_check
from tasks.reports.artifacts import report_markdown
from tasks.rotation import name_rotation

OPTIONS = RotationOptions(data_loss="I accept data loss")
"""Consent is given with a rotation, so its lack is no finding. Nothing is executed here."""


@dataclass(frozen=True)
class Looked:
    """What a look at a credential found.

    Args:
        name: the credential.
        findings: what a preflight would say.
        notes: what a plan would say beside.
    """

    name: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """Whether a rotation would be refused."""
        return any(finding.is_blocking for finding in self.findings)

    def lines(self) -> list[str]:
        """Say it as a part of the report."""
        words = "would be refused" if self.is_blocked else "could rotate"
        return [f"## {self.name}: {words}", "", *(f"- {told}" for told in (*self.findings, *self.notes)), ""]


@flow(name="check", persist_result=False)
def check(credential: str = "") -> Any:
    """Look at vault, cluster and database of each credential, and say what a preflight would find. It changes nothing.

    Args:
        credential: The credential's name in the inventory. Empty: every one.
    """
    try:
        inventory = load_inventory(Settings().credentials)
        chosen = [inventory.get(credential)] if credential else list(inventory.credentials.values())
    except KeyturnError as error:
        return Failed(message=str(error))
    with connections_shared():
        looked = [look(found) for found in chosen]
    report_markdown("keyturn-check", "\n".join(line for each in looked for line in each.lines()), "The preflights")
    blocked = [each.name for each in looked if each.is_blocked]
    unusable = list_problems(inventory, credential)
    verdict = f"refused would be {', '.join(blocked)}" if blocked else "all could rotate"
    mistakes = f" The inventory has {len(unusable)} mistakes: see python -m flows.check." if unusable else ""
    message = f"{len(looked)} looked at: {verdict}.{mistakes}"
    return Failed(message=message) if blocked or unusable else Completed(message=message)


def look(credential: Credential) -> Looked:
    """Observe a credential, plan a rotation, and try what that would need."""
    rotation_id = name_rotation()
    try:
        with denials_explained(credential):
            observation, found = observe_and_check(credential, OPTIONS, rotation_id)
    except KeyturnError as error:
        return Looked(credential.name, (Finding(error),))
    plan = make_plan(credential, OPTIONS, observation, rotation_id)
    refused = (Finding(plan.refusal),) if plan.refusal else ()
    return Looked(credential.name, (*refused, *found), plan.notes)


def run_live(credential: str) -> NoReturn:
    """Run the flow in front of a person, and exit.

    Args:
        credential: its name; empty: all of them.
    """
    keep_imports()
    run(check, {"credential": credential})
