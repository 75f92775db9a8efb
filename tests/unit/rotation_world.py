"""A world in memory for the planner's tests: vault, cluster and database, with crashes between any two calls."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.credentials import NO_GRACE, Consumer, Credential, CsiDelivery, Reload, SecretDelivery, Strategy
from infra.errors import Unverified
from infra.rotation.observation import CandidateFacts, LoginState, Pod, SecretFacts, Version
from testing.walkthrough import DATABASE, DEXTER, SERVER, change, consumer_like

_OWN_SECRET = CsiDelivery(secret_provider_class="db", synced_secret="db")
_FILES = CsiDelivery(secret_provider_class="db")
_KEPT = SecretDelivery(kind="secret", secret="db", kept_by="db")
_CLIENT = consumer_like(DATABASE, name="client", is_database=False)
CLIENTS: dict[str, tuple[Consumer, ...]] = {
    "none": (),
    "same Secret": (_CLIENT,),
    "own Secret": (consumer_like(_CLIENT, namespace="web", delivery=_OWN_SECRET),),
    "re-reads its files when told": (
        consumer_like(_CLIENT, namespace="web", delivery=_OWN_SECRET, reload=Reload(container="web", command=("x",))),
    ),
    "re-reads its files": (consumer_like(_CLIENT, namespace="web", delivery=_OWN_SECRET, needs_restart=False),),
    "files alone": (consumer_like(_CLIENT, namespace="web", delivery=_FILES, needs_restart=False),),
    "files alone, at its start": (consumer_like(_CLIENT, namespace="web", delivery=_FILES),),
    "a Secret that others keep": (consumer_like(_CLIENT, namespace="web", delivery=_KEPT),),
}
Pair = tuple[str, str]
"""A username and a password. Unlike a Login it shows both, which a failed test needs."""


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


@dataclass
class WrittenVersion:
    """A version with its value."""

    facts: Version
    value: str


@dataclass
class Client:
    """A client's Deployment with one pod."""

    consumer: Consumer
    replicas: int = 1
    mark: str = ""
    pod: Pod | None = None
    env: Pair = ("", "")
    files: Pair = ("", "")
    loaded: Pair = ("", "")
    is_rolling: bool = False
    is_checked: bool = True

    @property
    def login(self) -> Pair:
        """What it logs in with."""
        if self.consumer.reload:
            return self.loaded
        return self.env if self.consumer.needs_restart else self.files


@dataclass
class Pin:
    """What a source is pinned to."""

    rotation_id: str
    pair: Pair
    versions: dict[str, str]


