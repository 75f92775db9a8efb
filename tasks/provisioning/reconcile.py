"""The resources of a stack in Azure: planned, made one by one, reported, and removed."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger
from prefect.futures import PrefectFuture

from infra.azure.client import Azure
from infra.azure.groups import ResourceGroups
from infra.azure.kinds import kinds_of
from infra.azure.vaults import Vaults
from infra.errors import AccessDenied, KeyturnError, NotFound, SecretUnusable, ServiceFailed
from infra.provisioning.changes import ProvisioningPlan, ResourceChange, Verb, plan_changes
from infra.provisioning.comparing import Resource
from infra.provisioning.first_login import check_first_username, read_first_password
from infra.provisioning.kinds import Found, Kinds, State
from infra.provisioning.options import ProvisionOptions, Stack
from infra.provisioning.reconciling import find_all, make
from infra.provisioning.resources import FederatedCredential, ResourceProvider, RoleAssignment, Vault, VaultSecret
from infra.provisioning.wanted import list_wanted
from tasks.context import opened_azure
from tasks.provisioning.checks import find_unregistered, get_namespace
from tasks.reports.artifacts import report_table
from tasks.retries import task_with_retries, with_budget

DONE = {
    Verb.LEAVE: "already as specified",
    Verb.CREATE: "created",
    Verb.CHANGE: "changed",
    Verb.RECOVER: "recovered",
    Verb.WAIT: "an earlier operation ended; it is as specified",
}


@dataclass(frozen=True)
class ResourceResult:
    """What became of one resource.

    Args:
        key: the resource's key.
        done: what was done.
        took_seconds: how long that took.
        trouble: why it was not done; empty when it was.
    """

    key: str
    done: str
    took_seconds: float
    trouble: str = ""


@task_with_retries(
    name="Compare what is wanted with what exists", run_name="look at what exists in {stack.resource_group}"
)
def plan_stack(stack: Stack, options: ProvisionOptions) -> ProvisioningPlan:
    """Look at every resource of the stack and plan what is left to do; nothing is changed.

    Raises:
        InvalidInput: Azure does not accept the first username, or the first password that a variable gives.
    """
    check_first_username(stack.first_username)
    with opened_azure() as azure:
        tenant = azure.get_caller().tenant_id
        wanted = [each.resource for each in list_wanted(stack, options, tenant, {})]
        kinds = kinds_of(azure, stack.resource_group)
        unregistered = find_unregistered(kinds, wanted)
        found = _find(kinds, wanted, unregistered)
        if VaultSecret(name=stack.database_secrets.password, parent=stack.vault).key not in found:
            read_first_password(stack.first_password_variable, stack.first_username, os.environ)
        vault = found.get(Vault(name=stack.vault).key)
        is_there = vault is not None and vault.resource is not None and vault.state is not State.DELETED
        username = _read_username(azure, stack) if is_there else ""
    plan = plan_changes(list_wanted(stack, options, tenant, found, username), found).behind(unregistered)
    get_run_logger().info("%s: %s", stack.resource_group, plan)
    return plan


@task_with_retries(name="Show the plan", run_name="show the plan of {resource_group}")
def show_plan(plan: ProvisioningPlan, resource_group: str, dry_run: bool) -> None:
    """Show what is done with each resource, and why, as a table."""
    rows = [
        {"action": str(change.verb), "resource": change.resource.key, "why": change.details} for change in plan.changes
    ]
    kind = "Dry run: nothing is changed. " if dry_run else ""
    report_table("provision-plan", rows, f"{kind}Plan for {resource_group}: {plan}")


@task_with_retries(name="Make a resource", run_name="{change.title}")
def make_resource(change: ResourceChange, stack: Stack) -> ResourceResult:
    """Make one resource as it is wanted; see infra.provisioning.reconciling."""
    return _make(change, stack)


@task_with_retries(name="Federate the identity with the service account", run_name="{change.title}")
def federate(change: ResourceChange, stack: Stack) -> ResourceResult:
    """Let the service account's tokens stand for the identity; the issuer is read from the cluster now.

    Raises:
        NotFound: the cluster has no issuer.
        NotYetPropagated: Azure does not know the new identity everywhere yet.
    """
    return _make(change, stack)


@task_with_retries(name="Assign a role", run_name="{change.title}")
def assign_role(change: ResourceChange, stack: Stack) -> ResourceResult:
    """Give a principal a role; its object id is looked up now.

    Raises:
        NotYetPropagated: Azure does not know the new principal everywhere yet.
        AccessDenied: the caller may not assign roles.
    """
    return _make(change, stack)


def submit_changes(plan: ProvisioningPlan, stack: Stack) -> list[PrefectFuture[ResourceResult]]:
    """Start every change of a plan as soon as those that it needs are done."""
    tasks = {FederatedCredential: federate, RoleAssignment: assign_role}
    running: dict[str, PrefectFuture[ResourceResult]] = {}
    for change in plan.left:
        task = with_budget(tasks.get(type(change.resource), make_resource))
        needed = [running[key] for key in change.after if key in running]
        running[change.resource.key] = task.submit(change, stack, wait_for=needed)
    return list(running.values())


def collect_results(
    changes: Sequence[ResourceChange], futures: Sequence[PrefectFuture[ResourceResult]]
) -> tuple[list[ResourceResult], list[Exception]]:
    """Wait for all changes and return what became of each, with the errors of those that failed by themselves."""
    results: list[ResourceResult] = []
    errors: list[Exception] = []
    for change, future in zip(changes, futures, strict=True):
        future.wait()
        state = future.state
        if state.is_completed():
            results.append(future.result())
            continue
        error = state.result(raise_on_failure=False) if state.is_failed() or state.is_crashed() else None
        if isinstance(error, Exception):
            errors.append(error)
        trouble = str(error) if isinstance(error, KeyturnError) else "waits for one that failed"
        results.append(ResourceResult(change.resource.key, "not done", 0, trouble))
    return results, errors


@task_with_retries(name="Report what was made", run_name="report what was made in {resource_group}")
def report_results(plan: ProvisioningPlan, results: Sequence[ResourceResult], resource_group: str) -> None:
    """Show what became of each resource, including those that were left."""
    by_key = {result.key: result for result in results}
    rows = [_row(change, by_key.get(change.resource.key)) for change in plan.changes]
    report_table("provision-report", rows, f"What was made in {resource_group}")


def raise_first(errors: Sequence[Exception]) -> None:
    """Raise the first error, if there is one; the others are in the report."""
    if not errors:
        return
    known = [error for error in errors if isinstance(error, KeyturnError)]
    if known:
        raise known[0]
    raise ServiceFailed("A task failed", name=type(errors[0]).__name__, fix="Look at the failed task's log")


@task_with_retries(name="Look at what would be removed", run_name="look at what is in {stack.resource_group}")
def list_removable(stack: Stack) -> list[dict[str, str]]:
    """Return everything that a tear-down would remove, as rows; they are shown as a table as well."""
    with opened_azure() as azure:
        group = ResourceGroups(azure, stack.resource_group)
        rows = [{"kind": kind, "name": name, "then": "deleted"} for kind, name in group.list_resources()]
        if group.exists():
            rows.insert(0, {"kind": "resource group", "name": stack.resource_group, "then": "deleted"})
        if _has_deleted_vault(azure, stack):
            rows.append({"kind": "soft-deleted vault", "name": stack.vault, "then": "purged"})
    report_table("tear-down", rows, f"What is in {stack.resource_group}: all of it would be removed")
    return rows


@task_with_retries(name="Delete the resource group", run_name="delete the resource group {stack.resource_group}")
def delete_group(stack: Stack) -> bool:
    """Delete the resource group with everything in it; tells whether there was one."""
    with opened_azure() as azure:
        return ResourceGroups(azure, stack.resource_group).delete(get_run_logger().info)


@task_with_retries(name="Purge the vault", run_name="purge the vault {stack.vault}")
def purge_vault(stack: Stack) -> bool:
    """Remove the softly deleted vault for good, if it was this group's; tells whether there was one."""
    with opened_azure() as azure:
        if not _has_deleted_vault(azure, stack):
            return False
        return Vaults(azure, stack.resource_group).purge(stack.vault, get_run_logger().info)


