"""Deploy: the manifests on the cluster, filled in from what is looked up, until everything runs and is proven."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.shell import run_from_shell
from infra.kubernetes.apply import Applied
from infra.kubernetes.workloads import Workload
from infra.targets import DeployOptions, Stack
from tasks import deployment, inventory
from tasks.timeline import Timeline

MANIFESTS = ("dexter.yaml", "medoko.yaml")


@dataclass(frozen=True)
class Deployed:
    """What a deployment came to, for the flow that called it.

    Args:
        verdict: Planned, Unchanged or Deployed.
        changed: how many objects were created or configured, or would be.
        address: where the database is reached; None after a dry run.
        took: seconds for apply (until everything is ready), verify and look.
    """

    verdict: str
    changed: int
    address: deployment.Address | None = None
    took: Mapping[str, float] = field(default_factory=dict, compare=False)


@flow(
    name="deploy",
    flow_run_name="Deploy to {stack.cluster}",
    task_runner=ThreadPoolTaskRunner[Any](max_workers=4),  # type: ignore[arg-type]
    persist_result=False,
)
def deploy(stack: Stack = Stack(), options: DeployOptions = DeployOptions()) -> Any:  # noqa: B008
    """Apply the manifests to the cluster and wait until the pods are ready and the database has an address.

    Run it again to go on after an interruption, or to see that nothing is left to do. Ends as Planned (a dry
    run), Unchanged or Deployed; a failure says which pod did not get ready, why, and what to do.

    Args:
        stack: the names of everything; the defaults are the walkthrough's.
        options: how it goes. As it stands, what would change is shown alone.
    """
    timeline = Timeline()
    with timeline.span("apply"):
        applied = _apply(stack, options)
        changed = sum(one.action != "unchanged" for one in applied)
        if options.dry_run:
            return _end(Deployed("Planned", changed), f"dry run: {changed} of {len(applied)} objects would change")
        workload, address = _wait(stack, options)
    with timeline.span("verify"):
        for one in deployment.verify_values(stack, workload, options.ready_timeout_seconds):
            get_run_logger().info("Equal to the vault: %s", one)
    with timeline.span("look"):
        inventory.report_inventory(stack)
    message = f"{changed} of {len(applied)} objects changed; the database is at {address.host}:{address.port}"
    took = {span.label: span.seconds for span in timeline.spans}
    return _end(Deployed("Deployed" if changed else "Unchanged", changed, address, took), message)


def _apply(stack: Stack, options: DeployOptions) -> list[Applied]:
    """Look up, check, and apply every manifest in order."""
    values = deployment.look_up_values(stack, options)
    deployment.check_secrets(stack)
    deployment.see_driver(stack)
    applied = [one for name in MANIFESTS for one in deployment.apply_manifest(stack, name, values, options.dry_run)]
    inventory.report_applied(applied, options.dry_run)
    return applied


def _end(deployed: Deployed, message: str) -> Any:
    """Put the verdict into the state's name, where people see it."""
    return Completed(name=deployed.verdict, message=message, data=deployed)


def _wait(stack: Stack, options: DeployOptions) -> tuple[Workload, deployment.Address]:
    """Wait for both workloads and the load balancer side by side; return the database's workload and its address."""
    seconds = options.ready_timeout_seconds
    database = deployment.wait_for_workload.submit(stack, deployment.DATABASE, seconds)
    storage = deployment.wait_for_workload.submit(stack, deployment.STORAGE, seconds)
    balancer = deployment.wait_for_address.submit(stack, deployment.SERVICE, options.address_timeout_seconds)
    workload, _, address = database.result(), storage.result(), balancer.result()
    return workload, address


if __name__ == "__main__":
    run_from_shell(deploy)
