"""Facts about one credential, as they were seen: the planner's only input. No values, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from infra.targets import Consumer, Strategy

ROTATION_ID = "rotation_id"
"""Tag on every version that a rotation writes."""
RESTORES = "restores"
"""Tag on a version that a rollback writes: the version whose value it has."""
PHASE = "phase"
"""Tag on the candidate: how far its rotation is."""
STRATEGY = "strategy"
"""Tag on the candidate: the strategy that its rotation began with, and ends with."""
BASE_USERNAME = "base_username"
"""Tag on the candidate: the username's version that was in force when it was staged."""
BASE_PASSWORD = "base_password"  # noqa: S105
"""Tag on the candidate: the password's version that was in force when it was staged."""


class Phase(StrEnum):
    """How far the candidate's rotation is. Only the last two are ends."""

    STAGED = "staged"
    PROVEN = "proven"
    ROLLING_BACK = "rolling-back"
    DONE = "done"
    ROLLED_BACK = "rolled-back"

    @property
    def is_live(self) -> bool:
        """Whether the rotation still has steps left."""
        return self not in (Phase.DONE, Phase.ROLLED_BACK)


class LoginState(StrEnum):
    """What a fresh login came to."""

    WORKS = "works"
    REFUSED = "refused"
    STARTING = "database starting"
    UNREACHABLE = "database unreachable"
    UNTRIED = "not tried"


class Synced(StrEnum):
    """What the synced Secret holds, compared in memory with the vault's values."""

    ABSENT = "absent"
    NEWEST = "the newest versions"
    OTHER = "something else"


@dataclass(frozen=True)
class Version:
    """One version of a vault's secret, without its value."""

    version: str
    enabled: bool
    created_at: datetime
    rotation_id: str = ""
    restores: str = ""

    @classmethod
    def of(cls, version: str, enabled: bool, created_at: datetime, tags: Mapping[str, str]) -> "Version":
        """Make one of what the vault says, reading the tags that a rotation writes."""
        return cls(version, enabled, created_at, tags.get(ROTATION_ID, ""), tags.get(RESTORES, ""))


@dataclass(frozen=True)
class SecretFacts:
    """One of the credential's two secrets.

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
    def older_enabled(self) -> tuple[Version, ...]:
        """What there is to retire."""
        return tuple(version for version in self.older if version.enabled)


@dataclass(frozen=True)
class CandidateFacts:
    """The candidate's newest version: whose it is, how far it got, what was in force before, and how it is changed."""

    version: str
    rotation_id: str
    phase: Phase
    created_at: datetime
    base_username: str
    base_password: str
    strategy: Strategy = Strategy.RECREATE


@dataclass(frozen=True)
class Logins:
    """Fresh logins with what the vault holds.

    Args:
        current: with the newest versions.
        candidate: with the staged candidate.
        previous: with the versions that were in force before: the candidate's base, else the enabled ones before
            the newest.
        detail: what was said where the current one did not work.
    """

    current: LoginState = LoginState.UNTRIED
    candidate: LoginState = LoginState.UNTRIED
    previous: LoginState = LoginState.UNTRIED
    detail: str = ""


@dataclass(frozen=True)
class Pod:
    """A consumer's pod.

    Args:
        versions: object name -> version that its mount has, as the CSI driver reports; empty: no report yet.
        started_at: when the node took it on; None before that, or when nobody looked.
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
        names: what the target says of it.
        uses: the names of the vault's secrets that its class brings it.
        synced: what its synced Secret holds.
        replicas: how many it is asked to have now.
        stopped_replicas: how many it had when a rotation stopped it; None when none did.
        restarted_for: the mark of the restart that a rotation made last.
        start_checked: whether its Secret was seen to hold nothing but the right values since that restart.
        keeps_data: whether a volume keeps the database's files over a restart.
        settled: whether the Deployment's controller has done all that it was asked for.
        held_for: the rotation that holds its class at the versions before, or nothing.
    """

    names: Consumer
    uses: frozenset[str]
    synced: Synced
    replicas: int
    pods: tuple[Pod, ...] = ()
    stopped_replicas: int | None = None
    restarted_for: str = ""
    start_checked: bool = True
    keeps_data: bool = False
    settled: bool = True
    held_for: str = ""

    @property
    def key(self) -> str:
        """How people call it: namespace/workload."""
        return self.names.key

    @property
    def is_stopped(self) -> bool:
        """Whether it has no pods and is asked for none."""
        return self.replicas == 0 and not self.pods

    @property
    def is_ready(self) -> bool:
        """Whether all the pods it is asked for are ready, and no others are left."""
        whole = self.replicas > 0 and len(self.pods) == self.replicas
        return whole and self.settled and all(pod.ready for pod in self.pods)


@dataclass(frozen=True)
class Observation:
    """Everything that the planner may know.

    Args:
        username: its secret.
        password: its secret.
        candidate: the newest one, live or ended.
        logins: what fresh logins came to.
        consumers: as the target names them.
        driver: which generation of the CSI driver there is.
        other_logins: how many logins take turns with the present one; None where it is no such login, or where
            nobody looked.
    """

    username: SecretFacts
    password: SecretFacts
    candidate: CandidateFacts | None
    logins: Logins
    consumers: tuple[ConsumerFacts, ...]
    driver: str = ""
    other_logins: int | None = None

    @property
    def secrets(self) -> tuple[SecretFacts, SecretFacts]:
        """Username and password."""
        return self.username, self.password

    @property
    def newest_versions(self) -> dict[str, str]:
        """Secret name -> newest version: what the consumers' mounts must report."""
        return {secret.name: secret.newest.version for secret in self.secrets}

    def consumer(self, key: str) -> ConsumerFacts:
        """The consumer called namespace/workload."""
        return next(consumer for consumer in self.consumers if consumer.key == key)
