"""One run of a rotation in the simulated world: executes the steps call by call, as the tasks do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rotation_facts import OPTIONS, USES
from rotation_world import Pair, Pin, World

from infra.credentials import Consumer, Login, Strategy
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
    Grace,
    Logins,
    LoginState,
    Observation,
    Phase,
    Pod,
    Synced,
)
from infra.rotation.options import RotationOptions, Sync
from infra.rotation.plan import Plan
from infra.rotation.preflight import Finding
from infra.rotation.state import Subject
from infra.rotation.steps import Step, UsernamePolicy
from infra.rotation.strategies import STRATEGIES
from testing.walkthrough import DATABASE


@dataclass
class Simulation:
    """The executor of one run in the world."""

    world: World
    options: RotationOptions = OPTIONS
    shown: list[Plan] = field(default_factory=list)
    check: Callable[[World], None] = lambda world: None

    def observe(self) -> Observation:
        world = self.world
        world.call()
        world.age_grace()
        live = world.live_candidate
        return Observation(
            secrets=(world.facts("username"), world.facts("password")),
            candidate=world.candidate[0] if world.candidate else None,
            logins=Logins(
                world.log_in(world.newest), world.log_in(live[1] if live else None), world.log_in(world.base())
            ),
            consumers=tuple(self._consumers()),
            alternates=1 if world.strategy is Strategy.ALTERNATING else None,
        )

    def _consumers(self) -> Iterator[ConsumerFacts]:
        world, client = self.world, self.world.client
        pods = (world.pod,) if world.pod else ()
        if not world.is_external:
            yield ConsumerFacts(
                DATABASE,
                USES,
                self._synced(DATABASE),
                world.replicas,
                pods,
                world.stopped_replicas,
                world.mark,
                keeps_data=world.keeps_data,
                pinned_for=self._pinned_for(DATABASE),
                pinned=self._pinned(DATABASE),
            )
        if client:
            pods = (client.pod,) if client.pod else ()
            yield ConsumerFacts(
                client.consumer,
                USES,
                self._synced(client.consumer),
                client.replicas,
                pods,
                restarted_for=client.mark,
                start_checked=client.is_checked,
                settled=not client.is_rolling,
                pinned_for=self._pinned_for(client.consumer),
                pinned=self._pinned(client.consumer),
                unmounted=frozenset() if world.has_mount(client.consumer) else USES,
            )

    def _pinned_for(self, consumer: Consumer) -> str:
        pin = self.world.pins.get(consumer.source_key)
        return pin.rotation_id if pin else ""

    def _pinned(self, consumer: Consumer) -> dict[str, str]:
        pin = self.world.pins.get(consumer.source_key)
        return pin.versions if pin else {}

    def _synced(self, consumer: Consumer) -> Synced:
        if not consumer.secret_key:
            return Synced.NONE
        held = self.world.secrets_in_cluster.get(consumer.secret_key)
        return {None: Synced.ABSENT, self.world.newest: Synced.NEWEST}.get(held, Synced.OTHER)

    def preflight(self, plan: Plan) -> Sequence[Finding]:
        """Nothing is in the way in this world."""
        return ()

    def show(self, plan: Plan) -> None:
        self.shown.append(plan)

    def execute(self, plan: Plan, step: Step) -> None:
        for _ in getattr(self, f"_{step.action.name.lower()}")(plan, step.subject):
            self.world.call()
            self.check(self.world)
        self.check(self.world)

    def begin_rollback(self, plan: Plan, step: Step) -> None:
        self.world.call()
        self._set_phase(Phase.ROLLING_BACK)

    def _set_phase(self, phase: Phase) -> None:
        facts, pair = self.world.staged
        self.world.candidate = replace(facts, phase=phase), pair

    def _stage(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world = self.world
        yield
        if world.live_candidate:
            return
        world.count += 1
        facts = CandidateFacts(
            version=f"c{world.count}",
            rotation_id=plan.rotation_id,
            phase=Phase.STAGED,
            created_at=world.now.replace(microsecond=0),
            base=world.newest_versions,
            strategy=world.strategy,
        )
        keeps = STRATEGIES[world.strategy].username is UsernamePolicy.KEEP
        username = world.newest[0] if keeps else f"login{world.count}"
        world.candidate = facts, (username, f"secret{world.count}")

    def _set_password(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield from self._alter(self.world.base(), self.world.staged[1])

    def _restore_password(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield from self._alter(self.world.staged[1], self.world.base())

    def _alter(self, current: Pair | None, wanted: Pair | None) -> Iterator[None]:
        """ALTER ROLE, logged in with what the database accepts."""
        yield
        if wanted is None:
            raise Unverified("the previous version is disabled", name="db")
        state = self.world.log_in(current)
        if self.world.log_in(wanted) is LoginState.WORKS:
            return
        if state is LoginState.UNREACHABLE:
            raise DatabaseUnreachable("no answer", name="db")
        if state is not LoginState.WORKS:
            raise LoginRefused("neither works", name="db")
        self.world.database = wanted
        yield
        self._require_login("db", wanted)

    _set_administrator, _restore_administrator = _set_password, _restore_password

    def _enable_alternate(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world = self.world
        candidate = world.staged[1]
        yield
        self._require_login(subject, world.base(), candidate)
        world.alternate = candidate
        yield
        self._require_login(subject, candidate)

    def _disable_previous(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world = self.world
        candidate = world.staged[1]
        yield
        self._require_login(subject, candidate)
        world.database, world.alternate = candidate, None
        yield

    def _reenable_previous(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world, base = self.world, self.world.base()
        candidate = world.staged[1]
        yield
        if world.log_in(base) is LoginState.WORKS:
            return
        self._require_login(subject, candidate)
        world.database, world.alternate = base, candidate
        yield

    def _disable_candidate(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        self._require_login(subject, self.world.base())
        self.world.database, self.world.alternate = self.world.base(), None
        yield

    def _require_login(self, subject: Subject, *pairs: Pair | None) -> None:
        """Need a session that can change roles: one of these pairs must log in."""
        states = [self.world.log_in(pair) for pair in pairs]
        if LoginState.UNREACHABLE in states:
            raise DatabaseUnreachable("no answer", name=str(subject))
        if LoginState.WORKS not in states:
            raise LoginRefused("refused", name=str(subject))

    def _pin(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world, base = self.world, self.world.base()
        versions = dict(world.staged[0].base)
        yield
        if base is None:
            raise Unverified("the previous version is disabled", name=str(subject))
        world.pins[str(subject)] = Pin(plan.rotation_id, base, versions)
        yield

    def _unpin(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        self.world.pins.pop(str(subject), None)
        yield

    def _publish(self, plan: Plan, subject: Subject) -> Iterator[None]:
        secret = str(subject)
        facts, pair = self.world.staged
        newest = self.world.facts(secret).newest
        yield
        if newest.rotation_id == plan.rotation_id:
            return
        if newest.version != facts.base[secret]:
            raise Conflict("newer", name=secret)
        self._write(secret, pair, plan.rotation_id)
        yield

    def _write(self, secret: str, pair: Pair, rotation_id: str, restores: str = "") -> None:
        if self.world.vault_refuses:
            raise KeyturnError("the vault refuses", name=secret)
        values = self.world.credential.secrets.render(Login(*pair))
        self.world.write(secret, values[secret], rotation_id, restores)

    def _await_sync(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        if self.world.sync_paused:
            raise SyncPending("still the previous versions", name=str(subject))
        self.world.poll()
        yield

    def _stop(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world = self.world
        if world.replicas:
            world.stopped_replicas, world.replicas = world.replicas, 0
        yield
        world.stop_pods()
        yield

    def _refresh_secret(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        if self.world.secrets_in_cluster.get(str(subject)) is not None:
            self.world.secrets_in_cluster[str(subject)] = self.world.newest
        yield

    def _start(self, plan: Plan, subject: Subject) -> Iterator[None]:
        world = self.world
        world.replicas, world.stopped_replicas, world.mark = world.stopped_replicas or 1, None, plan.mark
        yield
        if world.pod is None:
            world.run_pod()
        yield

    def _restart(self, plan: Plan, subject: Subject) -> Iterator[None]:
        client = self.world.client
        assert client is not None
        yield
        if client.mark != plan.mark:
            client.mark, client.is_rolling, client.is_checked = plan.mark, True, False
        yield
        self._roll()

    def _reload(self, plan: Plan, subject: Subject) -> Iterator[None]:
        client = self.world.client
        assert client is not None
        yield
        if self.world.pods_broken:
            raise WorkloadUnhealthy("the command failed", name=str(subject))
        client.loaded = client.files
        yield
        client.mark = plan.mark
        yield

    def _roll(self) -> None:
        client = self.world.client
        if client and client.replicas and (client.is_rolling or client.pod is None or not client.pod.ready):
            self.world.run_client()

    def _await_ready(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        if subject != DATABASE.workload:
            self._roll()
            if self.world.pods_broken:
                raise WorkloadUnhealthy("not ready", name=str(subject))
            yield
            assert self.world.client is not None
            self.world.client.is_checked = True
            return
        if self.world.pod is None:
            self.world.run_pod()
        if self.world.pods_broken:
            raise WorkloadUnhealthy("not ready", name=str(subject))
        if self.world.pod and not self.world.pod.ready:
            self.world.run_pod()

    def _begin_grace(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        self._verify_new_login(subject)
        yield
        facts, pair = self.world.staged
        period = self.world.credential.grace_period
        grace = Grace(self.world.now + period if period is not None else None, is_over=False)
        self.world.candidate = replace(facts, phase=Phase.GRACE, grace=grace), pair

    def _verify(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        self._verify_new_login(subject)
        if self.world.log_in(self.world.base()) is not LoginState.REFUSED:
            raise Unverified("no proof", name=str(subject))
        yield
        self._set_phase(Phase.PROVEN)

    def _verify_new_login(self, subject: Subject) -> None:
        world = self.world
        strategy, client = STRATEGIES[world.staged[0].strategy], world.client
        waits = self.options.sync is Sync.WAIT
        if not world.is_external and (waits or strategy.restarts(DATABASE)):
            self._verify_consumer(DATABASE, world.pod)
        if client:
            self._verify_consumer(client.consumer, client.pod)
        if world.log_in(world.newest) is not LoginState.WORKS:
            raise Unverified("no proof", name=str(subject))

    def _verify_consumer(self, consumer: Consumer, pod: Pod | None) -> None:
        if pod is None and not consumer.is_database:
            return
        if pod is None or (self.world.has_mount(consumer) and pod.versions != self.world.newest_versions):
            raise SyncPending("not mounted", name=consumer.key)
        if consumer.secret_key and self.world.secrets_in_cluster.get(consumer.secret_key) != self.world.newest:
            raise SyncPending("stale", name=consumer.key)

    def _retire(self, plan: Plan, subject: Subject) -> Iterator[None]:
        secret = str(subject)
        for version in self.world.facts(secret).older_enabled[self.options.keep_versions :]:
            self.world.disable(secret, version.version)
            yield

    def _finish(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield from self._delete_candidate(Phase.DONE)

    def _delete_candidate(self, phase: Phase) -> Iterator[None]:
        self._set_phase(phase)
        yield
        self.world.candidate = None
        yield

    def _restore(self, plan: Plan, subject: Subject) -> Iterator[None]:
        secret, world, base = str(subject), self.world, self.world.base()
        base_version = world.staged[0].base[secret]
        yield
        newest = world.facts(secret).newest
        if newest.version == base_version or (newest.rotation_id == plan.rotation_id and newest.restores):
            return
        if base is None:
            raise Unverified("the previous version is disabled", name=secret)
        self._write(secret, base, plan.rotation_id, base_version)
        yield

    def _verify_restored(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield
        if self.world.log_in(self.world.newest) is not LoginState.WORKS:
            raise Unverified("the previous login does not work", name=str(subject))

    def _finish_rollback(self, plan: Plan, subject: Subject) -> Iterator[None]:
        yield from self._delete_candidate(Phase.ROLLED_BACK)
