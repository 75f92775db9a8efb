"""What an observation means for one rotation: the questions that the strategies' rules ask. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from infra.credentials import NO_GRACE, Credential, WorkloadRef
from infra.rotation.observation import (
    CandidateFacts,
    ConsumerFacts,
    LoginState,
    Observation,
    Phase,
    SecretFacts,
    Synced,
    Version,
)
from infra.rotation.options import RotationOptions, Sync

CLOCK_SKEW = timedelta(minutes=5)
"""The most that two clocks may differ; Kerberos and Entra ID assume the same."""


Subject = str | WorkloadRef
"""What a step acts on: a workload, or the name of a secret, a delivery's source, a synced Secret or the credential."""


@dataclass(frozen=True)
class RotationState:
    """One rotation of one credential, as observed."""

    credential: Credential
    options: RotationOptions
    observation: Observation
    rotation_id: str

    @property
    def candidate(self) -> CandidateFacts | None:
        """The candidate of this rotation, while it has steps left."""
        candidate = self.observation.candidate
        if candidate and candidate.rotation_id == self.rotation_id and candidate.phase.is_live:
            return candidate
        return None

    @property
    def phase(self) -> Phase | None:
        """How far this rotation is; None before it is staged and after it ended."""
        return self.candidate.phase if self.candidate else None

    @property
    def gives_grace(self) -> bool:
        """Whether the previous login works on for a while after this rotation."""
        return self.credential.grace != NO_GRACE and not self.options.no_grace

    @property
    def is_express(self) -> bool:
        """Whether a fresh mount fetches the new versions instead of the driver's poll."""
        return self.options.sync is Sync.EXPRESS

    def secret(self, name: str) -> SecretFacts:
        """The secret called `name`."""
        return self.observation.secret(name)

    def consumer(self, workload: Subject) -> ConsumerFacts:
        """The consumer whose workload this is."""
        return next(consumer for consumer in self.observation.consumers if consumer.workload == workload)

    def base(self, name: str) -> str:
        """The version of secret `name` that was current when this rotation was staged."""
        return self.secret(name).newest.version if self.candidate is None else self.candidate.base[name]

    def is_published(self, name: str) -> bool:
        """Whether the newest version of secret `name` is this rotation's new value."""
        return self.secret(name).newest.rotation_id == self.rotation_id

    def is_restored(self, name: str) -> bool:
        """Whether the newest version of secret `name` has the previous value."""
        newest = self.secret(name).newest
        return newest.version == self.base(name) or (newest.rotation_id == self.rotation_id and bool(newest.restores))

    def foreign_versions(self, name: str) -> tuple[Version, ...]:
        """Versions of secret `name` that somebody else wrote since this rotation was staged."""
        candidate, secret = self.candidate, self.secret(name)
        if candidate is None:
            return ()
        known = [v for v in secret.versions if v.version == self.base(name) or v.rotation_id == self.rotation_id]
        return tuple(
            version
            for version in secret.versions
            if version not in known
            and (version == secret.newest or (version.enabled and version.created_at > candidate.created_at))
        )

    def versions_to_retire(self, name: str) -> tuple[Version, ...]:
        """The older versions of secret `name` that must be disabled, newest first."""
        return self.secret(name).older_enabled[self.options.keep_versions :]

    def has_synced(self, consumer: ConsumerFacts) -> bool:
        """Whether every pod of `consumer` has mounted the newest versions and its synced Secret, if any, holds them."""
        mounted, newest = consumer.uses - consumer.unmounted, self.observation.newest_versions
        wanted = {name: version for name, version in newest.items() if name in mounted}
        has_mounted = all(wanted.items() <= dict(pod.versions).items() for pod in consumer.pods)
        return has_mounted and consumer.synced in (Synced.NEWEST, Synced.NONE)

    @property
    def is_accepted(self) -> bool:
        """Whether the database accepts the candidate."""
        return self.observation.logins.candidate is LoginState.WORKS

    def is_marked(self, consumer: ConsumerFacts) -> bool:
        """Whether this rotation restarted `consumer` with the new values."""
        return consumer.restarted_for == self.forward_mark

    def may_have_new_values(self, consumer: ConsumerFacts) -> bool:
        """Whether a pod of `consumer` may have started with the new values: restarted, or started since the staging.

        The clocks of vault and cluster may differ: one restart too many does less harm than one too few.
        """
        if self.candidate is None or self.is_marked(consumer):
            return self.is_marked(consumer)
        since = self.candidate.created_at - CLOCK_SKEW
        started = any(pod.started_at is not None and pod.started_at >= since for pod in consumer.pods)
        return started and consumer.restarted_for != self.rollback_mark

    def has_restarted(self, consumer: ConsumerFacts) -> bool:
        """Whether the database `consumer` runs with the new values: restarted for it, or the logins prove it."""
        if consumer.replicas == 0:
            return False
        proven = self.is_accepted and self.observation.logins.previous is LoginState.REFUSED
        return self.is_marked(consumer) or (proven and consumer.is_ready)

    def has_returned(self, consumer: ConsumerFacts) -> bool:
        """Whether the database `consumer` runs with the previous values after a rollback, or never had others."""
        if consumer.replicas == 0:
            return False
        return self.observation.logins.previous is LoginState.WORKS or consumer.restarted_for == self.rollback_mark

    @property
    def forward_mark(self) -> str:
        """The mark of the restart with the new values."""
        return self.rotation_id

    @property
    def rollback_mark(self) -> str:
        """The mark of the restart that a rollback makes."""
        return f"{self.rotation_id}.rollback"
