"""When a step of the strategies' tables is done. Observations alone decide."""

from infra.errors import Code, Refused
from infra.rotation.observation import ConsumerFacts, LoginState, Phase, Synced
from infra.rotation.state import RotationState, Subject
from infra.rotation.steps import Predicate, Subjects
from infra.rotation.strategies.subjects import the_login


def refuse_username(strategy: str) -> Refused:
    """Make the objection to a new username where the strategy keeps it."""
    return Refused(Code.USERNAME_STAYS, name="new_username", seen=f"the strategy is {strategy}, and one is given")


def never(state: RotationState, _: Subject) -> bool:
    """Nothing shows that it is done: the rotation ends when its candidate is gone."""
    return False


def is_staged(state: RotationState, _: Subject) -> bool:
    """The rotation has its candidate."""
    return state.candidate is not None


def is_published(state: RotationState, secret: Subject) -> bool:
    """The newest version of the secret is the candidate's."""
    return state.is_published(str(secret))


def is_restored(state: RotationState, secret: Subject) -> bool:
    """The newest version of the secret has the previous value."""
    return state.is_restored(str(secret))


def is_proven(state: RotationState, _: Subject) -> bool:
    """The candidate says that the rotation was proven."""
    return state.phase is Phase.PROVEN


def is_retired(state: RotationState, secret: Subject) -> bool:
    """The rotation was proven, and no more older versions are enabled than should be."""
    return state.phase is Phase.PROVEN and not state.versions_to_retire(str(secret))


def is_accepted(state: RotationState, _: Subject) -> bool:
    """The database accepts the candidate, or did when the rotation was proven."""
    return state.is_accepted or state.phase is Phase.PROVEN


def has_its_grace(state: RotationState, _: Subject) -> bool:
    """The previous login gets no grace, or it has begun."""
    return not state.gives_grace or state.phase in (Phase.GRACE, Phase.PROVEN)


def is_disabled(state: RotationState, _: Subject) -> bool:
    """The database refuses the previous login, or did when the rotation was proven."""
    return state.observation.logins.previous is LoginState.REFUSED or state.phase is Phase.PROVEN


def accepts_previous(state: RotationState, _: Subject) -> bool:
    """The database accepts the previous login."""
    return state.observation.logins.previous is LoginState.WORKS


def needs_no_sync(changed: Subjects) -> Predicate:
    """Make the predicate: the consumer has the new versions, gets them when it restarts, or uses none of them.

    A client that re-reads its files is waited for with express, too: nothing else brings it the values.
    """

    def predicate(state: RotationState, workload: Subject) -> bool:
        facts = state.consumer(workload)
        is_concerned = bool(facts.uses & set(changed(state)))
        if state.is_marked(facts) or not is_concerned or not waits_for_sync(state, workload):
            return True
        return _all_published(state, changed) and state.has_synced(facts)

    return predicate


def waits_for_sync(state: RotationState, workload: Subject) -> bool:
    """The consumer has pods that get the new versions without a restart, or before it."""
    facts = state.consumer(workload)
    is_skipped = state.is_express and (facts.consumer.is_database or facts.consumer.is_restarted)
    return bool(facts.pods) and not is_skipped


def is_pinned_or_published(state: RotationState, source: Subject) -> bool:
    """Mounts stay at the current versions, or all secrets are new already: no mount can mix them."""
    return _is_pinned(state, source) or _all_published(state, the_login)


def is_pinned_or_restored(state: RotationState, source: Subject) -> bool:
    """Mounts stay at the current versions, or all secrets are restored already: no mount can mix them."""
    return _is_pinned(state, source) or _all_restored(state, the_login)


def is_unpinned_to_new(state: RotationState, source: Subject) -> bool:
    """All secrets are new, and mounts follow them."""
    return not _is_pinned_at_all(state, source) and _all_published(state, the_login)


def is_unpinned_to_previous(state: RotationState, source: Subject) -> bool:
    """All secrets are restored, and mounts follow them."""
    return not _is_pinned_at_all(state, source) and _all_restored(state, the_login)


def has_stopped(state: RotationState, workload: Subject) -> bool:
    """The database has no pods, or runs with the new values already."""
    return has_restarted(state, workload) or state.consumer(workload).is_stopped


def has_restarted(state: RotationState, workload: Subject) -> bool:
    """The database runs with the new values."""
    return state.has_restarted(state.consumer(workload))


def is_ready(state: RotationState, workload: Subject) -> bool:
    """The database runs with the new values, and all its pods are ready."""
    return has_restarted(state, workload) and _has_started_well(state.consumer(workload))


