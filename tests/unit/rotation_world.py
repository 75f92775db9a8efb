"""A world in memory for the planner's tests: vault, cluster and database, with crashes between any two calls."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from infra.errors import (
    Conflict,
    DatabaseUnreachable,
    KeyturnError,
    LoginRefused,
    SyncPending,
    Unverified,
    WorkloadUnhealthy,
)
from infra.rotation.observation import (
    CandidateFacts,
    ConsumerFacts,
    Logins,
    LoginState,
    Observation,
    Phase,
    Pod,
    SecretFacts,
    Synced,
    Version,
)
from infra.rotation.plan import Plan
from infra.rotation.steps import Step
from infra.rotation.strategies import STRATEGIES
from infra.rotation.verdict import Failure
from infra.targets import WALKTHROUGH_CONSUMER, Consumer, RotationOptions, Strategy, Sync, Target

OPTIONS = RotationOptions(dry_run=False, data_loss="I accept data loss")
DATABASE = WALKTHROUGH_CONSUMER
CLIENTS = {
    "none": (),
    "same Secret": (DATABASE.model_copy(update={"workload": "client", "is_database": False}),),
    "own Secret": (Consumer(namespace="web", workload="client", secret_provider_class="db", synced_secret="db"),),
    "reads anew": (
        Consumer(
            namespace="web",
            workload="client",
            secret_provider_class="db",
            synced_secret="db",
            needs_restart=False,
        ),
    ),
}
USES = frozenset({"username", "password"})
Pair = tuple[str, str]


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


@dataclass
class Written:
    """A version with its value."""

    facts: Version
    value: str


@dataclass
class Client:
    """A client's Deployment with one pod."""

    names: Consumer
    replicas: int = 1
    mark: str = ""
    pod: Pod | None = None
    env: Pair = ("", "")
    is_rolling: bool = False


