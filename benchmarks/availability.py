"""Whether clients get in while the credential is rotated: `python -m benchmarks.availability`.

A client in a pod opens 50 logins a second. It follows the mounted files and is never restarted, or keeps its
environment and is restarted by the rotation. Beside the rotations the consumers' own restart is seen by the same
client, with nothing rotated. The product's own functions run, without Prefect's engine between two steps.
"""

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic

from benchmarks.common import Result, Row, kept_timelines, run_alone, say
from benchmarks.login_pods import WORKLOAD, Client, Kind, Outage, Reads, find_outages, running_client
from infra.azure.names import get_host
from infra.credentials import Credential, CsiDelivery, Strategy
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.workloads import open_workload
from infra.rotation.execution import Verdict
from infra.rotation.options import Sync
from tasks.reports.timeline import Timeline
from testing import bare
from testing.reading import let_read
from testing.rotating import NAMESPACE, STACK, World, rotate, running_stack
from testing.walkthrough import DATABASE, DEXTER, SERVER, change

POLL_SECONDS, QUICK_ROTATIONS, RESTART_EVERY = 1, 2, 4
ROTATIONS = {Reads.FILES: 20, Reads.ENVIRONMENT: 10}
SLACK_SECONDS, READY_SECONDS = 0.5, 60
SERVER_LOGIN = "server-login"
SERVER_DELIVERY = CsiDelivery(secret_provider_class=SERVER_LOGIN, synced_secret=SERVER_LOGIN)


@dataclass(frozen=True)
class Case:
    """A strategy with a kind of client."""

    strategy: Strategy
    reads: Reads

    @property
    def sync(self) -> Sync:
        """A client that keeps running gets its files by the driver's poll; a pod that starts fetches them itself."""
        return Sync.WAIT if self.reads is Reads.FILES else Sync.EXPRESS

    @property
    def name(self) -> str:
        """As the table calls it."""
        how = "follows its files" if self.reads is Reads.FILES else "is restarted"
        return f"{self.strategy.value}, client {how}"

    def kind(self, world: World) -> Kind:
        """The client."""
        if self.strategy is not Strategy.MANAGED:
            address = world.database.address
            return Kind(self.reads, f"host={address.host} port={address.port}")
        host, host_address = get_host(STACK.server), world.settings.resolve.split(":")[2]
        return Kind(self.reads, f"host={host} hostaddr={host_address} sslmode=require", SERVER_DELIVERY)

    def credential(self, world: World) -> Credential:
        """What is rotated."""
        client = self.kind(world).consumer
        if self.strategy is Strategy.MANAGED:
            return change(SERVER, consumers=(client,))
        return change(DEXTER, strategy=self.strategy, consumers=(DATABASE, client))


@dataclass
class Seen:
    """What the client saw of a case."""

    logins: int = 0
    failed: list[int] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)

    def add(self, client: Client, since: float, timeline: Timeline) -> None:
        """Take in the logins of one rotation: its longest outage counts, and the steps during which it lasted."""
        logins = client.logins(since)
        self.logins += len(logins)
        self.failed.append(sum(not login.works for login in logins))
        longest = max(find_outages(logins), key=lambda outage: outage.seconds, default=None)
        self.outages.append(longest.seconds if longest else 0.0)
        if longest:
            self.phases[describe(longest, timeline)] += 1


def describe(outage: Outage, timeline: Timeline) -> str:
    """Name the steps during which an outage lasted, the first and the last of them."""
    begun, ended = outage.begun - timeline.started, outage.ended - timeline.started
    labels = [span.label for span in timeline.spans if span.start_seconds < ended and span.end_seconds > begun]
    return " … ".join(f'"{label}"' for label in dict.fromkeys([*labels[:1], *labels[-1:]]))


def rotate_once(world: World, client: Client, case: Case, seen: Seen) -> None:
    """Rotate, and see what the client sees."""
    since = monotonic()
    with kept_timelines() as timelines:
        ended = rotate(case.credential(world), sync=case.sync)
    if ended.verdict is not Verdict.ROTATED:
        raise SystemExit(f"{case.name}: {ended.message}")
    client.wait_until_calm()
    seen.add(client, since, timelines[-1])


