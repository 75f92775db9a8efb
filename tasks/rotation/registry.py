"""What every step of a rotation shares: its context, its registration, and what it works with.

A step is written once, and `performs` makes its task, the run's name and its entry in `STEPS`:

    @performs(Action.RETIRE)
    def retire(context: StepContext) -> None:
        with opened_for(context) as access:
            ...
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from prefect.tasks import Task

from infra.credentials import Consumer, Credential
from infra.rotation.options import RotationOptions
from infra.rotation.state import Subject
from infra.rotation.steps import Action
from tasks.context import Access, opened
from tasks.retries import task_with_retries
from tasks.rotation.lock import confirm_lock

R = TypeVar("R")


@dataclass(frozen=True)
class StepContext:
    """What a step is about: names alone, the same for every step.

    Args:
        credential: what is rotated.
        options: how the rotation goes.
        rotation_id: the rotation that the step belongs to.
        subject: what the step acts on.
        mark: the mark of a workload that it restarts.
    """

    credential: Credential
    options: RotationOptions
    rotation_id: str
    subject: Subject
    mark: str

    @property
    def consumer(self) -> Consumer:
        """The consumer whose workload is the subject."""
        return next(consumer for consumer in self.credential.consumers if consumer.placed == self.subject)

    def consumer_by(self, key: Callable[[Consumer], str]) -> Consumer:
        """The first consumer whose key is the subject, where that is a source or a synced Secret."""
        return next(consumer for consumer in self.credential.consumers if key(consumer) == self.subject)


STEPS: dict[Action, Callable[[StepContext], object]] = {}
"""The task of every action; complete once the modules of this package are imported."""


def performs(action: Action, *, retries: int = 4) -> Callable[[Callable[[StepContext], R]], Task[[StepContext], R]]:
    """Make the task of an action and register it. Its run is named after the credential and the plan's line.

    Args:
        action: what the function does.
        retries: how often a retryable error is tried again; 0 for steps that wait by themselves.
    """

    def wrap(function: Callable[[StepContext], R]) -> Task[[StepContext], R]:
        line = action.value.replace("{subject}", "{context.subject}")
        name = action.name.replace("_", " ").capitalize()
        task = task_with_retries(name=name, run_name=f"{{context.credential.name}}: {line}", retries=retries)(function)
        STEPS[action] = task
        return task

    return wrap


@contextmanager
def opened_for(context: StepContext) -> Iterator[Access]:
    """Open the credential's vault, cluster and database for one step, and see that the lock is still ours."""
    with opened(context.credential) as access:
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        yield access
