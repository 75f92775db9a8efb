"""A full disk for one process, which must be a child of its own: it stays full.

A stand-in, since a small file system needs root: each file that Python opens for writing fails with ENOSPC. Files in
memory are not affected, as with a disk that is really full.
"""

import errno
import os
import sys
import tempfile
from typing import Any

from flows.rotate import TaskExecutor

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def fill_disk_from(prefix: str) -> None:
    """Fill the disk when a step starts.

    Args:
        prefix: how the step's line starts; empty: at once.
    """
    is_full = [not prefix]
    if not prefix:
        tempfile.tempdir = None  # a process that has just started has not looked for its temporary folder yet

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if is_full[0] and event == "open" and isinstance(arguments[0], str) and arguments[2] & WRITING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    execute = TaskExecutor.execute

    def watched(self: TaskExecutor, plan: Any, step: Any) -> None:
        is_full[0] = is_full[0] or str(step).startswith(prefix)
        execute(self, plan, step)

    sys.addaudithook(refuse)
    TaskExecutor.execute = watched  # type: ignore[method-assign]
