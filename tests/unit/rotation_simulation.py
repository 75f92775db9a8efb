"""One run of a rotation in the simulated world: performs the steps call by call, as the tasks do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from rotation_world import DATABASE, OPTIONS, USES, Held, Pair, World

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
    Synced,
)
from infra.rotation.plan import Plan
from infra.rotation.steps import Step, Username
from infra.rotation.strategies import STRATEGIES
from infra.rotation.verdict import Failure
from infra.targets import Consumer, RotationOptions, Strategy, Sync


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
            other_logins=1 if world.strategy is Strategy.ALTERNATING else None,
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
                world.keeps_data,
                held_for=self._held_for(DATABASE),
            )
        if client:
            pods = (client.pod,) if client.pod else ()
            synced, settled = self._synced(client.names), not client.is_rolling
            yield ConsumerFacts(
                client.names,
                USES,
                synced,
                client.replicas,
                pods,
                restarted_for=client.mark,
                start_checked=client.is_checked,
                settled=settled,
                held_for=self._held_for(client.names),
            )

    def _held_for(self, names: Consumer) -> str:
        held = self.world.held.get(names.class_key)
        return held.rotation_id if held else ""

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
        stays = STRATEGIES[world.strategy].username is Username.STAYS
        username = world.newest[0] if stays else f"login{world.count}"
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

    _set_administrator, _restore_administrator = _set_login, _restore_login

    def _rehearse_opening(self, plan: Plan, subject: str) -> Iterator[None]:
        yield from self._prove_current(plan, subject)

    def _open_login(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        assert world.candidate is not None
        yield
        self._need(world.base(), world.candidate[1], subject)
        world.second = world.candidate[1]
        yield

    def _close_login(self, plan: Plan, subject: str) -> Iterator[None]:
        world = self.world
        assert world.candidate is not None
        yield
        self._need(world.candidate[1], None, subject)
        world.database, world.second = world.candidate[1], None
        yield

    def _reopen_login(self, plan: Plan, subject: str) -> Iterator[None]:
        world, base = self.world, self.world.base()
        assert world.candidate is not None
        yield
        if world.login(base) is LoginState.WORKS:
            return
        self._need(world.candidate[1], None, subject)
        world.database, world.second = base, world.candidate[1]
        yield

    def _close_candidate(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        self._need(self.world.base(), None, subject)
        self.world.database, self.world.second = self.world.base(), None
        yield

    def _need(self, pair: Pair | None, other: Pair | None, subject: str) -> None:
        """A session that changes roles."""
        states = [self.world.login(one) for one in (pair, other)]
        if LoginState.UNREACHABLE in states:
            raise DatabaseUnreachable("no answer", name=subject)
        if LoginState.WORKS not in states:
            raise LoginRefused("refused", name=subject)

    def _hold(self, plan: Plan, subject: str) -> Iterator[None]:
        world, base = self.world, self.world.base()
        assert world.candidate is not None
        yield
        if base is None:
            raise Unverified("the old version is disabled", name=subject)
        facts = world.candidate[0]
        versions = {"username": facts.base_username, "password": facts.base_password}
        world.held[subject] = Held(plan.rotation_id, base, versions)
        yield

    def _release(self, plan: Plan, subject: str) -> Iterator[None]:
        yield
        self.world.held.pop(subject, None)
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
            client.mark, client.is_rolling, client.is_checked = plan.mark, True, False
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
            yield
            assert self.world.client is not None
            self.world.client.is_checked = True
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
        if not world.is_external and (waits or strategy.restarts(DATABASE)):
            self._verify_consumer(DATABASE, world.pod)
        if client:
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
        for version in self.world.facts(subject).older_enabled[self.options.keep_versions :]:
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
