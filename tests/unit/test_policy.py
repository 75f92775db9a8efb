"""What every task shares: no result is kept anywhere, and the error alone decides about a retry."""

import importlib
import pkgutil

import pytest
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

import tasks
from infra import errors
from infra.errors import KeyturnError
from tasks.retries import is_retryable, make_delays, step

ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, KeyturnError)]
MODULES = [importlib.import_module(found.name) for found in pkgutil.walk_packages(tasks.__path__, "tasks.")]
TASKS = {one.name: one for module in MODULES for one in vars(module).values() if isinstance(one, Task)}


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_result_is_persisted_or_cached_and_every_run_has_a_name_of_its_own(name: str) -> None:
    found = TASKS[name]
    assert found.persist_result is False
    assert found.cache_policy == NO_CACHE
    assert found.cache_key_fn is None
    assert found.result_storage is None
    assert found.retry_condition_fn is is_retryable
    assert found.task_run_name


def test_all_tasks_were_looked_at() -> None:
    assert {
        "Publish",
        "Stage the candidate",
        "Verify",
        "Wait for the sync",
        "Log in",
        "Make a resource",
        "Apply a manifest",
    } <= set(TASKS)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
async def test_an_error_of_ours_is_retried_if_it_says_so(kind: type[KeyturnError]) -> None:
    assert await is_retryable(None, None, Failed(data=kind("It failed", name="it"))) is kind.retryable


def test_what_passes_by_itself_is_retried_and_nothing_else() -> None:
    assert {one.__name__ for one in ERRORS if one.retryable} == {"NotYetPropagated", "SyncPending", "DatabaseStarting"}


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), TimeoutError("x")])
async def test_any_other_error_is_a_fault_and_not_retried(error: Exception) -> None:
    assert await is_retryable(None, None, Failed(data=error)) is False


def test_delays_double_and_the_count_is_bounded() -> None:
    made = step(name="Do it", retries=3, backoff_seconds=2)(lambda: None)
    assert made.retries == 3
    assert callable(made.retry_delay_seconds) or made.retry_delay_seconds == [2, 4, 8]


@pytest.mark.parametrize("budget_seconds", [1, 20, 600, 3600])
def test_delays_fill_the_budget_in_as_many_tries_as_prefect_accepts(budget_seconds: int) -> None:
    delays = make_delays(budget_seconds)
    assert sum(delays) == pytest.approx(budget_seconds)
    assert 1 <= len(delays) <= 50