def _make(change: ResourceChange, stack: Stack) -> ResourceResult:
    logger, started = get_run_logger(), time.monotonic()
    with opened_azure() as azure:
        verb = make(kinds_of(azure, stack.resource_group), change.resource, logger.info)
    took = time.monotonic() - started
    logger.info("%s: %s after %.1f s", change.resource.key, DONE.get(verb, str(verb)), took)
    return ResourceResult(change.resource.key, str(verb), took)


def _row(change: ResourceChange, result: ResourceResult | None) -> dict[str, str]:
    return {
        "resource": change.resource.key,
        "action": result.done if result else str(change.verb),
        "took": f"{result.took_seconds:.1f} s" if result else "",
        "trouble": result.trouble if result else "",
    }


def _find(kinds: Kinds, wanted: Sequence[Resource], unregistered: Sequence[ResourceProvider]) -> dict[str, Found]:
    """Return what exists. A look at what an unregistered provider has would register it."""
    names = {provider.name for provider in unregistered}
    hidden = [resource for resource in wanted if get_namespace(kinds, resource) in names]
    unseen = {
        resource.key: Found(None, State.HIDDEN, f"seen when {get_namespace(kinds, resource)} is registered")
        for resource in hidden
        if kinds[type(resource)].unique_in_azure
    }
    return find_all(kinds, [resource for resource in wanted if resource not in hidden]) | unseen


def _read_username(azure: Azure, stack: Stack) -> str:
    """Return the administrator's login in the vault, if it can be read: an existing server may have it."""
    try:
        return azure.vault(stack.vault).read(stack.administrator_secrets.username)
    except (AccessDenied, NotFound, SecretUnusable):
        return ""


def _has_deleted_vault(azure: Azure, stack: Stack) -> bool:
    found = Vaults(azure, stack.resource_group).find_deleted(stack.vault)
    vault = found.resource if found else None
    return isinstance(vault, Vault) and vault.resource_group == stack.resource_group.lower()
