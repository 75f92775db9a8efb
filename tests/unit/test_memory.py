"""Memory: threads share the C library's arenas, each of which would keep the most that was ever needed in it."""

import os
import platform
import subprocess
import sys

import pytest

from testing.labs import ROOT

COUNT_ARENAS = """
import ctypes, sys, tempfile, threading

from infra.memory import share_arenas

C = ctypes.CDLL(None)
C.fopen.restype = ctypes.c_void_p
C.malloc_info.argtypes, C.fclose.argtypes = (ctypes.c_int, ctypes.c_void_p), (ctypes.c_void_p,)

if sys.argv[1] == "shared":
    share_arenas()
met = threading.Barrier(6)

def work():
    kept = bytes(5_000)
    met.wait(30)

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with tempfile.NamedTemporaryFile() as file:
    told = C.fopen(file.name.encode(), b"w")
    C.malloc_info(0, told)
    C.fclose(told)
    print(file.read().count(b"<heap "))
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, which alone has arenas to bound")


def count_arenas(how: str, **variables: str) -> int:
    """Return how many arenas a process has in which six threads have allocated at the same time."""
    env = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | variables
    argv = [sys.executable, "-c", COUNT_ARENAS, how]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


@glibc
def test_threads_share_two_arenas_where_each_had_one_of_its_own() -> None:
    assert count_arenas("shared") == 2
    assert count_arenas("unbounded") > 2


@glibc
def test_whoever_runs_it_chooses_another_number() -> None:
    assert count_arenas("shared", MALLOC_ARENA_MAX="3") == 3
