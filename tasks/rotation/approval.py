"""What may come before a rotation: a random delay, and a person who approves the plan."""

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

from infra.errors import Code, Refused
from infra.rotation.guards import longest_delay
from infra.rotation.options import Guards
from infra.rotation.plan import Plan
from tasks.reports.events import Trail
from tasks.retries import task_with_retries

REPORT_SECONDS = 60.0


class Answer(StrEnum):
    """What a person answers to a plan."""

    DECLINE = "decline"
    APPROVE = "approve"


class Approval(RunInput):
    """The form of the dialog that resumes a run."""

    answer: Answer = Field(Answer.DECLINE, title="Answer", description="approve: the plan is executed now.")
    reason: str = Field("", title="Reason", max_length=500, description="Kept in the run's log.")


@task_with_retries(name="Random delay", run_name="random delay of at most {longest_seconds:.0f} s", retries=0)
def wait_random_delay(longest_seconds: float) -> float:
    """Wait for a random time, so that schedules do not all start at once. Returns the seconds.

    Args:
        longest_seconds: the bound.
    """
    logger, chosen = get_run_logger(), random.uniform(0, longest_seconds)  # noqa: S311
    deadline, pause = time.monotonic() + chosen, threading.Event()
    while (left := deadline - time.monotonic()) > 0:
        logger.info("starts in %.0f s", left)
        pause.wait(min(left, REPORT_SECONDS))
    return chosen


def delay(guards: Guards) -> None:
    """Wait for the random delay if one is asked for; not again in a run that was suspended and resumes."""
    longest = longest_delay(guards, datetime.now(UTC))
    if longest > 0 and (flow_run.run_count or 1) <= 1:
        wait_random_delay(longest)


def ask_for_approval(credential: str, plan: Plan, guards: Guards) -> Approval:
    """Suspend the run until a person answers to the plan. The run then starts over, and gets here with the answer.

    The answer belongs to these steps: if the plan has changed since, it is asked for again.

    Raises:
        Refused: the run belongs to no deployment, so nothing could start it again.
    """
    if not deployment.id:
        raise Refused(
            Code.APPROVAL_NEEDS_DEPLOYMENT,
            name="guards.approval",
            seen="this run was started from a shell or by another flow",
        )
    get_run_logger().info("suspended until the plan is approved: use Resume in the run's menu (three dots)")
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(plan.steps, 1))
    description = f"Rotation plan, strategy {plan.strategy}:\n\n{steps}\n\n" + " ".join(plan.notes)
    key = hashlib.sha256(steps.encode()).hexdigest()[:16]
    form = Approval.with_initial_data(description=description)
    if (flow_run.run_count or 1) <= 1:
        Trail(credential).emit("approval_requested", {"rotation_id": plan.rotation_id})
    answer = suspend_flow_run(wait_for_input=form, timeout=guards.approval_timeout_hours * 3600, key=f"plan-{key}")
    get_run_logger().info("answer: %s %s", answer.answer.value, answer.reason)
    return answer
