"""Facts about one credential as they were observed: the planner's only input. No values, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from infra.credentials import Consumer, Strategy, WorkloadRef
from infra.errors import KeyturnError

ROTATION_ID = "rotation_id"
"""Tag on every version that a rotation writes."""
RESTORES = "restores"
"""Tag on a version that a rollback writes: the version whose value it has."""
OWN_TAGS = (ROTATION_ID, RESTORES)
"""The tags that a rotation writes on a credential's secrets; all others are their owner's."""
PHASE = "phase"
"""Tag on the candidate: how far its rotation is."""
STRATEGY = "strategy"
"""Tag on the candidate: the strategy that its rotation began with and ends with."""
BASE_VERSIONS = "base_versions"
"""Tag on the candidate: the versions that were current when it was staged, in the credential's order, comma-separated.
Those that do not fit are in `base_versions_2` and so on."""

GRACE_UNTIL = "grace_until"
"""Tag on the candidate: until when the previous login works on, as an ISO time; or `next-rotation`."""


class Phase(StrEnum):
    """How far the candidate's rotation is. The last two are final."""

    STAGED = "staged"
    GRACE = "grace"
    PROVEN = "proven"
    ROLLING_BACK = "rolling-back"
    DONE = "done"
    ROLLED_BACK = "rolled-back"

    @property
    def is_live(self) -> bool:
        """Whether the rotation still has steps left."""
        return self not in (Phase.DONE, Phase.ROLLED_BACK)


class LoginState(StrEnum):
    """The result of a fresh login."""

    WORKS = "works"
    REFUSED = "refused"
    STARTING = "database starting"
    UNREACHABLE = "database unreachable"
    NOT_TRIED = "not tried"


class Synced(StrEnum):
    """What the synced Secret holds, compared in memory with the vault's values."""

    NONE = "no Secret"
    ABSENT = "absent"
    NEWEST = "the newest versions"
    OTHER = "something else"


@dataclass(frozen=True)
class Version:
    """One version of a vault's secret, without its value.

    Args:
        restores: the version whose value it has, if a rollback wrote it.
        owner_tags: how many tags it has that no rotation wrote.
    """

    version: str
    enabled: bool
    created_at: datetime
    rotation_id: str = ""
    restores: str = ""
    owner_tags: int = 0

    @classmethod
    def of(cls, version: str, enabled: bool, created_at: datetime, tags: Mapping[str, str]) -> "Version":
        """Make a version from what the vault says, with the tags that a rotation writes."""
        owner_tags = len(set(tags) - set(OWN_TAGS))
        return cls(version, enabled, created_at, tags.get(ROTATION_ID, ""), tags.get(RESTORES, ""), owner_tags)


