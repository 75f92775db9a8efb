"""Prints the help of flows, each in a fork of a process that has imported the libraries once. Not a test.

Usage: printed_helps.py FOLDER MODULE...; what `python -m MODULE --help` prints is in FOLDER/MODULE.out and .err then,
its exit code in .code.
"""

import os
import runpy
import sys
from pathlib import Path

import tasks.access
import tasks.deployment
import tasks.provisioning
import tasks.rotation  # noqa: F401 - they import what takes seconds


def print_help(folder: Path, module: str) -> None:
    """Run the module as the shell's command does, and end this process."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{module}.{name}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = [module, "--help"]
    code = 99
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / f"{module}.code").write_text(str(code))
        os._exit(code)


if __name__ == "__main__":
    for one in sys.argv[2:]:
        if not (child := os.fork()):
            print_help(Path(sys.argv[1]), one)
        os.waitpid(child, 0)
