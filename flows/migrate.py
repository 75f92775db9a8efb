"""Migrate: what a database needs once, before two logins can take turns in it (strategy alternating)."""

from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.shell import run_from_shell
from infra.targets import MigrateOptions, Target
from tasks import migration
from tasks.locking import rotation_locked
from tasks.rotation_report import name_rotation


@flow(name="migrate", flow_run_name="Prepare {target.place} for two logins", persist_result=False)
def migrate(
    target: Target = Target(),  # noqa: B008
    options: MigrateOptions = MigrateOptions(),  # noqa: B008
) -> Any:
    """Make an owner role of the credential's login, and a login of the same name and password that becomes it.

    Everything stays where it is: objects, grants and default privileges belong to the same role under its new name,
    and clients log in as before. It is one transaction, rehearsed before; running it again changes nothing.

    Args:
        target: the credential: where it is kept, which database takes it, who consumes it.
        options: as they stand, the plan is shown and rehearsed alone.
    """
    plan = migration.look(target)
    migration.show_plan(plan, target)
    if plan.refusal:
        raise plan.refusal
    if not plan.changes:
        return Completed(name="NothingToDo", message="The login becomes its owner role already.")
    migration.rehearse(target)
    if options.dry_run:
        return Completed(name="Planned", message=f"{len(plan.changes)} changes in one transaction, rehearsed.")
    name = name_rotation()
    with rotation_locked(target, name):
        migration.migrate(target, name)
    return Completed(name="Migrated", message="The login becomes its owner role; the strategy alternating can begin.")


if __name__ == "__main__":
    run_from_shell(migrate)
