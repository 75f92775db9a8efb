"""What may come before a rotation: a random delay, a person who approves the plan, and the wait for the window.

A run that was suspended starts over. What it asked is kept with the run, as the key of its suspension; Prefect drops
that when somebody retries the run, which is a new attempt that meets all its guards again.
"""

import hashlib
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import deployment
from pydantic import Field

from infra.errors import Code, Refused
from infra.rotation.guards import find_opening, longest_delay
from infra.rotation.observation import Observation
from infra.rotation.options import Guards
from infra.rotation.plan import Plan
from tasks.retries import task_with_retries

REPORT_SECONDS = 60.0
_PREFIX = "plan"
"""How the key of an approval's suspension begins."""


class Answer(StrEnum):
    """What a person answers to a plan."""

    DECLINE = "decline"
    APPROVE = "approve"


class Approval(RunInput):
    """The form of the dialog that resumes a run."""

    answer: Answer = Field(Answer.DECLINE, title="Answer", description="approve: the plan is executed, in its window.")
    reason: str = Field("", title="Reason", max_length=500, description="Kept in the run's log.")


@dataclass(frozen=True)
class Question:
    """What a person is asked to approve: these steps, which replace these versions, by the rotation with this id.

    Args:
        steps: a digest of strategy and steps.
        versions: a digest of the versions that are replaced.
        rotation_id: the rotation.
    """

    steps: str
    versions: str
    rotation_id: str

    @classmethod
    def about(cls, plan: Plan, observation: Observation) -> Self:
        """Return the question that a plan is, made for what was observed."""
        versions = (f"{secret.name} {secret.newest.version}" for secret in observation.secrets)
        return cls(_digest((str(plan.strategy), *map(str, plan.steps))), _digest(versions), plan.rotation_id)

    @property
    def key(self) -> str:
        """The key of the suspension that asks it."""
        return "-".join((_PREFIX, self.steps, self.versions, self.rotation_id))

    def find_change(self, now: "Question") -> Refused | None:
        """Return what refuses the plan that is made now, if it is another one than was approved."""
        if now == self:
            return None
        changed = "versions that the rotation replaces" if now.steps == self.steps else "steps"
        return Refused(Code.PLAN_CHANGED, name=self.rotation_id, seen=f"the {changed} are others than those approved")


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@task_with_retries(name="Random delay", run_name="random delay of at most {longest_seconds:.0f} s", retries=0)
def wait_random_delay(longest_seconds: float) -> float:
    """Wait for a random time, so that schedules do not all start at once. Returns the seconds.

    Args:
        longest_seconds: the bound.
    """
    chosen = random.uniform(0, longest_seconds)  # noqa: S311
    _wait(chosen)
    return chosen


@task_with_retries(name="Wait for the window", run_name="wait {seconds:.0f} s for the maintenance window", retries=0)
def wait_for_window(seconds: float) -> None:
    """Wait until the maintenance window opens.

    Args:
        seconds: how long that is.
    """
    _wait(seconds)


def _wait(seconds: float) -> None:
    logger, deadline, pause = get_run_logger(), time.monotonic() + seconds, threading.Event()
    while (left := deadline - time.monotonic()) > 0:
        logger.info("starts in %.0f s", left)
        pause.wait(min(left, max(REPORT_SECONDS, left / 10)))


def delay(guards: Guards) -> None:
    """Wait for the random delay if one is asked for."""
    if (longest := longest_delay(guards, datetime.now(UTC))) > 0:
        wait_random_delay(longest)


def await_window(guards: Guards) -> bool:
    """Wait for the window with an approved plan, at most as long as an answer may take. Returns whether it opened."""
    now = datetime.now(UTC)
    seconds = (find_opening(guards, now) - now).total_seconds()
    if seconds > guards.approval_timeout_hours * 3600:
        return False
    get_run_logger().info("the plan is approved and waits for the maintenance window")
    wait_for_window(seconds)
    return True


def find_question() -> Question | None:
    """Return what this run has asked before it was suspended and resumed; None if it asked nothing."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    for key in (run and run.empirical_policy.pause_keys) or ():
        prefix, *parts = key.split("-", 3)
        if prefix == _PREFIX and len(parts) == 3:
            return Question(*parts)
    return None


def ask_for_approval(question: Question, plans: Iterable[Plan], guards: Guards) -> None:
    """Suspend the run until a person answers. The run then starts over, and finds its question.

    Args:
        question: what is asked.
        plans: what is shown.
        guards: how long an answer may take.

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
    _suspend(question, guards, "\n\n".join(_describe(plan) for plan in plans))


def get_answer(question: Question, guards: Guards) -> Approval:
    """Return what a person answered to a question of this run."""
    answer = _suspend(question, guards)
    get_run_logger().info("answer: %s %s", answer.answer.value, answer.reason)
    return answer


def _suspend(question: Question, guards: Guards, description: str = "") -> Approval:
    """Suspend the run, or return the answer if it was suspended with this question before."""
    form = Approval.with_initial_data(description=description)
    return suspend_flow_run(wait_for_input=form, timeout=guards.approval_timeout_hours * 3600, key=question.key)


def _describe(plan: Plan) -> str:
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(plan.steps, 1))
    return f"Rotation {plan.rotation_id}, strategy {plan.strategy}:\n\n{steps}\n\n" + " ".join(plan.notes)
