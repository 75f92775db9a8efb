"""The fleet: a scan that finds nothing due, and waves of several sizes: `python -m benchmarks.fleet --sizes 10,100`.

One run, one lab, one Prefect server on PostgreSQL; the rotations are threads of this process. CPU and requests are
counted, so a shared machine changes them little; times depend on it. The table and the picture go to
docs/fleet-benchmarks.md, with `--keep`.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.__main__ import between_markers, describe_machine
from benchmarks.common import ROOT, Row, say
from benchmarks.plots import draw_bars
from benchmarks.processes import Traffic, cpu_seconds, find_child, forget_peak, peak_megabytes, traffic_counted
from infra.memory import share_arenas
from infra.rotation.options import Sync
from testing.fleets import Fleet
from testing.postgres_process import PASSWORD, USER, running_server
from testing.prefect_server import prefect_server
from testing.rotating import running_stack

PAGE, PICTURE = ROOT / "docs/fleet-benchmarks.md", ROOT / "docs/benchmarks-fleet.svg"
SCAN_SECONDS, SCAN_REQUESTS, TIMES, MEGABYTES = 30, 35, 1.2, 512
VAULT = ".vault.azure.net"


@dataclass(frozen=True)
class Measured:
    """What a run of the fleet cost.

    Args:
        size: credentials.
        workloads: how many of them have a workload.
        ending: how its run ended, in words.
        seconds: its wall time.
        cpu: process -> CPU seconds.
        peak: process -> the most megabytes.
        traffic: its requests.
        refused: logins that the servers refused.
    """

    size: int
    workloads: int
    ending: str
    seconds: float
    cpu: dict[str, float]
    peak: dict[str, float]
    traffic: Traffic
    refused: int

    def each(self, number: float) -> float:
        """Return a number's share of one credential."""
        return number / self.size

    def requests_to(self, service: str) -> int:
        """Return how many requests a service got."""
        return sum(count for host, count in self.traffic.sent.items() if name_service(host) == service)

    @property
    def most_of_a_vault(self) -> int:
        """How many requests the vault got that got the most."""
        return max((count for host, count in self.traffic.sent.items() if host.endswith(VAULT)), default=0)


def name_service(host: str) -> str:
    """Return which service a host belongs to."""
    if host.endswith(VAULT):
        return "Key Vault"
    if host == "management.azure.com":
        return "Azure Resource Manager"
    if host.endswith("microsoftonline.com"):
        return "Entra ID"
    return "Prefect" if host.startswith(("127.0.0.1:", "localhost:")) else "Kubernetes"


SERVICES = ("Key Vault", "Azure Resource Manager", "Entra ID", "Kubernetes", "Prefect")
OWN, SERVER, DATABASE = "Keyturn", "Prefect's server", "Prefect's PostgreSQL"


class Bench:
    """Runs the fleet and counts what that costs.

    Args:
        fleet: its credentials.
        server: the process of Prefect's server.
    """

    def __init__(self, fleet: Fleet, server: int) -> None:
        self.fleet = fleet
        self.processes = {OWN: os.getpid(), SERVER: server, DATABASE: find_child("postgres")}

    def run(self, size: int, **parameters: Any) -> Measured:
        """Run the flow over the first credentials."""
        from flows.fleet import RotateIn, fleet

        names = self.fleet.list_in_inventory(size)
        wanted = {"requested": names} if parameters.pop("all_due", False) else {}
        forget_peak()
        refused, cpu, begun = self.fleet.count_refused_logins(), self._cpu(), time.perf_counter()
        with traffic_counted() as traffic:
            state = fleet(rotate_in=RotateIn.THIS_PROCESS, sync=Sync.EXPRESS, return_state=True, **wanted, **parameters)
        seconds = time.perf_counter() - begun
        used = {name: after - cpu[name] for name, after in self._cpu().items()}
        peak = {name: peak_megabytes(process) for name, process in self.processes.items()}
        refused = self.fleet.count_refused_logins() - refused
        say(f"{size} credentials: {seconds:.1f} s, {used[OWN]:.1f} s of CPU; {state.name}: {str(state.message)[:300]}")
        workloads = sum(number < size for number in self.fleet.with_workload)
        return Measured(size, workloads, state.message or "", seconds, used, peak, traffic, refused)

    def scan(self, size: int) -> Measured:
        """Look at all, with nothing due."""
        return self.run(size, dry_run=True)

    def wave(self, size: int) -> Measured:
        """Rotate all, as after a leak."""
        return self.run(size, all_due=True, dry_run=False, minutes=1440)

    def _cpu(self) -> dict[str, float]:
        own = {OWN: time.process_time()}
        return own | {name: cpu_seconds(self.processes[name]) for name in (SERVER, DATABASE)}


@dataclass(frozen=True)
class Line:
    """One line of the table: what was counted, for each run, and the goal."""

    what: str
    cells: Sequence[str]
    goal: str = ""
    reached: bool | None = None

    def markdown(self) -> str:
        """The line."""
        said = {None: "", True: " — reached", False: " — **missed**"}[self.reached]
        return f"| {' | '.join((self.what, *self.cells, self.goal + said))} |"


def tabulate(heads: Sequence[str], lines: Sequence[Line]) -> str:
    """Return a table."""
    head = f"| {' | '.join(('what', *heads, 'goal'))} |"
    return "\n".join([head, "|---|" + "---:|" * len(heads) + "---|", *(line.markdown() for line in lines)])