def restart_consumers(world: World, client: Client, case: Case) -> float:
    """Return how long the consumers that a rotation restarts need by themselves, as the client sees it.

    A client that follows its files is never restarted; for comparison with in-place its restart is measured anyway.
    """
    since, took = monotonic(), 0.0
    if case.strategy is Strategy.RECREATE:
        world.workload.stop()
        world.workload.wait_for_pods_gone(READY_SECONDS)
        world.workload.start("benchmark")
        world.workload.wait_for_ready(READY_SECONDS)
        client.wait_until_calm()
        took = max(outage.seconds for outage in find_outages(client.logins(since)))
    if case.strategy is not Strategy.RECREATE or case.reads is Reads.ENVIRONMENT:
        begun, workload = monotonic(), open_workload(world.cluster, WORKLOAD)
        workload.restart(f"benchmark {begun}")
        took += client.first_login(begun) - begun
        workload.wait_for_ready(READY_SECONDS)
        client.wait_until_calm()
    return took


def prepare(world: World, strategy: Strategy) -> None:
    """Do what a strategy needs once: an owner role, or a SecretProviderClass for the server's credential."""
    if strategy is Strategy.ALTERNATING:
        bare.make_owner_role(change(DEXTER, strategy=strategy))
    if strategy is Strategy.MANAGED:
        let_read(SERVER)
        path = path_of(NAMESPACE, DATABASE.delivery.secret_provider_class)
        spec = world.cluster.get(path)["spec"]
        objects = spec["parameters"]["objects"]
        for name in DEXTER.secrets.names:
            objects = objects.replace(f"objectName: {name}", f"objectName: server-{name}\n    objectAlias: {name}")
        spec["parameters"]["objects"] = objects
        spec["secretObjects"][0]["secretName"] = SERVER_DELIVERY.synced_secret
        body = {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": SERVER_DELIVERY.secret_provider_class, "namespace": NAMESPACE},
            "spec": spec,
        }
        world.cluster.request("POST", path.rpartition("/")[0], {}, body)


def measure_case(world: World, case: Case, rotations: int) -> Seen:
    """Rotate again and again."""
    say(f"{case.name}: {rotations} rotations")
    seen = Seen()
    with running_client(world, case.kind(world)) as client:
        for number in range(rotations):
            if number % RESTART_EVERY == 0:
                seen.restarts.append(restart_consumers(world, client, case))
            rotate_once(world, client, case, seen)
    return seen


def rows_of(case: Case, seen: Seen) -> list[Row]:
    """The table's lines of a case."""
    if case.strategy is Strategy.ALTERNATING:
        return [Row(f"{case.name}: failed logins a rotation", seen.failed, "", "0", not any(seen.failed))]
    own = Row(f"{case.name}: the consumers' own restart", seen.restarts)
    has_goal = case.strategy is not Strategy.MANAGED
    goal = f"at most the own restart + {SLACK_SECONDS:g} s" if has_goal else ""
    reached = Row("", seen.outages).median <= own.median + SLACK_SECONDS if has_goal else None
    return [Row(f"{case.name}: longest outage of a rotation", seen.outages, goal=goal, reached=reached), own]


def note_of(case: Case, seen: Seen) -> str:
    """What is said of a case."""
    during = seen.phases.most_common(1)
    where = f" The outage lasts during {during[0][0]}." if during else ""
    return f"{case.name}: {sum(seen.failed)} of {seen.logins} logins failed in {len(seen.failed)} rotations.{where}"


def measure(quick: bool) -> Result:
    """Measure all cases."""
    found: dict[Case, Seen] = {}
    with running_stack(POLL_SECONDS) as world:
        for strategy in Strategy:
            prepare(world, strategy)
            for case in (Case(strategy, reads) for reads in Reads):
                found[case] = measure_case(world, case, QUICK_ROTATIONS if quick else ROTATIONS[case.reads])
    rows = [row for case, seen in found.items() for row in rows_of(case, seen)]
    return Result("Logins while the credential is rotated", rows, [note_of(case, seen) for case, seen in found.items()])


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
