"""Migrate: prepare a credential's database for two logins that alternate, once."""

from typing import Any

from prefect import flow

from flows.cli import run_from_shell
from flows.parameters import CredentialName
from tasks import two_logins
from tasks.context import connections_shared
from tasks.inventory import get_credential
from tasks.reports.endings import end, ends_with_own_errors
from tasks.rotation.lock import name_rotation, rotation_locked


@flow(name="migrate", flow_run_name="{credential}: prepare for two logins", persist_result=False)
@ends_with_own_errors
def migrate(credential: CredentialName, dry_run: bool = True) -> Any:
    """Make the login's role an owner role, and a login of the same name and password whose sessions start as it.

    Everything stays where it is: objects, grants and default privileges belong to the same role under its new name,
    and clients log in as before. It is one transaction, which is rehearsed first. Running it again changes nothing.

    Args:
        credential: the credential's name in the inventory.
        dry_run: show the plan and rehearse it; change nothing.
    """
    found = get_credential(credential)
    with connections_shared():
        plan = two_logins.plan(found)
        two_logins.show(found, plan)
        if plan.refusal:
            raise plan.refusal
        if not plan.steps:
            return end("unchanged", credential, "The login has its owner role.")
        two_logins.rehearse(found)
        if dry_run:
            return end("planned", credential, f"{len(plan.steps)} steps in one transaction, rehearsed.")
        rotation_id = name_rotation()
        with rotation_locked(found, rotation_id):
            two_logins.migrate(found, rotation_id)
    return end("migrated", credential, "The login has its owner role; the strategy alternating can be used.")


if __name__ == "__main__":
    run_from_shell(migrate)
