"""Check: what is wrong with the inventory, in words. With --live also what a preflight would say of each credential.

python -m flows.check                     # every file, without a network
python -m flows.check orders-db --live    # also looks at its vault, cluster and database; changes nothing
python -m flows.check --schema            # the JSON schema, for editors
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.states import Completed, Failed

from flows.cli import keep_imports
from flows.console import run
from flows.rotate import TaskExecutor
from infra.credentials import Credential, Inventory, Problem, load_inventory
from infra.credentials.schema import make_schema
from infra.errors import KeyturnError
from infra.rotation.options import RotationOptions
from infra.rotation.plan import make_plan
from infra.rotation.preflight import Finding
from infra.settings import Settings
from tasks.context import connections_shared
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
    executor = TaskExecutor(credential, OPTIONS)
    try:
        observation = executor.observe()
        plan = make_plan(credential, OPTIONS, observation, name_rotation())
        refused = (Finding(plan.refusal),) if plan.refusal else ()
        found = executor.preflight(plan) if plan.is_beginning else ()
    except KeyturnError as error:
        return Looked(credential.name, (Finding(error),))
    return Looked(credential.name, (*refused, *found), plan.notes)


def list_problems(inventory: Inventory, credential: str) -> list[Problem | KeyturnError]:
    """Return what cannot be used: of one credential, or of all files.

    Raises:
        NotFound: there is no such credential.
    """
    if not credential:
        return [*inventory.unusable, *inventory.list_problems()]
    return list(inventory.list_problems(credential))


def main(arguments: Sequence[str]) -> int:
    """Check what the command line names, print it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flows.check", description=__doc__.partition("\n")[0])
    parser.add_argument("credential", nargs="?", default="", help="one credential; by default all of them")
    parser.add_argument("--live", action="store_true", help="look at vault, cluster and database, too; changes nothing")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of an inventory")
    given = parser.parse_args(arguments)
    if given.schema:
        print(json.dumps(make_schema(), indent=2))
        return 0
    try:
        inventory = load_inventory(Settings().credentials)
        problems = list_problems(inventory, given.credential)
    except KeyturnError as error:
        print(error)
        return 1
    for problem in problems:
        print(problem)
    if given.live and not (problems and given.credential):
        keep_imports()
        run(check, {"credential": given.credential})
    if not problems:
        count = len(inventory.entries)
        usable = given.credential or ("1 credential" if count == 1 else f"{count} credentials")
        print(f"{inventory.path}: {usable} can be used.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
