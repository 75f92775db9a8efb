"""How long a lab takes from the command to ready, and to be gone again: `python -m benchmarks.lab_up`.

It is a lab without a Prefect server, whose start would hide the lab's own.

The shell's own commands are measured, with Python's start. One run before them is not counted: it compiles modules
and fills the caches.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import ROOT, Result, Row, run_alone

RUNS, QUICK_RUNS, GOAL_SECONDS, TIMEOUT_SECONDS = 5, 2, 3.0, 120


def timed(command: str, state: Path) -> float:
    """Run a command of the lab and return its seconds; a failure ends the benchmark with what it said."""
    options = ["--no-prefect"] if command == "up" else []
    argv = [sys.executable, "-m", "lab", command, "--state", str(state), *options]
    begun = time.perf_counter()
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return took


def measure_once(state: Path) -> tuple[float, float]:
    """Start a lab and take it down, in whatever case."""
    try:
        up = timed("up", state)
    except BaseException:
        timed("down", state)
        raise
    return up, timed("down", state)


def find_left(state: Path) -> list[str]:
    """The folder and the processes of a lab that should be gone."""
    left = [str(state)] if state.exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(state).encode() in words:
            left.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return left


def measure(quick: bool) -> Result:
    """Start and end labs in one folder."""
    with tempfile.TemporaryDirectory(prefix="keyturn-") as folder:
        Path(folder).chmod(0o711)
        state = Path(folder, "lab")
        measure_once(state)
        ups, downs = zip(*(measure_once(state) for _ in range(QUICK_RUNS if quick else RUNS)), strict=True)
        if left := find_left(state):
            sys.exit(f"left behind: {left}")
    goal, reached = f"at most {GOAL_SECONDS:g} s", max(ups) <= GOAL_SECONDS
    return Result(
        "The lab", [Row("up, from the command to ready", ups, goal=goal, reached=reached), Row("down", downs)]
    )


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
