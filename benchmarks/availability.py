"""Whether clients get in while the credential is rotated: `python -m benchmarks.availability`.

A client in a pod opens 50 logins a second. It follows the mounted files and is never restarted, or keeps its
environment and is restarted by the rotation. Beside each rotation the consumers' own restart is seen by the same
client, with nothing rotated.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from benchmarks.common import Result, Row, kept_timelines, prefect_server, run_alone, running_stack, say
from benchmarks.login_pods import CLIENT, Client, Outage, Reads, find_outages, running_client
from infra.kubernetes import restarts
from infra.kubernetes.workloads import wait_for_pods_gone, wait_for_ready
from infra.targets import Strategy, Sync
from tasks.timeline import Timeline
from tests.crash.bare import without_prefect
from tests.e2e.rotating import DATABASE, OPTIONS, TARGET, World

POLL_SECONDS, ROTATIONS, QUICK_ROTATIONS, RESTART_EVERY = 1, 20, 2, 4
SLACK_SECONDS = 0.5


@dataclass(frozen=True)
class Case:
    """A strategy with a kind of client."""

    strategy: Strategy
    reads: Reads

    @property
    def sync(self) -> Sync:
        """Files of a client that goes on come by the driver's poll; a pod that begins fetches them itself."""
        return Sync.WAIT if self.reads is Reads.FILES else Sync.EXPRESS

    @property
    def name(self) -> str:
        """As the table calls it."""
        how = "follows its files" if self.reads is Reads.FILES else "keeps its environment, is restarted"
        return f"{self.strategy.value}, client {how}"


@dataclass
class Seen:
    """What the client saw of a case."""

    logins: int = 0
    failed: int = 0
    outages: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)

    def add(self, client: Client, since: float, timeline: Timeline) -> None:
        """Take in the logins of one rotation: its longest outage counts, and the steps that it went over."""
        logins = client.logins(since)
        self.logins += len(logins)
        self.failed += sum(not one.works for one in logins)
        longest = max(find_outages(logins), key=lambda one: one.seconds, default=None)
        self.outages.append(longest.seconds if longest else 0.0)
        if longest:
            self.phases["; ".join(phases_of(longest, timeline))] += 1


def phases_of(outage: Outage, timeline: Timeline) -> list[str]:
    """Name the steps that an outage lasted for, shortened to their verbs."""
    begun, ended = outage.begun - timeline.began, outage.ended - timeline.began
    return [one.label for one in timeline.spans if one.start_seconds < ended and one.end_seconds > begun]


def rotate_once(world: World, client: Client, case: Case, seen: Seen) -> None:
    """Rotate, and see what the client sees."""
    from flows.rotate import rotate

    target = TARGET.model_copy(update={"strategy": case.strategy, "consumers": (DATABASE, case.reads.consumer)})
    since = monotonic()
    with kept_timelines() as timelines, without_prefect():
        state = rotate.fn(target, OPTIONS.model_copy(update={"sync": case.sync}))
    if state.name != "Rotated":
        raise SystemExit(f"{case.name}: {state.name}: {state.message}")
    client.wait_until_calm()
    seen.add(client, since, timelines[-1])


def restart_consumers(world: World, client: Client, case: Case) -> float:
    """Return how long the consumers that the strategy restarts need by themselves, as the client sees it."""
    cluster, since, took = world.cluster, monotonic(), 0.0
    if case.strategy is Strategy.RECREATE:
        restarts.stop(cluster, DATABASE.namespace, DATABASE.workload)
        wait_for_pods_gone(cluster, DATABASE.namespace, DATABASE.workload, 60)
        restarts.start(cluster, DATABASE.namespace, DATABASE.workload, "benchmark")
        wait_for_ready(cluster, DATABASE.namespace, DATABASE.workload, 60)
        client.wait_until_calm()
        took = max(one.seconds for one in find_outages(client.logins(since)))
    if case.strategy is not Strategy.RECREATE or case.reads is Reads.ENVIRONMENT:
        begun = monotonic()
        restarts.restart(cluster, CLIENT.namespace, CLIENT.workload, f"benchmark {begun}")
        took += client.first_login(begun) - begun
        wait_for_ready(cluster, CLIENT.namespace, CLIENT.workload, 60)
        client.wait_until_calm()
    return took


def measure_case(world: World, case: Case, rotations: int) -> Seen:
    """Rotate again and again."""
    say(f"{case.name}: {rotations} rotations")
    seen = Seen()
    with running_client(world, case.reads) as client:
        for number in range(rotations):
            if number % RESTART_EVERY == 0:
                seen.restarts.append(restart_consumers(world, client, case))
            rotate_once(world, client, case, seen)
    return seen


CASES: Sequence[Case] = tuple(
    Case(strategy, reads) for strategy in (Strategy.RECREATE, Strategy.IN_PLACE) for reads in Reads
)


def measure(quick: bool) -> Result:
    """Measure all cases."""
    with running_stack(POLL_SECONDS) as world:
        found = {case: measure_case(world, case, QUICK_ROTATIONS if quick else ROTATIONS) for case in CASES}
    rows, notes = [], []
    for case, seen in found.items():
        own = Row("", seen.restarts).median
        goal = f"at most the own restart + {SLACK_SECONDS:g} s"
        reached = max(seen.outages) <= own + SLACK_SECONDS
        rows.append(Row(f"{case.name}: longest outage of a rotation", seen.outages, goal=goal, reached=reached))
        rows.append(Row(f"{case.name}: the consumers' own restart", seen.restarts))
        during = seen.phases.most_common(1)
        where = f" It lies in: {during[0][0]}." if during else ""
        notes.append(f"**{case.name}**: {seen.failed} of {seen.logins} logins failed.{where}")
    return Result("Logins while the credential is rotated", rows, notes)


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
