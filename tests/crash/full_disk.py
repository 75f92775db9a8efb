"""A full disk for one process, which must be a child of its own: it stays full.

A stand-in, since a small file system needs root: each file that is opened for writing fails with ENOSPC, whoever
opens it in Python. Files in memory are not concerned, as with a disk that is really full.
"""

import errno
import os
import sys
from typing import Any

from flows.rotate import Tasks

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def fill_disk_from(step: str) -> None:
    """Fill the disk when a step begins, or at once: when it is empty."""
    is_full = [not step]

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if is_full[0] and event == "open" and isinstance(arguments[0], str) and arguments[2] & WRITING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    perform = Tasks.perform

    def watched(self: Tasks, plan: Any, one: Any) -> None:
        is_full[0] = is_full[0] or str(one).startswith(step)
        perform(self, plan, one)

    sys.addaudithook(refuse)
    Tasks.perform = watched  # type: ignore[method-assign]
