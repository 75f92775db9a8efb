"""What people see of a rotation: the plan before, the story and a picture of the time after."""

import secrets
import string
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.credentials import Credential
from infra.rotation.execution import Ending
from infra.rotation.plan import Plan, new_rotation_id
from tasks.reporting import report_markdown, report_table
from tasks.reports.timeline import Timeline, picture
from tasks.retries import task_with_retries

_TOKEN_CHARACTERS = string.ascii_lowercase + string.digits


def name_rotation(now: datetime | None = None) -> str:
    """Name a new rotation by the time and four random characters."""
    token = "".join(secrets.choice(_TOKEN_CHARACTERS) for _ in range(4))
    return new_rotation_id(now or datetime.now(UTC), token)


def describe_plan(plan: Plan) -> str:
    """Say in one paragraph what would be done."""
    if plan.refusal:
        return f"Rotation {plan.rotation_id} would be refused. {plan.refusal}"
    if not plan.steps:
        return f"Rotation {plan.rotation_id} is {plan.progress}: nothing is left to do."
    steps = "; ".join(str(step) for step in plan.steps)
    return f"Rotation {plan.rotation_id}, {len(plan.steps)} steps: {steps}."


def describe_ending(ending: Ending) -> str:
    """Say in one paragraph how a run ended."""
    if ending.error:
        return str(ending.error)
    if not ending.executed:
        return f"Rotation {ending.rotation_id} was done before: nothing was left to do."
    steps = len(ending.executed)
    return f"Rotation {ending.rotation_id}: {steps} steps; the new login works, the previous one is refused."


@task_with_retries(name="Show the plan", run_name="show what is left of rotation {plan.rotation_id}")
def show_plan(plan: Plan, credential: Credential) -> None:
    """Make the table of the plan, and log it."""
    logger = get_run_logger()
    for note in plan.notes:
        logger.info("note: %s", note)
    for number, step in enumerate(plan.steps, 1):
        logger.info("to do %d/%d: %s", number, len(plan.steps), step)
    if plan.refusal:
        logger.warning("refused: %s", plan.refusal)
    states = [*((one, "done") for one in plan.done), *((one, "left") for one in plan.steps)]
    rows = [
        {"nr": str(number), "state": state, "step": str(one), "why": one.reason}
        for number, (one, state) in enumerate(states, 1)
    ]
    if not rows and not plan.refusal:
        logger.info(describe_plan(plan))
        return
    strategy = (plan.strategy or credential.strategy).value
    notes = [f"Rotation `{plan.rotation_id}` of `{credential.name}`, strategy {strategy}.", *plan.notes]
    if plan.refusal:
        notes.append(f"**It would be refused.** {plan.refusal}")
    report_table("rotation-plan", rows, " ".join(notes))


@task_with_retries(name="Tell the ending", run_name="tell how rotation {ending.rotation_id} ended: {ending.verdict}")
def tell_ending(ending: Ending, credential: Credential, timeline: Timeline) -> None:
    """Make the report of the run: verdict, steps with their times, and the picture."""
    get_run_logger().info("%s: %s", ending.verdict, describe_ending(ending))
    lines = [f"# {ending.verdict}: {credential.name}", "", describe_ending(ending), "", picture(timeline.spans), ""]
    lines += ["| step | seconds |", "|---|---:|"]
    lines += [f"| {one.label}{' **failed**' if one.failed else ''} | {one.seconds:.2f} |" for one in timeline.spans]
    report_markdown("rotation-report", "\n".join(lines), f"How rotation {ending.rotation_id} went.")
