"""A world in memory for the planner's tests: vault, cluster and database, with crashes between any two calls."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from infra.errors import Conflict, KeyturnError, LoginRefused, SyncPending, Unverified, WorkloadUnhealthy
from infra.rotation.observation import (
    CandidateFacts,
    Consumer,
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
from infra.rotation.verdict import Failure
from infra.targets import RotationOptions, Target

TARGET = Target()
OPTIONS = RotationOptions(dry_run=False, data_loss="I accept data loss")
Pair = tuple[str, str]


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


@dataclass
class Written:
    """A version with its value."""

    facts: Version
    value: str


@dataclass
class World:
    """Everything that outlives a run."""

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
    synced: Pair | None = None
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
        return world

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
        if self.synced is None or self.refreshes_at_mount:
            self.synced = self.newest
        self.pod = Pod(f"pod-{self.count}", f"uid-{self.count}", not self.pods_broken, self.newest_versions)
        self.database = None if self.pods_broken else self.synced

    def stop_pods(self) -> None:
        self.pod, self.database = None, None

    def poll(self) -> None:
        """The driver looks for new versions."""
        if self.pod and not self.sync_paused:
            self.files, self.synced = self.newest, self.newest
            self.pod = replace(self.pod, versions=self.newest_versions)

    def login(self, pair: Pair | None) -> LoginState:
        if pair is None:
            return LoginState.UNTRIED
        if self.database is None:
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
    shown: list[Plan] = field(default_factory=list)
    check: Callable[[World], None] = lambda world: None

    def observe(self) -> Observation:
        world = self.world
        world.call()
        candidate = world.candidate if world.candidate and world.candidate[0].phase.is_live else None
        synced = {None: Synced.ABSENT, world.newest: Synced.NEWEST}.get(world.synced, Synced.OTHER)
        pods = (world.pod,) if world.pod else ()
        consumer = Consumer(
            TARGET.namespace,
            TARGET.workload,
            world.replicas,
            pods,
            world.stopped_replicas,
            world.mark,
            world.keeps_data,
        )
        return Observation(
            world.facts("username"),
            world.facts("password"),
            world.candidate[0] if world.candidate else None,
            Logins(
                world.login(world.newest), world.login(candidate[1] if candidate else None), world.login(world.base())
            ),
            (consumer,),
            synced,
        )

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
        facts = CandidateFacts(
            f"c{world.count}", plan.rotation_id, Phase.STAGED, now, versions["username"], versions["password"]
        )
        world.candidate = facts, (f"login{world.count}", f"secret{world.count}")

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
        if self.world.synced != self.world.newest:
            self.world.synced = None
        yield

    def _start(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        world.replicas, world.stopped_replicas, world.mark = world.stopped_replicas or 1, None, plan.mark
        yield
        if world.pod is None:
            world.run_pod()
        yield

    def _await_ready(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        if self.world.pod is None:
            self.world.run_pod()
        if self.world.pods_broken:
            raise WorkloadUnhealthy("not ready", name=subject)
        if self.world.pod and not self.world.pod.ready:
            self.world.run_pod()

    def _verify(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        yield
        works = world.login(world.newest) is LoginState.WORKS and world.files == world.newest
        if not works or world.synced != world.newest or world.login(world.base()) is not LoginState.REFUSED:
            raise Unverified("no proof", name=subject)
        yield
        self._set_phase(Phase.PROVEN)

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
        if newest.version == base_version or newest.restores:
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
