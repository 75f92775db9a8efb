"""Deploy: a stack's manifests on its cluster, filled in from what is looked up, until everything runs and is proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner

from flows.cli import run_from_shell
from infra.kubernetes.manifests import Applied
from infra.kubernetes.workloads import Workload
from infra.provisioning.options import DeployOptions, Stack, get_stack
from infra.settings import Settings
from tasks.context import connections_shared
from tasks.provisioning import deployment
from tasks.reports.endings import end, ends_with_own_errors
from tasks.reports.timeline import Timeline


@dataclass(frozen=True)
class Deployed:
    """What a deployment came to, for the flow that called it.

    Args:
        verdict: "planned", "unchanged" or "deployed".
        changed: how many objects were created or configured, or would be.
        address: where the database is reached; None after a dry run.
        took: seconds for apply (until everything is ready), verify and look.
    """

    verdict: str
    changed: int
    address: deployment.DatabaseAddress | None = None
    took: Mapping[str, float] = field(default_factory=dict, compare=False)


@flow(
    name="deploy",
    flow_run_name="{stack}: deploy",
    task_runner=ThreadPoolTaskRunner[Any](max_workers=4),  # type: ignore[arg-type]
    persist_result=False,
)
@ends_with_own_errors
def deploy(stack: str, dry_run: bool = True, advanced: DeployOptions = DeployOptions()) -> Any:  # noqa: B008
    """Apply a stack's manifests to its cluster and wait until the pods are ready and the database has an address.

    Run it again to resume after an interruption, or to see that nothing is left to do. A failure says which pod is
    not ready, why, and how to fix it. No rotation of the stack's database runs meanwhile.

    Args:
        stack: The stack's name: that of its folder below `KEYTURN_STACKS`.
        dry_run: Show what would change and change nothing.
        advanced: The image and the timeouts.
    """
    chosen = get_stack(stack, Settings())
    with connections_shared():
        if dry_run:
            return _deploy(chosen, dry_run, advanced)
        with deployment.rotations_excluded(chosen):
            return _deploy(chosen, dry_run, advanced)


def _deploy(stack: Stack, dry_run: bool, options: DeployOptions) -> Any:
    timeline = Timeline()
    with timeline.span("apply"):
        applied = _apply(stack, dry_run, options)
        changed = sum(change.action != "unchanged" for change in applied)
        if dry_run:
            return _end(stack, Deployed("planned", changed), f"{changed} of {len(applied)} objects would change.")
        workload, address = _wait(stack, options)
    with timeline.span("verify"):
        for compared in deployment.verify_values(stack, workload, options.ready_timeout_seconds):
            get_run_logger().info("Equal to the vault: %s", compared)
    with timeline.span("look"):
        deployment.report_inventory(stack)
    took = {span.label: span.seconds for span in timeline.spans}
    deployed = Deployed("deployed" if changed else "unchanged", changed, address, took)
    where = f"the database is at {address.host}:{address.port}"
    return _end(stack, deployed, f"{changed} of {len(applied)} objects changed; {where}.")


def _apply(stack: Stack, dry_run: bool, options: DeployOptions) -> list[Applied]:
    """Look up, check, and apply every manifest in order."""
    values = deployment.look_up_values(stack, options)
    deployment.check_secrets(stack)
    deployment.see_driver(stack)
    if not dry_run:
        deployment.check_rotation(stack, values)
    names = deployment.list_manifests(stack)
    applied = [change for name in names for change in deployment.apply_manifest(stack, name, values, dry_run)]
    deployment.report_applied(applied, dry_run)
    return applied


def _wait(stack: Stack, options: DeployOptions) -> tuple[Workload, deployment.DatabaseAddress]:
    """Wait for both workloads and the load balancer side by side; return the database's workload and its address."""
    seconds = options.ready_timeout_seconds
    database = deployment.wait_for_workload.submit(stack, stack.database_consumer.workload, seconds)
    storage = deployment.wait_for_workload.submit(stack, stack.storage, seconds)
    balancer = deployment.wait_for_address.submit(stack, options.address_timeout_seconds)
    # All use the connection that the flow shares: none may outlive the failure of another.
    database.wait()
    storage.wait()
    balancer.wait()
    workload, _, address = database.result(), storage.result(), balancer.result()
    return workload, address


def _end(stack: Stack, deployed: Deployed, message: str) -> Any:
    return end(deployed.verdict, stack.name, message, kind="stack", data=deployed)


if __name__ == "__main__":
    run_from_shell(deploy)
