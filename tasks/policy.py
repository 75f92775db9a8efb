"""The retry policy that every task shares: the error decides, not hope."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import Task, exponential_backoff

from infra.errors import KeyturnError

P = ParamSpec("P")
R = TypeVar("R")


async def is_retryable(task: Any, task_run: Any, state: Any) -> bool:
    """Answer Prefect's question whether a failed task run may be tried again."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, KeyturnError) and error.retryable


def step(
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
        )(function)

    return wrap
