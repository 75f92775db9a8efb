"""Provision: everything that a stack needs in Azure, planned, and made side by side where it can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.cli import run_from_shell
from infra.provisioning.changes import ProvisioningPlan
from infra.provisioning.options import ProvisionOptions, Stack, get_stack
from infra.settings import Settings
from tasks.context import connections_shared
from tasks.provisioning import checks, reconcile
from tasks.reports.endings import end, ends_with_own_errors


@dataclass(frozen=True)
class Provisioned:
    """What a provisioning came to, for the flow that called it.

    Args:
        verdict: "unchanged", "planned" or "provisioned".
        counts: how many resources were, or would be, created, changed, left and so on.
    """

    verdict: str
    counts: Mapping[str, int]


@flow(
    name="provision",
    flow_run_name="{stack}: provision",
    task_runner=ThreadPoolTaskRunner[Any](max_workers=8),  # type: ignore[arg-type]
    persist_result=False,
)
@ends_with_own_errors
def provision(stack: str, dry_run: bool = True, advanced: ProvisionOptions = ProvisionOptions()) -> Any:  # noqa: B008
    """Make a stack as it is wanted: what is missing is created, what differs is changed, the rest is left.

    What cannot be changed in place, and what the caller may not make, is refused by name before anything is changed.
    Run it again to resume after an interruption, or to see that nothing is left to do.

    Args:
        stack: The stack's name: that of its folder below `KEYTURN_STACKS`.
        dry_run: Show the plan and change nothing.
        advanced: Sizes, versions and addresses.
    """
    with connections_shared():
        return _provision(get_stack(stack, Settings()), dry_run, advanced)


def _provision(stack: Stack, dry_run: bool, options: ProvisionOptions) -> Any:
    plan = reconcile.plan_stack(stack, options)
    reconcile.show_plan(plan, stack.resource_group, dry_run)
    plan.raise_if_refused()
    if error := checks.check_plan(plan, stack):
        raise error
    if not plan.left:
        return _end("unchanged", stack, plan)
    if dry_run:
        return _end("planned", stack, plan)
    results, errors = reconcile.collect_results(plan.left, reconcile.submit_changes(plan, stack))
    reconcile.report_results(plan, results, stack.resource_group)
    reconcile.raise_first(errors)
    return _end("provisioned", stack, plan)


def _end(verdict: str, stack: Stack, plan: ProvisioningPlan) -> Any:
    return end(verdict, stack.name, f"{plan}.", kind="stack", data=Provisioned(verdict, plan.count()))


if __name__ == "__main__":
    run_from_shell(provision)
