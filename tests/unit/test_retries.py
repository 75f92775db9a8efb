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
from infra.rotation.steps import Action
from tasks.retries import is_retryable, task_with_retries
from tasks.rotation import STEPS

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KeyturnError)]
MODULES = [importlib.import_module(found.name) for found in pkgutil.walk_packages(tasks.__path__, "tasks.")]
TASKS = {
    f"{found.fn.__module__}.{found.fn.__name__}": found
    for module in MODULES
    for found in vars(module).values()
    if isinstance(found, Task)
}


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
    names = {found.name for found in TASKS.values()}
    assert {"Publish", "Stage", "Verify", "Await sync", "Observe", "Lock", "Log in"} <= names


def test_every_action_of_a_rotation_has_a_task_and_no_two_have_the_same() -> None:
    assert set(STEPS) == set(Action)
    assert len({task.name for task in STEPS.values()}) == len(Action)
    assert {id(task) for task in STEPS.values()} <= {id(task) for task in TASKS.values()}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
async def test_an_error_of_ours_is_retried_if_it_says_so(kind: type[KeyturnError]) -> None:
    assert await is_retryable(None, None, Failed(data=kind("It failed", name="it"))) is kind.retryable


def test_what_is_transient_is_retried_and_nothing_else() -> None:
    retried = {kind.__name__ for kind in ERRORS if kind.retryable}
    assert retried == {"NotYetPropagated", "SyncPending", "DatabaseStarting"}


@pytest.mark.parametrize("error", [ValueError("x"), OSError("x"), TimeoutError("x")])
async def test_any_other_error_is_a_fault_and_not_retried(error: Exception) -> None:
    assert await is_retryable(None, None, Failed(data=error)) is False


def test_delays_double_and_the_count_is_bounded() -> None:
    made = task_with_retries(name="Do it", retries=3, backoff_seconds=2)(lambda: None)
    assert made.retries == 3
    assert callable(made.retry_delay_seconds) or made.retry_delay_seconds == [2, 4, 8]
