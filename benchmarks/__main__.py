"""All benchmarks, one after the other, and what they found in docs/: `python -m benchmarks [--only NAME ...]`.

Each runs in a process and a lab of its own. docs/benchmarks.json has every single number, with the machine; the
tables in docs/benchmarks.md stand between markers and are replaced, the words around them stay.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, Result, say
from benchmarks.plots import draw_bars, draw_curve
from lab.databases.binaries import find_binaries

NAMES = ("rotation_speed", "availability", "database_step", "sync_detection", "lab_up", "kubernetes_api")
SOAK = "soak"
NUMBERS, PAGE = ROOT / "docs/benchmarks.json", ROOT / "docs/benchmarks.md"


def run(name: str, quick: bool) -> dict[str, Any]:
    """Run a benchmark in a process of its own and return its numbers."""
    say(f"{name} begins")
    with tempfile.TemporaryDirectory(prefix="keyturn-bench-") as folder:
        file = Path(folder, "numbers.json")
        argv = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file), *(["--quick"] if quick else [])]
        if subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
            sys.exit(f"the benchmark {name} failed")
        found: dict[str, Any] = json.loads(file.read_text())
    return found


def describe_machine() -> dict[str, str]:
    """What the numbers depend on."""
    binary = find_binaries().folder / "postgres"
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "postgres": re.findall(r"\d+\.\d+", version)[0],
    }


def between_markers(page: str, name: str, text: str) -> str:
    """Put text between the markers of a name; a page without them stays as it is."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{text.rstrip()}\n{found[2]}", page, flags=re.DOTALL)


def write(results: dict[str, Any], machine: dict[str, str], numbers: Path, page: Path) -> None:
    """Write the numbers, the tables and the plots."""
    numbers.write_text(json.dumps({"machine": machine, "results": results}, separators=(",", ":")) + "\n")
    text = page.read_text()
    facts = f"{machine['processors']} shared processors, {machine['memory']}, {machine['system']}, Python "
    facts += f"{machine['python']}, PostgreSQL {machine['postgres']}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    text = between_markers(text, "machine", facts)
    for name, found in results.items():
        result = Result.of_plain(found)
        text = between_markers(text, name, result.markdown())
        for plot, drawing in draw(name, result).items():
            page.with_name(f"benchmarks-{plot}.svg").write_text(drawing)
    page.write_text(text)


def draw(name: str, result: Result) -> dict[str, str]:
    """Return the plots of a benchmark by name."""
    if name == "rotation_speed":
        return {"rotation": draw_bars(result.title, result.rows)}
    if name == "availability":
        return {"logins": draw_bars(result.title, [row for row in result.rows if row.unit])}
    if name == SOAK:
        return {"memory": draw_curve(f"Memory of the process over {result.title}", result.series["memory"], "MB")}
    return {}


def main() -> None:
    """Run what is asked for and bring the pages up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*NAMES, SOAK], default=NAMES, help="all but the soak")
    parser.add_argument("--quick", action="store_true", help="for developing alone")
    chosen = parser.parse_args()
    results = json.loads(NUMBERS.read_text())["results"] if NUMBERS.exists() else {}
    for name in chosen.only:
        results[name] = run(name, chosen.quick)
        write(results, describe_machine(), NUMBERS, PAGE)
        print(Result.of_plain(results[name]).markdown())


if __name__ == "__main__":
    main()
