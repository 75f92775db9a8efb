"""The scene of the crash and fault tests: a lab of its own, whose stack is made without Prefect's engine."""

from collections.abc import Iterator

import pytest

from tests.crash.scene import Scene, running_scene


@pytest.fixture(scope="package")
def scene() -> Iterator[Scene]:
    """A lab with the walkthrough's stack in it; its variables are this process' own while this folder's tests run."""
    with running_scene() as running:
        yield running
