"""A wave in which a vault throttles, a server ends and a worker is killed: `python -m benchmarks.fleet_trouble --keep`.

The rotations are processes of two workers; what happens, and when, is told by testing/fleet_trouble.py. A lab and a
Prefect server of its own.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.__main__ import between_markers
from benchmarks.common import say, timed
from benchmarks.fleet import PAGE
from testing.fleet_trouble import CRASHED, NEVER, RUNS, ZOMBIE_SECONDS, Told, run_troubled_wave
from testing.fleets import Fleet
from testing.postgres_process import PASSWORD, USER, running_server
from testing.prefect_server import prefect_server
from testing.rotating import running_stack

VAULTS = SERVERS = 4


def count(verdicts: Mapping[str, str], names: Iterable[str]) -> str:
    """Return how often each verdict was given, in words."""
    counted = Counter(verdicts[name].replace("-", " ") for name in names)
    return ", ".join(f"{number} {verdict}" for verdict, number in sorted(counted.items())) or "none"


def tell(told: Told, seconds: float) -> str:
    """Return the table: what was hit, and what became of it."""
    groups = {
        "nothing": told.well,
        "its vault throttled every write": told.throttled - told.down,
        "its server was away, to the end": told.down,
        "its worker was killed in the middle of it": {told.killed},
    }
    lines = ["| what hit it | credentials | the wave | the next run of the fleet |", "|---|---:|---|---|"]
    for what, names in groups.items():
        lines.append(f"| {what} | {len(names)} | {count(told.first, names)} | {count(told.second, names)} |")
    lost = {CRASHED, RUNS, NEVER} & {told.first[name] for name in told.throttled | told.down}
    is_good = all(told.first[name] == "rotated" for name in told.well) and not lost
    is_resumed = told.second[told.killed] == "rotated" and told.killed in told.changed
    lines += ["", f"- The others rotate, and what is hit ends in a verdict: {'reached' if is_good else '**missed**'}."]
    lines.append(f"- The next run finishes what was killed: {'reached' if is_resumed else '**missed**'}.")
    found = f"{told.crashed_after.total_seconds():.0f} s after the kill"
    lines.append(
        f"- The killed run was marked as crashed {found}; the alarm waited {ZOMBIE_SECONDS} s for a heartbeat."
    )
    return "\n".join([*lines, f"- Both runs of the fleet, and the deployment, took {seconds:.0f} s."])


def main() -> None:
    """Let it happen, print what became of it, and write the page if wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--credentials", type=int, default=16)
    parser.add_argument("--keep", action="store_true", help="write docs/fleet-benchmarks.md")
    chosen = parser.parse_args()
    with running_stack(120) as world, running_server() as postgres, tempfile.TemporaryDirectory() as folder:
        url = f"postgresql+asyncpg://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/postgres"
        with prefect_server(url):
            fleet, found = Fleet(world, VAULTS, SERVERS), list[Told]()
            say("makes the fleet")
            fleet.build(chosen.credentials, chosen.credentials)
            say("the wave begins")
            seconds = timed(lambda: found.append(run_troubled_wave(fleet, chosen.credentials, Path(folder))))
            told = tell(found[0], seconds)
    for ending in found[0].endings:
        say(ending)
    print(told)
    if chosen.keep:
        PAGE.write_text(between_markers(PAGE.read_text(), "trouble", told))


if __name__ == "__main__":
    main()
