"""The scene of the crash and fault tests: a lab of its own, whose stack is made without Prefect's engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.scene import Scene, made_scene

SDK_SOCKETS = (
    "ignore:unclosed <ssl.SSLSocket:ResourceWarning",
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning",
)
"""The vendors' clients leave some sockets to the garbage collector; in other tests that is an error."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Endure the clients' sockets in the tests of this folder."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            for text in SDK_SOCKETS:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(scope="package")
def scene() -> Iterator[Scene]:
    """A lab with the walkthrough's stack in it; its variables are this process' own while this folder's tests run."""
    with made_scene() as made:
        yield made
