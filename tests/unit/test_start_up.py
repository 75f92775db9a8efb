"""How a command starts: its imports are not looked through for garbage, which would take a quarter of its time."""

import subprocess
import sys

from testing.labs import ROOT

COUNT = "import gc; before = gc.get_stats()[2]['collections']; import flows.rotate; " + (
    "print(gc.get_stats()[2]['collections'] - before)"
)


def test_a_command_does_not_look_through_its_imports_for_garbage() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "0\n"
