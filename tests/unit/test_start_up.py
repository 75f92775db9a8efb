"""How a command starts: its imports are never looked through for garbage, what it makes later is."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import flows
from testing.labs import ROOT

TELL_AT_END = """
import atexit, gc

def tell():
    print(gc.isenabled(), gc.get_freeze_count() > 50_000)

atexit.register(tell)
"""


def test_a_command_looks_for_garbage_only_in_what_it_makes_after_its_imports(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TELL_AT_END)
    argv = [sys.executable, "-m", "flows.rotate", "--help"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.splitlines()[-1] == "True True"


def test_whoever_imports_the_flows_goes_on_looking_for_garbage() -> None:
    assert flows.__doc__
    assert gc.isenabled()
