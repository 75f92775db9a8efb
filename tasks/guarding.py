"""What stands before a rotation: chance that spreads the beginnings, and a person who approves the plan."""

import hashlib
import random
import threading
import time
from datetime import UTC, datetime
from enum import StrEnum

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run
from pydantic import Field

from infra.errors import Refused
from infra.rotation.guards import longest_jitter
from infra.rotation.plan import Plan
from infra.targets import Guards
from tasks.policy import step

REPORT_SECONDS = 60.0


class Answer(StrEnum):
    """What a person says to a plan."""

    DECLINE = "decline"
    APPROVE = "approve"


class Approval(RunInput):
    """The form of the dialog that resumes a run."""

    answer: Answer = Field(Answer.DECLINE, title="Answer", description="approve: the plan is carried out now.")
    reason: str = Field("", title="Reason", max_length=500, description="Kept in the run's log.")


@step(name="Wait by chance", run_name="wait by chance for at most {longest_seconds:.0f} s", retries=0)
def wait_by_chance(longest_seconds: float) -> float:
    """Put the beginning off, so that many schedules do not begin at once. Returns the seconds.

    Args:
        longest_seconds: the bound.
    """
    logger, chosen = get_run_logger(), random.uniform(0, longest_seconds)  # noqa: S311
    deadline, pause = time.monotonic() + chosen, threading.Event()
    while (left := deadline - time.monotonic()) > 0:
        logger.info("begins in %.0f s", left)
        pause.wait(min(left, REPORT_SECONDS))
    return chosen


def spread(guards: Guards) -> None:
    """Wait by chance where that is asked for; not again in a run that was suspended and goes on."""
    longest = longest_jitter(guards, datetime.now(UTC))
    if longest > 0 and (flow_run.run_count or 1) <= 1:
        wait_by_chance(longest)


def ask(plan: Plan, guards: Guards) -> Approval:
    """Suspend the run until a person answers to the plan. The run begins anew then, and gets here with the answer.

    The answer belongs to these steps: where another plan is found after it, it is asked for again.

    Raises:
        Refused: the run belongs to no deployment, so nothing could begin it anew.
    """
    if not deployment.id:
        raise Refused(
            "An approval can be asked for in runs of a deployment alone",
            name="guards.approval",
            seen="this run was started from a shell or by another flow",
            fix="look at the plan with dry_run, then run without guards.approval; or start the deployment's run",
            code="ApprovalNeedsDeployment",
        )
    get_run_logger().info("suspended until the plan is approved: the run's menu (three dots), Resume")
    steps = "\n".join(f"{number}. {one}" for number, one in enumerate(plan.steps, 1))
    description = f"Rotation plan, strategy {plan.strategy}:\n\n{steps}\n\n" + " ".join(plan.notes)
    key = hashlib.sha256(steps.encode()).hexdigest()[:16]
    form = Approval.with_initial_data(description=description)
    answer = suspend_flow_run(wait_for_input=form, timeout=guards.approval_timeout_hours * 3600, key=f"plan-{key}")
    get_run_logger().info("answer: %s %s", answer.answer.value, answer.reason)
    return answer
