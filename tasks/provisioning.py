"""Steps of provisioning: compare what is wanted with what exists, make one resource, and what became of it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger
from prefect.futures import PrefectFuture

from infra.azure import credentials, finding, groups, making, vaults
from infra.azure.secrets import Secrets
from infra.errors import AccessDenied, KeyturnError, NotFound, SecretUnusable, ServiceFailed
from infra.provisioning.budget import make_delays
from infra.provisioning.plan import Action, Plan, State, Step, make_plan
from infra.provisioning.resources import FederatedCredential, RoleAssignment, Vault, VaultSecret
from infra.provisioning.stack import check_first_username, make_stack
from infra.settings import Settings
from infra.targets import ProvisionOptions, Stack
from tasks.policy import step as a_step
from tasks.reporting import report_table


@dataclass(frozen=True)
class Outcome:
    """What became of one step.

    Args:
        key: the resource's key.
        action: what was done.
        took_seconds: how long that took.
        trouble: why it was not done; empty when it was.
    """

    key: str
    action: str
    took_seconds: float
    trouble: str = ""


@a_step(name="Compare what is wanted with what exists", run_name="Look at what exists in {stack.resource_group}")
def plan_stack(stack: Stack, options: ProvisionOptions) -> Plan:
    """Observe every resource of the stack and plan what is left to do; nothing is changed.

    Raises:
        InvalidInput: the first username, or the first password that a variable gives, is not one that Azure takes.
    """
    settings = Settings()
    check_first_username(stack)
    caller = credentials.get_caller(settings)
    wanted = make_stack(stack, options, caller.tenant_id, {})
    found = finding.find_all([one.resource for one in wanted], stack.resource_group, caller, settings)
    if VaultSecret(name=stack.password_secret, parent=stack.vault).key not in found:
        making.check_variables(stack, os.environ)
    username = _read_username(stack, settings) if f"{Vault.KIND} {stack.vault}" in found else ""
    plan = make_plan(make_stack(stack, options, caller.tenant_id, found, username), found)
    get_run_logger().info("%s: %s", stack.resource_group, describe(plan))
    return plan


@a_step(name="Show the plan", run_name="Show the plan of {resource_group}")
def show_plan(plan: Plan, resource_group: str, options: ProvisionOptions) -> None:
    """Show what becomes of each resource, and why, as a table."""
    rows = [{"action": str(one.action), "resource": one.resource.key, "why": one.details} for one in plan.steps]
    kind = "Dry run: nothing is changed. " if options.dry_run else ""
    report_table("provision-plan", rows, f"{kind}Plan for {resource_group}: {describe(plan)}")


@a_step(name="Make a resource", run_name="{step.title}")
def make_resource(step: Step, stack: Stack) -> Outcome:
    """Make one resource as it is wanted; see infra.azure.making."""
    return carry_out(step, stack)


def carry_out(step: Step, stack: Stack) -> Outcome:
    """Make one resource, tell how it goes, and return what became of it."""
    logger, started = get_run_logger(), time.monotonic()
    action = making.make(step.resource, stack, Settings(), logger.info)
    took = time.monotonic() - started
    logger.info("%s: %s after %.1f s", step.resource.key, _done(action), took)
    return Outcome(step.resource.key, str(action), took)


def with_budget(task: Any) -> Any:
    """Return the task with retries that fill the budget for propagation."""
    delays = make_delays(Settings().propagation_timeout_seconds)
    return task.with_options(retries=len(delays), retry_delay_seconds=delays, retry_jitter_factor=None)


def collect(steps: Sequence[Step], futures: Sequence[PrefectFuture[Outcome]]) -> tuple[list[Outcome], list[Exception]]:
    """Wait for all steps and return what became of each, with the errors of those that failed by themselves."""
    outcomes: list[Outcome] = []
    errors: list[Exception] = []
    for step, future in zip(steps, futures, strict=True):
        future.wait()
        state = future.state
        if state.is_completed():
            outcomes.append(future.result())
            continue
        error = state.result(raise_on_failure=False) if state.is_failed() or state.is_crashed() else None
        if isinstance(error, Exception):
            errors.append(error)
        trouble = str(error) if isinstance(error, KeyturnError) else "waits for one that failed"
        outcomes.append(Outcome(step.resource.key, "not done", 0, trouble))
    return outcomes, errors


@a_step(name="Report what was made", run_name="Report what was made in {resource_group}")
def report_outcomes(plan: Plan, outcomes: Sequence[Outcome], resource_group: str) -> None:
    """Show what became of each resource, those that were left included."""
    done = {one.key: one for one in outcomes}
    rows = [
        {
            "resource": one.resource.key,
            "action": done[one.resource.key].action if one.resource.key in done else str(one.action),
            "took": f"{done[one.resource.key].took_seconds:.1f} s" if one.resource.key in done else "",
            "trouble": done[one.resource.key].trouble if one.resource.key in done else "",
        }
        for one in plan.steps
    ]
    report_table("provision-report", rows, f"What was made in {resource_group}")


@a_step(name="Look at what would be removed", run_name="Look at what is in {stack.resource_group}")
def list_removable(stack: Stack) -> list[dict[str, str]]:
    """Return all that a tear-down would remove, as rows; they are shown as a table as well."""
    settings = Settings()
    rows = [
        {"kind": kind, "name": name, "then": "deleted"}
        for kind, name in groups.list_resources(stack.resource_group, settings)
    ]
    if groups.find_group(stack.resource_group, settings):
        rows.insert(0, {"kind": "resource group", "name": stack.resource_group, "then": "deleted"})
    if _has_deleted_vault(stack, settings):
        rows.append({"kind": "soft-deleted vault", "name": stack.vault, "then": "purged"})
    report_table("tear-down", rows, f"What is in {stack.resource_group}: all of it would be removed")
    return rows


@a_step(name="Delete the resource group", run_name="Delete the resource group {stack.resource_group}")
def delete_group(stack: Stack) -> bool:
    """Delete the resource group with all that is in it; tells whether there was one."""
    return groups.delete_group(stack.resource_group, Settings(), get_run_logger().info)


@a_step(name="Purge the vault", run_name="Purge the vault {stack.vault}")
def purge_vault(stack: Stack) -> bool:
    """Remove the soft-deleted vault for good, if it was this group's; tells whether there was one."""
    settings = Settings()
    if not _has_deleted_vault(stack, settings):
        return False
    return vaults.purge_vault(stack.vault, settings, get_run_logger().info)