@dataclass
class World:
    """Everything that outlives a run."""

    strategy: Strategy = Strategy.RECREATE
    clients: str = "none"
    refreshes_at_mount: bool = False
    seconds_per_call: float = 0.4
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    secrets: dict[str, list[Written]] = field(default_factory=lambda: {"username": [], "password": []})
    candidate: tuple[CandidateFacts, Pair] | None = None
    replicas: int = 1
    stopped_replicas: int | None = None
    mark: str = ""
    keeps_data: bool = False
    pod: Pod | None = None
    files: Pair = ("", "")
    database: Pair | None = None
    secrets_in_cluster: dict[str, Pair | None] = field(default_factory=dict)
    client: Client | None = None
    database_down: bool = False
    count: int = 0
    sync_paused: bool = False
    pods_broken: bool = False
    vault_refuses: bool = False
    forged_logins: bool = False
    on_call: Callable[["World"], None] = lambda world: None

    @classmethod
    def begin(cls, **options: object) -> "World":
        """A world in which everything is well."""
        world = cls(**options)  # type: ignore[arg-type]
        world.write("username", "dexter")
        world.write("password", "first")
        world.run_pod()
        for names in CLIENTS[world.clients]:
            world.client = Client(names)
            world.run_client()
        return world

    @property
    def target(self) -> Target:
        return Target(strategy=self.strategy, consumers=(DATABASE, *CLIENTS[self.clients]))

    @property
    def synced(self) -> Pair | None:
        """What the database's Secret holds."""
        return self.secrets_in_cluster.get(DATABASE.secret_key)

    def call(self) -> None:
        """One request goes out: time passes, and the process may die here."""
        self.now += timedelta(seconds=self.seconds_per_call)
        self.on_call(self)

    def write(self, name: str, value: str, rotation_id: str = "", restores: str = "") -> None:
        """Write a version; Key Vault counts whole seconds."""
        self.count += 1
        version = Version(f"v{self.count}", True, self.now.replace(microsecond=0), rotation_id, restores)
        self.secrets[name].append(Written(version, value))

    def disable(self, name: str, version: str) -> None:
        for written in self.secrets[name]:
            if written.facts.version == version:
                written.facts = replace(written.facts, enabled=False)

    @property
    def newest(self) -> Pair:
        return self.secrets["username"][-1].value, self.secrets["password"][-1].value

    @property
    def newest_versions(self) -> dict[str, str]:
        return {name: versions[-1].facts.version for name, versions in self.secrets.items()}

    def value(self, name: str, version: str) -> str:
        written = next(one for one in self.secrets[name] if one.facts.version == version)
        if not written.facts.enabled:
            raise Unverified("disabled", name=name)
        return written.value

    @property
    def readable_pairs(self) -> set[Pair]:
        """Every login that somebody with access to the vault can find."""
        usernames, passwords = ([one.value for one in self.secrets[n] if one.facts.enabled] for n in self.secrets)
        pairs = {(username, password) for username in usernames for password in passwords}
        return pairs | ({self.candidate[1]} if self.candidate else set())

    def run_pod(self) -> None:
        """The Deployment's controller, the CSI driver and the database's entrypoint."""
        self.count += 1
        self.files = self.newest
        env = self._mount(DATABASE.secret_key)
        self.pod = self._pod()
        self.database = None if self.pods_broken else env

    def run_client(self) -> None:
        """A client's pod is replaced."""
        assert self.client is not None
        self.count += 1
        self.client.env, self.client.pod, self.client.is_rolling = (
            self._mount(self.client.names.secret_key),
            self._pod(),
            False,
        )

    def _mount(self, secret_key: str) -> Pair:
        held = self.secrets_in_cluster.get(secret_key)
        env = self.newest if held is None or self.refreshes_at_mount else held
        self.secrets_in_cluster[secret_key] = env
        return env

    def _pod(self) -> Pod:
        ready = not self.pods_broken
        return Pod(f"pod-{self.count}", f"uid-{self.count}", ready, self.newest_versions, self.now)

    def stop_pods(self) -> None:
        self.pod, self.database = None, None

    def poll(self) -> None:
        """The driver looks for new versions."""
        if self.sync_paused:
            return
        if self.pod:
            self.files, self.secrets_in_cluster[DATABASE.secret_key] = self.newest, self.newest
            self.pod = replace(self.pod, versions=self.newest_versions)
        if self.client and self.client.pod:
            self.secrets_in_cluster[self.client.names.secret_key] = self.newest
            self.client.pod = replace(self.client.pod, versions=self.newest_versions)

    def login(self, pair: Pair | None) -> LoginState:
        if pair is None:
            return LoginState.UNTRIED
        if self.database is None or self.database_down:
            return LoginState.UNREACHABLE
        return LoginState.WORKS if pair == self.database and not self.forged_logins else LoginState.REFUSED

    def facts(self, name: str) -> SecretFacts:
        newest, *older = [written.facts for written in reversed(self.secrets[name])]
        return SecretFacts(name, newest, tuple(older))

    def base(self) -> Pair | None:
        if self.candidate is None or not self.candidate[0].phase.is_live:
            return None
        try:
            facts = self.candidate[0]
            return self.value("username", facts.base_username), self.value("password", facts.base_password)
        except Unverified:
            return None


