"""Tear down: a stack's resource group with everything in it, and the vault for good."""

from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.cli import run_from_shell
from infra.errors import Code, Refused
from infra.provisioning.options import get_stack
from infra.settings import Settings
from tasks.provisioning import checks, reconcile
from tasks.reports.endings import end, ends_with_own_errors


@flow(name="tear down", flow_run_name="{stack}: tear down", persist_result=False)
@ends_with_own_errors
def tear_down(stack: str, confirm: Annotated[str, Field(max_length=90)] = "") -> Any:
    """Remove everything: deletes the resource group and purges the vault, so that all names are free again.

    Without the confirmation it shows what would be removed, and removes nothing. Run again, it finds nothing.

    Args:
        stack: The stack's name: that of its folder below `KEYTURN_STACKS`.
        confirm: The name of the resource group, to confirm: it is deleted with everything in it, and its vault is
            purged.
    """
    chosen = get_stack(stack, Settings())
    rows = reconcile.list_removable(chosen)
    if not rows:
        return end("unchanged", stack, f"{chosen.resource_group} does not exist.", kind="stack")
    if not confirm:
        fix = "To remove them, repeat the resource group's name in confirm."
        return end("not-confirmed", stack, f"{len(rows)} things would be removed. {fix}", kind="stack")
    if confirm != chosen.resource_group:
        raise Refused(Code.NOT_CONFIRMED, name=chosen.resource_group, seen=confirm)
    if error := checks.check_removal(chosen, rows):
        raise error
    reconcile.delete_group(chosen)
    reconcile.purge_vault(chosen)
    return end("removed", stack, f"{len(rows)} things were removed.", kind="stack")


if __name__ == "__main__":
    run_from_shell(tear_down)