def raise_first(errors: Sequence[Exception]) -> None:
    """Raise what went wrong first, if anything did; the others are in the report."""
    if not errors:
        return
    known = [error for error in errors if isinstance(error, KeyturnError)]
    if known:
        raise known[0]
    raise ServiceFailed("A step failed", name=type(errors[0]).__name__, fix="look at the failed task's log")


def describe(plan: Plan) -> str:
    """Return a line that says what the plan does: "5 create, 17 leave"."""
    if not plan.left and not plan.refused:
        return f"nothing to change, all {len(plan.steps)} resources are as wanted"
    return ", ".join(f"{number} {action}" for action, number in plan.count().items())


def is_federation(step: Step) -> bool:
    """Tell whether a step belongs to tasks.federation."""
    return isinstance(step.resource, FederatedCredential | RoleAssignment)


def _read_username(stack: Stack, settings: Settings) -> str:
    """Return the administrator's login in the vault, if it can be read: an existing server may have it."""
    try:
        return Secrets(stack.vault, settings).read(stack.server_username_secret)
    except (AccessDenied, NotFound, SecretUnusable):
        return ""


def _has_deleted_vault(stack: Stack, settings: Settings) -> bool:
    found = vaults.find_deleted_vault(stack.vault, settings)
    if found is None or found.state is not State.DELETED or not isinstance(found.resource, Vault):
        return False
    return found.resource.resource_group == stack.resource_group.lower()


def _done(action: Action) -> str:
    return {
        Action.LEAVE: "it was as wanted already",
        Action.CREATE: "created",
        Action.CHANGE: "changed",
        Action.RECOVER: "recovered",
        Action.WAIT: "was being made before, and is as wanted",
    }.get(action, str(action))
