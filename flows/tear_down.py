"""Tear down: the resource group with all that is in it, and the vault for good."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed

from flows.shell import run_from_shell
from infra.errors import Refused
from infra.targets import Stack, TearDownOptions
from tasks import provisioning


@flow(name="tear down", flow_run_name="Tear down {stack.resource_group}", persist_result=False)
def tear_down(stack: Stack = Stack(), options: TearDownOptions = TearDownOptions()) -> Any:  # noqa: B008
    """Remove everything: deletes the resource group and purges the vault, so that all names are free again.

    Without the confirmation it shows what would be removed, and removes nothing. Run again it finds nothing.

    Args:
        stack: the names of what is removed.
        options: the confirmation, which is the resource group's name.
    """
    rows = provisioning.list_removable(stack)
    if not rows:
        get_run_logger().info("Nothing to remove: %s does not exist", stack.resource_group)
        return Completed(name="Unchanged", message=f"{stack.resource_group} does not exist")
    if not options.confirm:
        message = f"{len(rows)} things would be removed; confirm with the resource group's name to do it"
        get_run_logger().info(message)
        return Completed(name="NotConfirmed", message=message)
    if options.confirm != stack.resource_group:
        raise Refused(
            "The confirmation is not the resource group's name; nothing was removed",
            name=stack.resource_group,
            seen=options.confirm,
            fix=f"give confirm={stack.resource_group}",
            code="NotConfirmed",
        )
    provisioning.delete_group(stack)
    provisioning.purge_vault(stack)
    return Completed(name="Removed", message=f"{len(rows)} things were removed")


if __name__ == "__main__":
    run_from_shell(tear_down)
