"""Provision: everything that the walkthrough creates, observed, planned, and made side by side where it can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.shell import run_from_shell
from infra.provisioning.plan import Plan
from infra.provisioning.resources import FederatedCredential, RoleAssignment
from infra.targets import ProvisionOptions, Stack
from tasks import federation, provisioning
from tasks.provisioning import Outcome


@dataclass(frozen=True)
class Provisioned:
    """What a provisioning came to.

    Args:
        verdict: "Unchanged", "Planned" or "Provisioned", as the state's name says.
        counts: how many resources were, or would be, created, changed, left and so on.
    """

    verdict: str
    counts: Mapping[str, int]


@flow(
    name="provision",
    flow_run_name="Provision {stack.resource_group}",
    task_runner=ThreadPoolTaskRunner[Any](max_workers=8),  # type: ignore[arg-type]
    persist_result=False,
)
def provision(stack: Stack = Stack(), options: ProvisionOptions = ProvisionOptions()) -> Any:  # noqa: B008
    """Make the stack as it is wanted: what is missing is created, what differs is changed, the rest is left.

    What cannot be changed in place is refused by name before anything is changed. Run it again to go on after
    an interruption, or to see that nothing is left to do.

    Args:
        stack: the names of everything that is made.
        options: dry run, sizes and versions.
    """
    plan = provisioning.plan_stack(stack, options)
    provisioning.show_plan(plan, stack.resource_group, options)
    plan.raise_if_refused()
    if not plan.left:
        get_run_logger().info("Nothing to change: all %d resources are as wanted", len(plan.steps))
        return _end("Unchanged", plan)
    if options.dry_run:
        return _end("Planned", plan)
    outcomes, errors = provisioning.collect(plan.left, _submit(plan, stack))
    provisioning.report_outcomes(plan, outcomes, stack.resource_group)
    provisioning.raise_first(errors)
    return _end("Provisioned", plan)


def _end(verdict: str, plan: Plan) -> Any:
    """Put the verdict into the state's name, where people see it."""
    return Completed(name=verdict, message=provisioning.describe(plan), data=Provisioned(verdict, plan.count()))


def _submit(plan: Plan, stack: Stack) -> list[PrefectFuture[Outcome]]:
    """Start every step as soon as those that it needs are done."""
    running: dict[str, PrefectFuture[Outcome]] = {}
    for step in plan.left:
        if isinstance(step.resource, FederatedCredential):
            task = federation.federate
        elif isinstance(step.resource, RoleAssignment):
            task = federation.assign_role
        else:
            task = provisioning.make_resource
        needed = [running[key] for key in step.after if key in running]
        running[step.resource.key] = provisioning.with_budget(task).submit(step, stack, wait_for=needed)
    return list(running.values())


if __name__ == "__main__":
    run_from_shell(provision)
