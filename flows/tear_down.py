"""Tear down: a stack's resource group with everything in it, and the vault for good."""

from typing import Annotated, Any

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from flows.cli import run_from_shell
from infra.errors import Code, Refused
from infra.provisioning.options import get_stack
from infra.settings import Settings
from tasks.provisioning import resources


@flow(name="tear down", flow_run_name="Tear down {stack}", persist_result=False)
def tear_down(stack: str, confirm: Annotated[str, Field(max_length=90)] = "") -> Any:
    """Remove everything: deletes the resource group and purges the vault, so that all names are free again.

    Without the confirmation it shows what would be removed, and removes nothing. Run again, it finds nothing.

    Args:
        stack: The stack's name: that of its folder below `KEYTURN_STACKS`.
        confirm: The name of the resource group, to confirm: it is deleted with everything in it, and its vault is
            purged.
    """
    chosen = get_stack(stack, Settings())
    rows = resources.list_removable(chosen)
    if not rows:
        return Completed(message=f"Unchanged: {chosen.resource_group} does not exist")
    if not confirm:
        fix = "to remove them, repeat the resource group's name in confirm"
        return Completed(message=f"NotConfirmed: {len(rows)} things would be removed; {fix}")
    if confirm != chosen.resource_group:
        raise Refused(Code.NOT_CONFIRMED, name=chosen.resource_group, seen=confirm)
    resources.delete_group(chosen)
    resources.purge_vault(chosen)
    return Completed(message=f"Removed: {len(rows)} things")


if __name__ == "__main__":
    run_from_shell(tear_down)