def has_reloaded(state: RotationState, workload: Subject) -> bool:
    """The client was told to re-read its files for this rotation, or has no pods."""
    facts = state.consumer(workload)
    return not facts.pods or state.is_marked(facts)


def has_rolled(state: RotationState, workload: Subject) -> bool:
    """The client was restarted for this rotation, or is scaled to 0."""
    facts = state.consumer(workload)
    return facts.replicas == 0 or state.is_marked(facts)


def has_rolled_and_is_ready(state: RotationState, workload: Subject) -> bool:
    """The client was restarted for this rotation and its pods are ready, or it is scaled to 0."""
    facts = state.consumer(workload)
    return facts.replicas == 0 or (state.is_marked(facts) and _has_started_well(facts))


def has_returned(state: RotationState, workload: Subject) -> bool:
    """The database runs with the previous values."""
    return state.has_returned(state.consumer(workload))


def has_stopped_or_returned(state: RotationState, workload: Subject) -> bool:
    """The database has no pods, or runs with the previous values."""
    return has_returned(state, workload) or state.consumer(workload).is_stopped


def has_returned_and_is_ready(state: RotationState, workload: Subject) -> bool:
    """The database runs with the previous values, and all its pods are ready."""
    return has_returned(state, workload) and _has_started_well(state.consumer(workload))


def has_previous_values(state: RotationState, workload: Subject) -> bool:
    """The client never got the new values, or was restarted since."""
    facts = state.consumer(workload)
    return facts.replicas == 0 or not state.may_have_new_values(facts)


def has_previous_values_and_is_ready(state: RotationState, workload: Subject) -> bool:
    """The client needs no restart, or was restarted and its pods are ready."""
    facts = state.consumer(workload)
    if facts.restarted_for == state.rollback_mark:
        return facts.replicas == 0 or _has_started_well(facts)
    return has_previous_values(state, workload)


def has_previous_versions(changed: Subjects) -> Predicate:
    """Make the predicate: the client that re-reads its files has the restored versions, or no pods."""

    def predicate(state: RotationState, workload: Subject) -> bool:
        facts = state.consumer(workload)
        return not facts.pods or (_all_restored(state, changed) and state.has_synced(facts))

    return predicate


def is_fresh(changed: Subjects) -> Predicate:
    """Make the predicate: the new values are published, and the synced Secret does not hold previous ones."""

    def predicate(state: RotationState, secret_key: Subject) -> bool:
        return _all_published(state, changed) and _holds_newest(state, secret_key)

    return predicate


def is_restored_too(changed: Subjects) -> Predicate:
    """Make the predicate: the previous values are restored, and the synced Secret does not hold failed ones."""

    def predicate(state: RotationState, secret_key: Subject) -> bool:
        return _all_restored(state, changed) and _holds_newest(state, secret_key)

    return predicate


def owners(state: RotationState, secret_key: Subject) -> tuple[ConsumerFacts, ...]:
    """Return the consumers that share a synced Secret."""
    return tuple(facts for facts in state.observation.consumers if facts.consumer.secret_key == secret_key)


def _has_started_well(facts: ConsumerFacts) -> bool:
    """Its pods are ready, and their Secret held the right values all the time since they were replaced."""
    return facts.is_ready and facts.start_checked


def _holds_newest(state: RotationState, secret_key: Subject) -> bool:
    """The synced Secret is absent, or holds the vault's newest values."""
    return all(facts.synced in (Synced.ABSENT, Synced.NEWEST) for facts in owners(state, secret_key))


def _all_published(state: RotationState, changed: Subjects) -> bool:
    return all(state.is_published(str(secret)) for secret in changed(state))


def _all_restored(state: RotationState, changed: Subjects) -> bool:
    return all(state.is_restored(str(secret)) for secret in changed(state))


def _is_pinned(state: RotationState, source: Subject) -> bool:
    """This rotation pinned it, and nobody has taken the pins away since: the annotation alone proves nothing."""
    return all(
        facts.pinned_for == state.rotation_id and all(facts.pinned.get(name) == state.base(name) for name in facts.uses)
        for facts in _of_source(state, source)
    )


def _is_pinned_at_all(state: RotationState, source: Subject) -> bool:
    return any(facts.pinned_for for facts in _of_source(state, source))


def _of_source(state: RotationState, source: Subject) -> list[ConsumerFacts]:
    return [facts for facts in state.observation.consumers if facts.consumer.source_key == source]