def tell_scan(found: Measured, vaults: int) -> str:
    """Return the scan's table."""
    most, limit = found.most_of_a_vault, f"at most {SCAN_REQUESTS}"
    return tabulate(
        [f"{found.size} credentials in {vaults} vaults"],
        [
            Line(
                "from the flow's start to its end",
                [f"{found.seconds:.1f} s"],
                f"at most {SCAN_SECONDS} s",
                found.seconds <= SCAN_SECONDS,
            ),
            Line("CPU of Keyturn", [f"{found.cpu[OWN]:.1f} s"]),
            Line("requests to the vault that got the most", [str(most)], limit, most <= SCAN_REQUESTS),
            Line("requests to all vaults", [str(found.requests_to("Key Vault"))]),
            Line("requests to Prefect's server", [str(found.requests_to("Prefect"))]),
        ],
    )


def tell_waves(found: Sequence[Measured]) -> str:
    """Return the waves' table: the smallest against the largest."""
    first, last = found[0], found[-1]

    def each(what: str, pick: Callable[[Measured], float], unit: str = "") -> Line:
        small, large = first.each(pick(first)), last.each(pick(last))
        is_compared = len(found) > 1 and small > 0
        goal = f"at most {TIMES:g} x as much" if is_compared else ""
        cells = [f"{wave.each(pick(wave)):.2f}{unit}" for wave in found]
        return Line(what, cells, goal, large <= TIMES * small if is_compared else None)

    good = [f"{wave.size} started by this run, 0 of them ended badly" in wave.ending for wave in found]
    fits = all(wave.peak[OWN] <= MEGABYTES for wave in found)
    return tabulate(
        [f"{wave.size} rotations" for wave in found],
        [
            Line(
                "all rotated",
                ["yes" if is_good else "no" for is_good in good],
                "no other verdict",
                all(good),
            ),
            Line("of them with a workload that is restarted", [str(wave.workloads) for wave in found]),
            Line("wall time", [f"{wave.seconds:.0f} s" for wave in found]),
            each("CPU of Keyturn a rotation", lambda wave: wave.cpu[OWN], " s"),
            *(
                Line(f"CPU of {name} a rotation", [f"{wave.each(wave.cpu[name]):.2f} s" for wave in found])
                for name in (SERVER, DATABASE)
            ),
            *(
                each(f"requests to {name} a rotation", lambda wave, name=name: wave.requests_to(name))
                for name in SERVICES
            ),
            Line("answers 429", [str(sum(wave.traffic.throttled.values())) for wave in found]),
            Line("refused logins a rotation", [f"{wave.each(wave.refused):.2f}" for wave in found]),
            Line(
                "peak memory of Keyturn",
                [f"{wave.peak[OWN]:.0f} MiB" for wave in found],
                f"at most {MEGABYTES} MiB",
                fits,
            ),
            Line("peak memory of Prefect's server", [f"{wave.peak[SERVER]:.0f} MiB" for wave in found]),
        ],
    )


def draw(found: Sequence[Measured]) -> str:
    """Draw the CPU of one rotation, by process and size."""
    rows = [
        Row(f"{name}, one of {wave.size} rotations", [wave.each(wave.cpu[name])])
        for name in (OWN, SERVER, DATABASE)
        for wave in found
    ]
    return draw_bars("CPU of one rotation in a wave", rows)


def keep(scan: str, waves: str, picture: str, conditions: str) -> None:
    """Write the page and the picture."""
    machine = describe_machine()
    facts = f"{machine['processors']} shared processors, {machine['memory']}, {machine['system']}, Python "
    facts += f"{machine['python']}, PostgreSQL {machine['postgres']}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    text = PAGE.read_text()
    for name, told in {"machine": f"{facts} {conditions}".rstrip(), "scan": scan, "waves": waves}.items():
        text = between_markers(text, name, told)
    PAGE.write_text(text)
    PICTURE.write_text(picture)


def main() -> None:
    """Measure, print, and write the page if wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10,100,1000", help="credentials of each wave, ascending")
    parser.add_argument("--scan", type=int, default=1000, help="credentials of the scan that finds nothing due")
    parser.add_argument("--workloads", type=int, default=50, help="credentials of the largest wave with a workload")
    parser.add_argument("--vaults", type=int, default=30)
    parser.add_argument("--servers", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="write docs/fleet-benchmarks.md and its picture")
    parser.add_argument("--conditions", default="", help="a sentence about the machine, for the page")
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.sizes.split(",")]
    share_arenas()  # as the fleet does, but before this process makes its vaults
    with running_stack(120) as world, running_server() as postgres:
        url = f"postgresql+asyncpg://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/postgres"
        with prefect_server(url) as server:
            fleet = Fleet(world, chosen.vaults, chosen.servers)
            say("makes the fleet")
            fleet.build(max(chosen.scan, *sizes), max(sizes), chosen.workloads)
            bench = Bench(fleet, server)
            bench.scan(1)  # loads what the first run alone loads
            scan = tell_scan(bench.scan(chosen.scan), chosen.vaults)
            print(scan, flush=True)
            found: list[Measured] = []
            for size in sizes:
                found.append(bench.wave(size))
                if chosen.keep:
                    keep(scan, tell_waves(found), draw(found), chosen.conditions)
    print(tell_waves(found))


if __name__ == "__main__":
    main()
