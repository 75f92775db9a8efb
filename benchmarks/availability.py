"""Whether clients get in while the credential is rotated: `python -m benchmarks.availability`.

A client in a pod opens 50 logins a second. It follows the mounted files and is never restarted, or keeps its
environment and is restarted by the rotation. Beside the rotations the consumers' own restart is seen by the same
client, with nothing rotated. The product's own functions run, without Prefect's engine between two steps.
"""

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic

from benchmarks.common import Result, Row, kept_timelines, run_alone, running_stack, say
from benchmarks.login_pods import NAME, NAMESPACE, Client, Kind, Outage, Reads, find_outages, running_client
from flows.migrate import migrate
from flows.rotate import rotate
from infra.kubernetes import restarts
from infra.kubernetes.provider_classes import path_of
from infra.kubernetes.workloads import wait_for_pods_gone, wait_for_ready
from infra.targets import Strategy, Sync, Target, Through
from tasks.timeline import Timeline
from testing.bare import without_prefect
from testing.inventory import listed, of_target
from testing.rotating import DATABASE, OPTIONS, TARGET, World

POLL_SECONDS, QUICK_ROTATIONS, RESTART_EVERY = 1, 2, 4
ROTATIONS = {Reads.FILES: 20, Reads.ENVIRONMENT: 10}
SLACK_SECONDS = 0.5
SERVER = TARGET.model_copy(
    update={
        "strategy": Strategy.MANAGED,
        "through": Through.SERVER,
        "username_secret": "server-username",
        "password_secret": "server-password",
    }
)
SERVER_CLASS, SERVER_SECRET = "server-login", "server-login"


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
        how = "follows its files" if self.reads is Reads.FILES else "is restarted"
        return f"{self.strategy.value}, client {how}"

    def kind(self, world: World) -> Kind:
        """The client."""
        if self.strategy is not Strategy.MANAGED:
            return Kind(self.reads, f"host={world.endpoint.host} port={world.endpoint.port}")
        host, address = f"{SERVER.server}.postgres.database.azure.com", world.settings.resolve.split(":")[2]
        return Kind(self.reads, f"host={host} hostaddr={address} sslmode=require", SERVER_CLASS, SERVER_SECRET)

    def target(self, world: World) -> Target:
        """What is rotated."""
        client = self.kind(world).consumer
        if self.strategy is Strategy.MANAGED:
            return SERVER.model_copy(update={"consumers": (client,)})
        return TARGET.model_copy(update={"strategy": self.strategy, "consumers": (DATABASE, client)})


@dataclass
class Seen:
    """What the client saw of a case."""

    logins: int = 0
    failed: list[int] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)

    def add(self, client: Client, since: float, timeline: Timeline) -> None:
        """Take in the logins of one rotation: its longest outage counts, and the steps that it went over."""
        logins = client.logins(since)
        self.logins += len(logins)
        self.failed.append(sum(not one.works for one in logins))
        longest = max(find_outages(logins), key=lambda one: one.seconds, default=None)
        self.outages.append(longest.seconds if longest else 0.0)
        if longest:
            self.phases[describe(longest, timeline)] += 1


def describe(outage: Outage, timeline: Timeline) -> str:
    """Name the steps that an outage lasted for, the first and the last of them."""
    begun, ended = outage.begun - timeline.began, outage.ended - timeline.began
    labels = [one.label for one in timeline.spans if one.start_seconds < ended and one.end_seconds > begun]
    return " … ".join(f'"{one}"' for one in dict.fromkeys([*labels[:1], *labels[-1:]]))


def rotate_once(world: World, client: Client, case: Case, seen: Seen) -> None:
    """Rotate, and see what the client sees."""
    since = monotonic()
    with kept_timelines() as timelines, without_prefect():
        state = rotate.fn(case.target(world), OPTIONS.model_copy(update={"sync": case.sync}))
    if state.name != "Rotated":
        raise SystemExit(f"{case.name}: {state.name}: {state.message}")
    client.wait_until_calm()
    seen.add(client, since, timelines[-1])


def restart_consumers(world: World, client: Client, case: Case) -> float:
    """Return how long the consumers that a rotation restarts need by themselves, as the client sees it.

    A client that follows its files is never restarted; beside in-place its restart is taken all the same.
    """
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
        restarts.restart(cluster, NAMESPACE, NAME, f"benchmark {begun}")
        took += client.first_login(begun) - begun
        wait_for_ready(cluster, NAMESPACE, NAME, 60)
        client.wait_until_calm()
    return took


def prepare(world: World, strategy: Strategy) -> None:
    """Do what a strategy needs once: two logins, or a class for the server's credential."""
    if strategy is Strategy.ALTERNATING:
        with without_prefect():
            target = TARGET.model_copy(update={"strategy": strategy})
            migrate.fn(listed(of_target(target)), dry_run=False)
    if strategy is Strategy.MANAGED:
        path = path_of(DATABASE.namespace, DATABASE.secret_provider_class)
        spec = world.cluster.get(path)["spec"]
        objects = spec["parameters"]["objects"]
        for name in ("username", "password"):
            objects = objects.replace(f"objectName: {name}", f"objectName: server-{name}\n    objectAlias: {name}")
        spec["parameters"]["objects"] = objects
        spec["secretObjects"][0]["secretName"] = SERVER_SECRET
        body = {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1",
            "kind": "SecretProviderClass",
            "metadata": {"name": SERVER_CLASS, "namespace": DATABASE.namespace},
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
    where = f" The outage lies in {during[0][0]}." if during else ""
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
    return Result("Logins while the credential is rotated", rows, [note_of(*one) for one in found.items()])


if __name__ == "__main__":
    run_alone(measure, __doc__ or "")
