"""What an audit finds at a credential: late, near its expiry, not as the vault says, or left behind. Pure.

They are findings like those of the preflight: what was found, where, what was seen, how to fix it. One that blocks
needs a person; the others are worth knowing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.credentials import Credential, Strategy
from infra.errors import Code, Conflict, Refused, Unverified
from infra.fleet.schedule import NEAR_EXPIRY, STALE, Due, Facts
from infra.rotation.candidate import name_candidate
from infra.rotation.observation import ConsumerFacts, LoginState, Observation, Phase, Synced
from infra.rotation.preflight import Finding


@dataclass(frozen=True)
class Leftovers:
    """What was looked at for an audit alone.

    Args:
        lock_holder: who holds the credential's lock; empty: nobody.
        lock_renewed_at: when it was renewed last.
        enabled_logins: the logins of the owner role that can log in, if the strategy is alternating.
    """

    lock_holder: str = ""
    lock_renewed_at: datetime | None = None
    enabled_logins: tuple[str, ...] = ()


def check_schedule(credential: Credential, facts: Facts, due: Due | None, now: datetime) -> Iterator[Finding]:
    """Find what the calendar says: overdue, expired, near its expiry."""
    name = credential.name
    if due and due.limit and due.is_overdue(now):
        seen = f"due since {due.limit:%Y-%m-%d}" + (", and it is paused" if credential.paused else "")
        yield Finding(Refused(Code.OVERDUE, name=name, seen=seen))
    if facts.expires_at and facts.expires_at <= now:
        yield Finding(Refused(Code.EXPIRED, name=name, seen=f"since {facts.expires_at:%Y-%m-%d}"))
    elif facts.expires_at and facts.expires_at - now <= NEAR_EXPIRY:
        seen = f"on {facts.expires_at:%Y-%m-%d}, in {(facts.expires_at - now).days} days"
        is_handled = due is not None and due.starts_at < facts.expires_at
        yield Finding(Refused(Code.EXPIRES_SOON, name=name, seen=seen), is_blocking=not is_handled)


def check_state(
    credential: Credential, observation: Observation, leftovers: Leftovers, now: datetime
) -> Iterator[Finding]:
    """Find what disagrees with the vault, and what earlier rotations left behind.

    In the middle of a rotation all of that may be as it must be, so then only the rotation itself is looked at. In its
    grace the newest versions are what consumers must have, and only the previous login is still enabled.
    """
    candidate = observation.candidate
    phase = candidate.phase if candidate else None
    is_live = phase is not None and phase.is_live
    is_changing = is_live and phase is not Phase.GRACE
    yield from _check_login(credential, observation, is_changing)
    if candidate and (not is_live or _has_stopped(candidate.phase, candidate.created_at, now)):
        seen = f"rotation {candidate.rotation_id}, {candidate.phase}, staged {candidate.created_at:%Y-%m-%d %H:%M} UTC"
        where = f"{credential.vault}/{name_candidate(credential.secrets.names)}"
        yield Finding(Conflict(Code.CANDIDATE_LEFT, name=where, seen=seen), is_blocking=is_live)
    if leftovers.lock_holder and leftovers.lock_renewed_at and now - leftovers.lock_renewed_at > STALE:
        seen = f"by {leftovers.lock_holder}, renewed last {leftovers.lock_renewed_at:%Y-%m-%d %H:%M} UTC"
        yield Finding(
            Conflict(Code.LOCK_LEFT, name=f"{credential.name} in {credential.lock_namespace}", seen=seen), False
        )
    if not is_changing:
        for consumer in observation.consumers:
            yield from _check_consumer(consumer, observation)
    if is_live:
        return
    for secret in observation.secrets:
        if secret.older_enabled:
            seen = f"{len(secret.older_enabled)}, such as {secret.older_enabled[0].version[:8]}"
            yield Finding(Unverified(Code.VERSIONS_ENABLED, name=f"{credential.vault}/{secret.name}", seen=seen), False)
    if credential.strategy is Strategy.ALTERNATING and len(leftovers.enabled_logins) > 1:
        seen = ", ".join(leftovers.enabled_logins)
        yield Finding(Unverified(Code.BOTH_ENABLED, name=credential.name, seen=seen))


def is_drift(finding: Finding) -> bool:
    """Whether a finding says that things disagree, rather than that something is late or missing."""
    return finding.error.code in (Code.DRIFTED, Code.PIN_LEFT, Code.BOTH_ENABLED, Code.PROVIDER_CLASS_MISMATCH)


def _check_login(credential: Credential, observation: Observation, is_changing: bool) -> Iterator[Finding]:
    logins = observation.logins
    if logins.current is LoginState.WORKS or (is_changing and LoginState.WORKS in (logins.candidate, logins.previous)):
        return
    if logins.error:
        yield Finding(logins.error)
    else:
        yield Finding(Unverified(Code.DRIFTED, name=credential.name, seen=f"the login is {logins.current}"))


def _check_consumer(consumer: ConsumerFacts, observation: Observation) -> Iterator[Finding]:
    name = consumer.consumer.key
    if consumer.pinned_for or consumer.pinned:
        seen = f"pinned for rotation {consumer.pinned_for or 'unknown'}"
        yield Finding(Conflict(Code.PIN_LEFT, name=consumer.consumer.source_key, seen=seen))
    mounted, newest = consumer.uses - consumer.unmounted, observation.newest_versions
    wanted = {name: version for name, version in newest.items() if name in mounted}
    pods = () if consumer.consumer.runs_to_an_end else consumer.pods  # a run ends with what it began with
    behind = [pod.name for pod in pods if not wanted.items() <= dict(pod.versions).items()]
    drifts = [f"the mounts of {', '.join(behind)} have other versions"] if behind else []
    if consumer.synced is Synced.OTHER or (consumer.synced is Synced.ABSENT and pods):
        drifts.append(f"its Secret: {consumer.synced}")
    if consumer.stopped_replicas is not None:
        drifts.append(f"a rotation scaled it to 0, from {consumer.stopped_replicas}")
    if drifts:
        yield Finding(Unverified(Code.DRIFTED, name=name, seen="; ".join(drifts)))


def _has_stopped(phase: Phase, since: datetime, now: datetime) -> bool:
    return phase is not Phase.GRACE and now - since > max(STALE, timedelta(hours=1))