@dataclass
class Simulation:
    """One run in the world: performs the steps call by call, as the tasks do."""

    world: World
    options: RotationOptions = OPTIONS
    shown: list[Plan] = field(default_factory=list)
    check: Callable[[World], None] = lambda world: None

    def observe(self) -> Observation:
        world = self.world
        world.call()
        candidate = world.candidate if world.candidate and world.candidate[0].phase.is_live else None
        return Observation(
            world.facts("username"),
            world.facts("password"),
            world.candidate[0] if world.candidate else None,
            Logins(
                world.login(world.newest), world.login(candidate[1] if candidate else None), world.login(world.base())
            ),
            tuple(self._consumers()),
        )

    def _consumers(self) -> Iterator[ConsumerFacts]:
        world, client = self.world, self.world.client
        pods = (world.pod,) if world.pod else ()
        yield ConsumerFacts(
            DATABASE,
            USES,
            self._synced(DATABASE),
            world.replicas,
            pods,
            world.stopped_replicas,
            world.mark,
            world.keeps_data,
        )
        if client:
            pods = (client.pod,) if client.pod else ()
            synced, settled = self._synced(client.names), not client.is_rolling
            yield ConsumerFacts(
                client.names, USES, synced, client.replicas, pods, restarted_for=client.mark, settled=settled
            )

    def _synced(self, names: Consumer) -> Synced:
        held = self.world.secrets_in_cluster.get(names.secret_key)
        return {None: Synced.ABSENT, self.world.newest: Synced.NEWEST}.get(held, Synced.OTHER)

    def show(self, plan: Plan) -> None:
        self.shown.append(plan)

    def perform(self, plan: Plan, step: Step) -> None:
        for _ in getattr(self, f"_{step.action.name.lower()}")(plan, step.subject):
            self.world.call()
            self.check(self.world)
        self.check(self.world)

    def begin_rollback(self, plan: Plan, failure: Failure) -> None:
        self.world.call()
        self._set_phase(Phase.ROLLING_BACK)

    def _set_phase(self, phase: Phase) -> None:
        assert self.world.candidate is not None
        facts, pair = self.world.candidate
        self.world.candidate = replace(facts, phase=phase), pair

    def _prove_current(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        if self.world.login(self.world.newest) is not LoginState.WORKS:
            raise LoginRefused("refused", name=subject)

    def _stage(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        yield
        if world.candidate and world.candidate[0].phase.is_live:
            return
        world.count += 1
        versions = world.newest_versions
        now = world.now.replace(microsecond=0)
        base, name = (versions["username"], versions["password"]), f"c{world.count}"
        facts = CandidateFacts(name, plan.rotation_id, Phase.STAGED, now, *base, world.strategy)
        renames = STRATEGIES[world.strategy].changes_username
        username = f"login{world.count}" if renames else world.newest[0]
        world.candidate = facts, (username, f"secret{world.count}")

    def _rehearse(self, plan: Plan, subject: str) -> Iterator[None]:
        yield from self._prove_current(plan, subject)

    def _set_login(self, plan: Plan, subject: str) -> Iterator[None]:
        assert self.world.candidate is not None
        yield from self._change(self.world.base(), self.world.candidate[1])

    def _restore_login(self, plan: Plan, subject: str) -> Iterator[None]:
        assert self.world.candidate is not None
        yield from self._change(self.world.candidate[1], self.world.base())

    def _change(self, present: Pair | None, wanted: Pair | None) -> Iterator[None]:
        """ALTER ROLE, logged in with what the database takes."""
        yield
        if wanted is None:
            raise Unverified("the old version is disabled", name="db")
        state = self.world.login(present)
        if self.world.login(wanted) is LoginState.WORKS:
            return
        if state is LoginState.UNREACHABLE:
            raise DatabaseUnreachable("no answer", name="db")
        if state is not LoginState.WORKS:
            raise LoginRefused("neither works", name="db")
        self.world.database = wanted
        yield

    def _prove_candidate(self, plan: Plan, subject: str) -> Iterator[None]:
        assert self.world.candidate is not None
        yield
        if self.world.login(self.world.candidate[1]) is not LoginState.WORKS:
            raise LoginRefused("refused", name=subject)

    def _publish(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        assert world.candidate is not None
        facts, pair = world.candidate
        newest = world.facts(subject).newest
        yield
        if newest.rotation_id == plan.rotation_id:
            return
        if newest.version not in (facts.base_username, facts.base_password):
            raise Conflict("newer", name=subject)
        self._write(subject, pair, plan.rotation_id)
        yield

    def _write(self, subject: str, pair: Pair, rotation_id: str, restores: str = "") -> None:
        if self.world.vault_refuses:
            raise KeyturnError("the vault refuses", name=subject)
        self.world.write(
            subject, dict(zip(("username", "password"), pair, strict=True))[subject], rotation_id, restores
        )

    def _await_sync(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        if self.world.sync_paused:
            raise SyncPending("still the old", name=subject)
        self.world.poll()
        yield

    def _stop(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        if world.replicas:
            world.stopped_replicas, world.replicas = world.replicas, 0
        yield
        world.stop_pods()
        yield

    def _refresh_secret(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        if self.world.secrets_in_cluster.get(subject) is not None:
            self.world.secrets_in_cluster[subject] = self.world.newest
        yield

    def _start(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        world.replicas, world.stopped_replicas, world.mark = world.stopped_replicas or 1, None, plan.mark
        yield
        if world.pod is None:
            world.run_pod()
        yield

    def _restart(self, plan: Plan, subject: str) -> Iterator[None]:
        client = self.world.client
        assert client is not None
        yield
        if client.mark != plan.mark:
            client.mark, client.is_rolling = plan.mark, True
        yield
        self._roll()

    def _roll(self) -> None:
        client = self.world.client
        if client and client.replicas and (client.is_rolling or client.pod is None or not client.pod.ready):
            self.world.run_client()

    def _await_ready(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        if subject != DATABASE.key:
            self._roll()
            if self.world.pods_broken:
                raise WorkloadUnhealthy("not ready", name=subject)
            return
        if self.world.pod is None:
            self.world.run_pod()
        if self.world.pods_broken:
            raise WorkloadUnhealthy("not ready", name=subject)
        if self.world.pod and not self.world.pod.ready:
            self.world.run_pod()

    def _verify(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        yield
        assert world.candidate is not None
        strategy, client = STRATEGIES[world.candidate[0].strategy], world.client
        waits = self.options.sync is Sync.WAIT
        if waits or strategy.restarts(DATABASE):
            self._verify_consumer(DATABASE, world.pod)
        if client and (waits or strategy.restarts(client.names)):
            self._verify_consumer(client.names, client.pod)
        works = world.login(world.newest) is LoginState.WORKS
        if not works or world.login(world.base()) is not LoginState.REFUSED:
            raise Unverified("no proof", name=subject)
        yield
        self._set_phase(Phase.PROVEN)

    def _verify_consumer(self, names: Consumer, pod: Pod | None) -> None:
        if pod is None and not names.is_database:
            return
        if pod is None or pod.versions != self.world.newest_versions:
            raise SyncPending("not mounted", name=names.key)
        if self.world.secrets_in_cluster.get(names.secret_key) != self.world.newest:
            raise SyncPending("stale", name=names.key)

    def _retire(self, plan: Plan, subject: str) -> Iterator[None]:
        for version in self.world.facts(subject).older_enabled:
            self.world.disable(subject, version.version)
            yield

    def _finish(self, plan: Plan, subject: str) -> Iterator[None]:
        yield from self._drop(Phase.DONE)

    def _drop(self, phase: Phase) -> Iterator[None]:
        self._set_phase(phase)
        yield
        self.world.candidate = None
        yield

    def _restore(self, plan: Plan, subject: str) -> Iterator[None]:
        world, base = self.world, self.world.base()
        assert world.candidate is not None
        yield
        newest, facts = world.facts(subject).newest, world.candidate[0]
        base_version = facts.base_username if subject == "username" else facts.base_password
        if newest.version == base_version or (newest.rotation_id == plan.rotation_id and newest.restores):
            return
        if base is None:
            raise Unverified("the old version is disabled", name=subject)
        self._write(subject, base, plan.rotation_id, base_version)
        yield

    def _verify_restored(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        if self.world.login(self.world.newest) is not LoginState.WORKS:
            raise Unverified("the old login does not work", name=subject)

    def _finish_rollback(self, plan: Plan, subject: str) -> Iterator[None]:
        yield from self._drop(Phase.ROLLED_BACK)
