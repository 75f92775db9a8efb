"""What every task shares: errors of Keyturn's alone leave it, and the error decides whether it is tried again."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run
from prefect.tasks import Task, exponential_backoff

from infra.errors import KeyturnError
from infra.settings import Settings
from tasks.reports.logs import own_errors_alone

FIRST_SECONDS, LONGEST_SECONDS, MOST_RETRIES = 1.0, 30.0, 50
"""Prefect accepts at most 50 delays for a task."""

P = ParamSpec("P")
R = TypeVar("R")


async def is_retryable(task: Any, task_run: Any, state: Any) -> bool:
    """Tell Prefect whether a failed task run may be tried again."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, KeyturnError) and error.retryable


def task_with_retries(
    *, name: str, run_name: str | None = None, retries: int = 4, backoff_seconds: float = 2, **options: Any
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a function: retried by error class, its result neither persisted nor cached.

    Args:
        name: the task's name, as a verb phrase.
        run_name: template of the run's name, over the function's parameters; it reads as a line of the story.
        retries: how often an error that is `retryable` may be tried again.
        backoff_seconds: the first delay; it doubles each time, with jitter.
        options: anything else that `prefect.task` takes.
    """

    def wrap(function: Callable[P, R]) -> Task[P, R]:
        @wraps(function)
        def told(*args: P.args, **kwargs: P.kwargs) -> R:
            with own_errors_alone(str(task_run.name or name)):
                return function(*args, **kwargs)

        return task(
            name=name,
            task_run_name=run_name,
            retries=retries,
            retry_delay_seconds=exponential_backoff(backoff_factor=backoff_seconds),
            retry_jitter_factor=0.5,
            retry_condition_fn=is_retryable,
            persist_result=False,
            cache_policy=NO_CACHE,
            **options,
        )(told)

    return wrap


def with_budget(task: Any) -> Any:
    """Return the task with retries that fill the budget for the propagation of roles and federated credentials."""
    delays = make_delays(Settings().propagation_timeout_seconds)
    return task.with_options(retries=len(delays), retry_delay_seconds=delays, retry_jitter_factor=None)


def make_delays(budget_seconds: float) -> list[float]:
    """Return delays between tries that double up to a bound and together make the budget.

    Args:
        budget_seconds: the whole time to wait, at least one second.
    """
    longest = max(LONGEST_SECONDS, budget_seconds / (MOST_RETRIES - 10))
    delays: list[float] = []
    delay, left = FIRST_SECONDS, budget_seconds
    while left > 0:
        delays.append(min(delay, left))
        left -= delay
        delay = min(delay * 2, longest)
    return delays
