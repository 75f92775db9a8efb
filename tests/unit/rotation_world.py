"""A world in memory for the planner's tests: vault, cluster and database, with crashes between any two calls."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from infra.errors import Unverified
from infra.rotation.observation import CandidateFacts, LoginState, Pod, SecretFacts, Version
from infra.targets import WALKTHROUGH_CONSUMER, Consumer, RotationOptions, Strategy, Target, Through

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
    files: Pair = ("", "")
    is_rolling: bool = False
    is_checked: bool = True

    @property
    def uses(self) -> Pair:
        """What it logs in with."""
        return self.env if self.names.needs_restart else self.files


@dataclass
class Held:
    """A class that is held at versions."""

    rotation_id: str
    pair: Pair
    versions: dict[str, str]


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
    keeps_logins: bool = False
    pod: Pod | None = None
    files: Pair = ("", "")
    database: Pair | None = None
    second: Pair | None = None
    held: dict[str, Held] = field(default_factory=dict)
    secrets_in_cluster: dict[str, Pair | None] = field(default_factory=dict)
    client: Client | None = None
    database_down: bool = False
    count: int = 0
    sync_paused: bool = False
    pods_broken: bool = False
    vault_refuses: bool = False
    forged_logins: bool = False
    is_touched: bool = False
    on_call: Callable[["World"], None] = lambda world: None

    @classmethod
    def begin(cls, **options: object) -> "World":
        """A world in which everything is well."""
        world = cls(**options)  # type: ignore[arg-type]
        world.write("username", "dexter")
        world.write("password", "first")
        world.keeps_logins = world.strategy in (Strategy.ALTERNATING, Strategy.MANAGED)
        if not world.is_external:
            world.run_pod()
        world.database = world.newest
        for names in CLIENTS[world.clients]:
            world.client = Client(names)
            world.run_client()
        return world

    @property
    def target(self) -> Target:
        if self.is_external:
            return Target(strategy=self.strategy, through=Through.SERVER, consumers=CLIENTS[self.clients])
        return Target(strategy=self.strategy, consumers=(DATABASE, *CLIENTS[self.clients]))

    @property
    def is_external(self) -> bool:
        """Whether the database is a server of its own, no workload."""
        return self.strategy is Strategy.MANAGED

    @property
    def open_logins(self) -> set[Pair]:
        """What the database takes."""
        return {pair for pair in (self.database, self.second) if pair is not None}

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
        self.files, _ = self.mounted(DATABASE)
        env = self._mount(DATABASE)
        self.pod = self._pod(DATABASE)
        if not self.keeps_logins:
            self.database = None if self.pods_broken else env

    def run_client(self) -> None:
        """A client's pod is replaced."""
        assert self.client is not None
        self.count += 1
        names = self.client.names
        self.client.env, self.client.files = self._mount(names), self.mounted(names)[0]
        self.client.pod, self.client.is_rolling = self._pod(names), False

    def mounted(self, names: Consumer) -> tuple[Pair, dict[str, str]]:
        """What a mount of the consumer's class gets now: values and versions."""
        held = self.held.get(names.class_key)
        return (held.pair, held.versions) if held else (self.newest, self.newest_versions)

    def _mount(self, names: Consumer) -> Pair:
        held = self.secrets_in_cluster.get(names.secret_key)
        env = self.mounted(names)[0] if held is None or self.refreshes_at_mount else held
        self.secrets_in_cluster[names.secret_key] = env
        return env

    def _pod(self, names: Consumer) -> Pod:
        ready = not self.pods_broken
        return Pod(f"pod-{self.count}", f"uid-{self.count}", ready, self.mounted(names)[1], self.now)

    def stop_pods(self) -> None:
        self.pod = None
        if not self.keeps_logins:
            self.database = None

    def poll(self) -> None:
        """The driver looks for new versions."""
        if self.sync_paused:
            return
        if self.pod:
            self.files, versions = self.mounted(DATABASE)
            self.secrets_in_cluster[DATABASE.secret_key] = self.files
            self.pod = replace(self.pod, versions=versions)
        if self.client and self.client.pod:
            self.client.files, versions = self.mounted(self.client.names)
            self.secrets_in_cluster[self.client.names.secret_key] = self.client.files
            self.client.pod = replace(self.client.pod, versions=versions)

    def login(self, pair: Pair | None) -> LoginState:
        if pair is None:
            return LoginState.UNTRIED
        if not self.is_up:
            return LoginState.UNREACHABLE
        return LoginState.WORKS if pair in self.open_logins and not self.forged_logins else LoginState.REFUSED

    @property
    def is_up(self) -> bool:
        """Whether the database answers."""
        if self.database is None or self.database_down:
            return False
        return self.is_external or not self.keeps_logins or self.pod is not None

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