@dataclass
class World:
    """Everything that outlives a run."""

    strategy: Strategy = Strategy.RECREATE
    clients: str = "none"
    grace: str = NO_GRACE
    refreshes_at_mount: bool = False
    seconds_per_call: float = 0.4
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    secrets: dict[str, list[WrittenVersion]] = field(default_factory=lambda: {"username": [], "password": []})
    candidate: tuple[CandidateFacts, Pair] | None = None
    replicas: int = 1
    stopped_replicas: int | None = None
    mark: str = ""
    keeps_data: bool = False
    keeps_logins: bool = False
    pod: Pod | None = None
    files: Pair = ("", "")
    database: Pair | None = None
    alternate: Pair | None = None
    pins: dict[str, Pin] = field(default_factory=dict)
    secrets_in_cluster: dict[str, Pair | None] = field(default_factory=dict)
    client: Client | None = None
    database_down: bool = False
    count: int = 0
    sync_paused: bool = False
    pods_broken: bool = False
    vault_refuses: bool = False
    logins_refused: bool = False
    is_edited_by_hand: bool = False
    on_call: Callable[["World"], None] = lambda world: None

    @classmethod
    def healthy(cls, **options: Any) -> "World":
        """A world in which everything is well."""
        world = cls(**options)
        world.write("username", "dexter")
        world.write("password", "first")
        world.keeps_logins = world.strategy in (Strategy.ALTERNATING, Strategy.MANAGED)
        if not world.is_external:
            world.run_pod()
        world.database = world.newest
        for consumer in CLIENTS[world.clients]:
            world.client = Client(consumer)
            world.run_client()
        return world

    @property
    def credential(self) -> Credential:
        """The credential whose world this is."""
        clients = CLIENTS[self.clients]
        if self.is_external:
            return change(SERVER, strategy=self.strategy, secrets=DEXTER.secrets, consumers=clients)
        grace = self.grace if self.strategy is Strategy.ALTERNATING else NO_GRACE
        return change(DEXTER, strategy=self.strategy, consumers=(DATABASE, *clients), grace=grace)

    @property
    def is_external(self) -> bool:
        """Whether the database is a server of its own and no workload of the cluster."""
        return self.strategy is Strategy.MANAGED

    @property
    def open_logins(self) -> set[Pair]:
        """What the database accepts."""
        return {pair for pair in (self.database, self.alternate) if pair is not None}

    @property
    def synced(self) -> Pair | None:
        """What the database's Secret holds."""
        return self.secrets_in_cluster.get(DATABASE.secret_key)

    @property
    def staged(self) -> tuple[CandidateFacts, Pair]:
        """The candidate, where there must be one."""
        assert self.candidate is not None
        return self.candidate

    @property
    def live_candidate(self) -> tuple[CandidateFacts, Pair] | None:
        """The candidate of an unfinished rotation."""
        return self.candidate if self.candidate and self.candidate[0].phase.is_live else None

    def age_grace(self) -> None:
        """Let the clock say whether the grace of the previous login is over."""
        if self.candidate and (grace := self.candidate[0].grace):
            is_over = grace.until is not None and grace.until <= self.now
            self.candidate = replace(self.candidate[0], grace=replace(grace, is_over=is_over)), self.candidate[1]

    def call(self) -> None:
        """One request goes out: time passes, and the process may die here."""
        self.now += timedelta(seconds=self.seconds_per_call)
        self.on_call(self)

    def write(self, name: str, value: str, rotation_id: str = "", restores: str = "") -> None:
        """Write a version; Key Vault counts whole seconds."""
        self.count += 1
        version = Version(f"v{self.count}", True, self.now.replace(microsecond=0), rotation_id, restores)
        self.secrets[name].append(WrittenVersion(version, value))

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

    def read(self, name: str, version: str) -> str:
        written = next(written for written in self.secrets[name] if written.facts.version == version)
        if not written.facts.enabled:
            raise Unverified("disabled", name=name)
        return written.value

    @property
    def readable_pairs(self) -> set[Pair]:
        """Every login that somebody with access to the vault can find."""
        usernames, passwords = (
            [written.value for written in versions if written.facts.enabled] for versions in self.secrets.values()
        )
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
        consumer = self.client.consumer
        self.client.env, self.client.files = self._mount(consumer), self.mounted(consumer)[0]
        self.client.loaded = self.client.files
        self.client.pod, self.client.is_rolling = self._pod(consumer), False

    def mounted(self, consumer: Consumer) -> tuple[Pair, dict[str, str]]:
        """What a mount of the consumer's source gets now: values and versions."""
        pin = self.pins.get(consumer.source_key)
        return (pin.pair, pin.versions) if pin else (self.newest, self.newest_versions)

    def has_mount(self, consumer: Consumer) -> bool:
        """Whether its pods mount a class of their own."""
        return all(isinstance(delivery, CsiDelivery) for delivery in consumer.every_delivery)

    def _mount(self, consumer: Consumer) -> Pair:
        if not consumer.secret_key:
            return self.mounted(consumer)[0]
        held = self.secrets_in_cluster.get(consumer.secret_key)
        refreshes = self.refreshes_at_mount and self.has_mount(consumer)
        env = self.mounted(consumer)[0] if held is None or refreshes else held
        self.secrets_in_cluster[consumer.secret_key] = env
        return env

    def _pod(self, consumer: Consumer) -> Pod:
        ready = not self.pods_broken
        versions = self.mounted(consumer)[1] if self.has_mount(consumer) else {}
        return Pod(f"pod-{self.count}", f"uid-{self.count}", ready, versions, self.now)

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
            consumer = self.client.consumer
            self.client.files, versions = self.mounted(consumer)
            if consumer.secret_key:
                self.secrets_in_cluster[consumer.secret_key] = self.client.files
            self.client.pod = replace(self.client.pod, versions=versions if self.has_mount(consumer) else {})

    def log_in(self, pair: Pair | None) -> LoginState:
        if pair is None:
            return LoginState.NOT_TRIED
        if not self.is_up:
            return LoginState.UNREACHABLE
        return LoginState.WORKS if pair in self.open_logins and not self.logins_refused else LoginState.REFUSED

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
        """The login that was current when the unfinished rotation was staged, if it can still be read."""
        if self.live_candidate is None:
            return None
        base = self.live_candidate[0].base
        try:
            return self.read("username", base["username"]), self.read("password", base["password"])
        except Unverified:
            return None
