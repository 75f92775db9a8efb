"""How long a lab takes from the command to ready, and to be gone again: `python -m benchmarks.lab_up [RUNS]`.

The shell's own commands are measured, with Python's start. One run before them is not counted: it compiles modules
and fills the caches.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS, TARGET_SECONDS, TIMEOUT_SECONDS = 5, 3.0, 120
ROOT = Path(__file__).resolve().parents[1]


def timed(command: str, state: Path) -> float:
    """Run a command of the lab and return its seconds; a failure ends the benchmark with what it said."""
    argv = [sys.executable, "-m", "infra.lab", command, "--state", str(state)]
    begun = time.perf_counter()
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    took = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return took


def measure(state: Path) -> tuple[float, float]:
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


def main() -> None:
    """Measure and print a table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory(prefix="keyturn-") as folder:
        Path(folder).chmod(0o711)
        state = Path(folder, "lab")
        measure(state)
        ups, downs = zip(*(measure(state) for _ in range(runs)), strict=True)
        left = find_left(state)
    print(f"| {runs} runs, seconds | min | median | max | target |\n|---|---|---|---|---|")
    for name, numbers, target in (("up, from the command to ready", ups, f"{TARGET_SECONDS:g}"), ("down", downs, "")):
        cells = (min(numbers), statistics.median(numbers), max(numbers))
        print(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} | {target} |")
    if left:
        sys.exit(f"left behind: {left}")


if __name__ == "__main__":
    main()
