"""Waiting for what no watch tells: a test looks again and again, for a bounded time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen | None], what: str = "it", seconds: float = 15, every: float = 0.05) -> Seen:
    """Look until what is seen is truthy, and return it.

    Args:
        look: is called at least once.
        what: is named when it never comes.
        seconds: how long to look.
        every: seconds between two looks.
    """
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s, but {seen!r}"
        pause.wait(every)
    return seen
