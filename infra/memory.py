"""The memory of this process: how much the C library keeps for its threads."""

import ctypes
import os
from contextlib import suppress

ARENA_MAX = -8
"""glibc's M_ARENA_MAX: https://man7.org/linux/man-pages/man3/mallopt.3.html."""
ARENAS = 2


def share_arenas() -> None:
    """Let the threads that start from now on share two of glibc's arenas, unless MALLOC_ARENA_MAX says how many.

    By itself glibc makes up to eight for each of the machine's processors, whatever a container may use of them, and
    each keeps the most that its threads ever needed: a TLS context with its authorities is a megabyte. Other C
    libraries have no such setting.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS)