@dataclass(frozen=True)
class SecretFacts:
    """One of the credential's secrets.

    Args:
        name: its name in the vault.
        newest: the version that a read without a version gets.
        older: all others, newest first.
    """

    name: str
    newest: Version
    older: tuple[Version, ...] = ()

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions, newest first."""
        return (self.newest, *self.older)

    @property
    def value_created_at(self) -> datetime:
        """When the newest value was first written: a rollback writes an old value as a new version."""
        by_id, version = {version.version: version for version in self.older}, self.newest
        while version.restores in by_id:
            version = by_id.pop(version.restores)
        return version.created_at

    @property
    def older_enabled(self) -> tuple[Version, ...]:
        """The older versions that can still be read."""
        return tuple(version for version in self.older if version.enabled)


@dataclass(frozen=True)
class Grace:
    """How long the previous login works on.

    Args:
        until: the end; None: until the next rotation.
        is_over: whether the end has passed.
    """

    until: datetime | None
    is_over: bool

    def __str__(self) -> str:
        return f"until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else "until the next rotation"


@dataclass(frozen=True)
class CandidateFacts:
    """The candidate's newest version.

    Args:
        version: its id in the vault.
        rotation_id: whose it is.
        phase: how far that rotation is.
        created_at: when it was staged.
        base: secret -> version that was current when it was staged.
        strategy: the strategy that its rotation began with.
        grace: how long the previous login works on, once everybody else has the new one; None before, and without.
    """

    version: str
    rotation_id: str
    phase: Phase
    created_at: datetime
    base: Mapping[str, str]
    strategy: Strategy
    grace: Grace | None = None


@dataclass(frozen=True)
class Logins:
    """Fresh logins with what the vault holds.

    Args:
        current: with the newest versions.
        candidate: with the staged candidate.
        previous: with the candidate's base versions; without a candidate, with the enabled versions before the newest.
        error: why the current login did not work.
        oddity: what may be wrong with the values of a current login that is refused; names alone.
    """

    current: LoginState = LoginState.NOT_TRIED
    candidate: LoginState = LoginState.NOT_TRIED
    previous: LoginState = LoginState.NOT_TRIED
    error: KeyturnError | None = field(default=None, compare=False)
    oddity: str = ""


@dataclass(frozen=True)
class Pod:
    """A consumer's pod.

    Args:
        versions: secret -> version in its mount, as the delivery reports; empty: no report yet.
        started_at: when the node accepted it; None before that, or if it was not looked up.
    """

    name: str
    uid: str
    ready: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime | None = None


@dataclass(frozen=True)
class ConsumerFacts:
    """A workload that receives the credential.

    Args:
        consumer: what the credential says of it.
        uses: the vault's secrets that its delivery brings.
        synced: what its synced Secret holds.
        replicas: how many pods it is scaled to.
        pods: its pods.
        stopped_replicas: how many it had when a rotation stopped it; None if none did.
        restarted_for: the mark of the last restart by a rotation.
        start_checked: whether its Secret was seen to hold only the right values since that restart.
        keeps_data: whether a volume keeps the database's files over a restart.
        settled: whether its controller has acted on the last change.
        pinned_for: the rotation that pinned its delivery to the versions before; empty: none.
        pinned: secret -> version that its delivery is pinned to now: somebody else may have taken pins away.
        unmounted: those of the secrets that it uses which a Secret alone brings: pods report no versions of them.
    """

    consumer: Consumer
    uses: frozenset[str]
    synced: Synced
    replicas: int
    pods: tuple[Pod, ...] = ()
    stopped_replicas: int | None = None
    restarted_for: str = ""
    start_checked: bool = True
    keeps_data: bool = False
    settled: bool = True
    pinned_for: str = ""
    pinned: Mapping[str, str] = field(default_factory=dict)
    unmounted: frozenset[str] = frozenset()

    @property
    def workload(self) -> WorkloadRef:
        """The workload, with its cluster where that is not the credential's own."""
        return self.consumer.placed

    @property
    def restarted_in(self) -> str:
        """The rotation that restarted it last, forward or back; empty: none did."""
        return self.restarted_for.partition(".")[0]

    @property
    def is_stopped(self) -> bool:
        """Whether it is scaled to 0 and has no pods."""
        return self.replicas == 0 and not self.pods

    @property
    def is_ready(self) -> bool:
        """Whether all the pods it is scaled to are ready, and no others are left."""
        whole = self.replicas > 0 and len(self.pods) == self.replicas
        return whole and self.settled and all(pod.ready for pod in self.pods)


@dataclass(frozen=True)
class Observation:
    """Everything that the planner may know.

    Args:
        secrets: the credential's secrets in the order in which they are published: the password is in the last.
        candidate: the newest candidate, live or ended.
        logins: the results of fresh logins.
        consumers: the consumers that the credential lists.
        alternates: how many logins take turns with the current one; None if it has no owner role, or if the strategy
            does not need to know.
        username: the current login's username, for people; empty if it could not be read.
    """

    secrets: tuple[SecretFacts, ...]
    candidate: CandidateFacts | None
    logins: Logins
    consumers: tuple[ConsumerFacts, ...]
    alternates: int | None = None
    username: str = field(default="", compare=False)

    @property
    def newest_versions(self) -> dict[str, str]:
        """Secret -> newest version: what the consumers' mounts must report."""
        return {secret.name: secret.newest.version for secret in self.secrets}

    @property
    def without_candidate(self) -> "Observation":
        """The same as it will be once the candidate's rotation has ended."""
        logins = replace(self.logins, candidate=LoginState.NOT_TRIED, previous=LoginState.NOT_TRIED)
        return replace(self, candidate=None, logins=logins)

    def secret(self, name: str) -> SecretFacts:
        """The secret called `name`."""
        return next(secret for secret in self.secrets if secret.name == name)
