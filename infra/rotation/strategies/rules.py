"""When a row of the strategies' tables is done. Observations alone decide."""

from collections.abc import Callable

from infra.errors import Refused
from infra.rotation.observation import ConsumerFacts, LoginState, Phase, Synced
from infra.rotation.situation import Situation
from infra.rotation.steps import Subjects
from infra.rotation.strategies.subjects import both_secrets

Predicate = Callable[[Situation, str], bool]


def refuse_username(strategy: str) -> Refused:
    """Make the objection to another name where the strategy keeps it."""
    return Refused(
        f"The strategy {strategy} keeps the username",
        name="options.new_username",
        seen="one is given",
        fix="Give none, or use a strategy that changes the login's name.",
        code="UsernameStays",
    )


def never(situation: Situation, _: str) -> bool:
    """Nothing shows that it is done; that its candidate is gone ends the rotation."""
    return False


def is_staged(situation: Situation, _: str) -> bool:
    """The rotation has its candidate."""
    return situation.candidate is not None


def is_published(situation: Situation, secret: str) -> bool:
    """The newest version of the secret is the candidate's."""
    return situation.is_published(secret)


def is_restored(situation: Situation, secret: str) -> bool:
    """The newest version of the secret has the old value."""
    return situation.is_restored(secret)


def is_proven(situation: Situation, _: str) -> bool:
    """The candidate says that its proof succeeded."""
    return situation.phase is Phase.PROVEN


def is_retired(situation: Situation, secret: str) -> bool:
    """The proof succeeded, and no more older versions are enabled than shall stay."""
    return situation.phase is Phase.PROVEN and not situation.excess(secret)


def needs_no_sync(changed: Subjects) -> Predicate:
    """Make the predicate: the consumer has the new versions, or will fetch them when it begins, or uses none.

    A client that reads its files again by itself is waited for with express, too: nothing else brings it the values.
    """

    def predicate(situation: Situation, key: str) -> bool:
        consumer = situation.observation.consumer(key)
        is_concerned = bool(consumer.pods) and bool(consumer.uses & set(changed(situation)))
        is_spared = situation.is_express and (consumer.names.is_database or consumer.names.needs_restart)
        if is_spared or situation.is_marked(consumer) or not is_concerned:
            return True
        return _all_published(situation, changed) and situation.has_synced(consumer)

    return predicate


def is_taken(situation: Situation, _: str) -> bool:
    """The database takes the candidate, or did when it was proven."""
    return situation.is_taken or situation.phase is Phase.PROVEN


def is_closed(situation: Situation, _: str) -> bool:
    """The database refuses the login that was in force before, or did when that was proven."""
    return situation.observation.logins.previous is LoginState.REFUSED or situation.phase is Phase.PROVEN


def is_held_until_published(situation: Situation, class_key: str) -> bool:
    """Mounts of the class stay at the versions before, or both secrets are new already: no mount can mix them."""
    return _is_held(situation, class_key) or all(map(situation.is_published, both_secrets(situation)))


def is_held_until_restored(situation: Situation, class_key: str) -> bool:
    """Mounts of the class stay at the versions before, or both secrets are old again already."""
    return _is_held(situation, class_key) or all(map(situation.is_restored, both_secrets(situation)))


def is_released_to_new(situation: Situation, class_key: str) -> bool:
    """Both secrets are new, and mounts of the class follow them."""
    is_free = not any(one.held_for for one in _of_class(situation, class_key))
    return is_free and all(map(situation.is_published, both_secrets(situation)))


def is_released_to_old(situation: Situation, class_key: str) -> bool:
    """Both secrets are old again, and mounts of the class follow them."""
    is_free = not any(one.held_for for one in _of_class(situation, class_key))
    return is_free and all(map(situation.is_restored, both_secrets(situation)))


def _is_held(situation: Situation, class_key: str) -> bool:
    return all(one.held_for == situation.rotation_id for one in _of_class(situation, class_key))


def _of_class(situation: Situation, class_key: str) -> list[ConsumerFacts]:
    return [one for one in situation.observation.consumers if one.names.class_key == class_key]


def takes_old_login(situation: Situation, _: str) -> bool:
    """The database takes the login that was in force before."""
    return situation.observation.logins.previous is LoginState.WORKS


def has_stopped(situation: Situation, key: str) -> bool:
    """The database has no pods, or runs with the new values already."""
    consumer = situation.observation.consumer(key)
    return situation.has_restarted(consumer) or consumer.is_stopped


def has_restarted(situation: Situation, key: str) -> bool:
    """The database runs with the new values."""
    return situation.has_restarted(situation.observation.consumer(key))


def is_ready(situation: Situation, key: str) -> bool:
    """The database runs with the new values, all its pods ready."""
    consumer = situation.observation.consumer(key)
    return situation.has_restarted(consumer) and consumer.is_ready


def has_rolled(situation: Situation, key: str) -> bool:
    """The client was restarted for this rotation, or has nothing to restart."""
    consumer = situation.observation.consumer(key)
    return consumer.replicas == 0 or situation.is_marked(consumer)


def has_rolled_and_is_ready(situation: Situation, key: str) -> bool:
    """The client was restarted for this rotation and its pods are ready, or it has none."""
    consumer = situation.observation.consumer(key)
    return consumer.replicas == 0 or (situation.is_marked(consumer) and _has_begun_well(consumer))


def has_returned(situation: Situation, key: str) -> bool:
    """The database runs with the old values."""
    return situation.has_returned(situation.observation.consumer(key))


def has_stopped_or_returned(situation: Situation, key: str) -> bool:
    """The database has no pods, or runs with the old values."""
    return has_returned(situation, key) or situation.observation.consumer(key).is_stopped


def is_ready_or_returned(situation: Situation, key: str) -> bool:
    """The database runs with the old values, all its pods ready."""
    return has_returned(situation, key) and situation.observation.consumer(key).is_ready


def has_old_values(situation: Situation, key: str) -> bool:
    """The client never got the new values, or was restarted since."""
    consumer = situation.observation.consumer(key)
    return consumer.replicas == 0 or not situation.may_have_new_values(consumer)


def has_old_values_and_is_ready(situation: Situation, key: str) -> bool:
    """The client needs no restart, or was restarted and its pods are ready."""
    consumer = situation.observation.consumer(key)
    if consumer.restarted_for == situation.rollback_mark:
        return consumer.replicas == 0 or _has_begun_well(consumer)
    return has_old_values(situation, key)


def _has_begun_well(consumer: ConsumerFacts) -> bool:
    """Its pods are ready, and their Secret held the right values all the time since they were replaced."""
    return consumer.is_ready and consumer.start_checked


def is_held_fresh(situation: Situation, secret_key: str) -> bool:
    """The synced Secret is absent, or holds the vault's newest values."""
    return all(one.synced in (Synced.ABSENT, Synced.NEWEST) for one in owners(situation, secret_key))


def owners(situation: Situation, secret_key: str) -> tuple[ConsumerFacts, ...]:
    """Return the consumers that share a synced Secret."""
    return tuple(one for one in situation.observation.consumers if one.names.secret_key == secret_key)


def _all_published(situation: Situation, changed: Subjects) -> bool:
    return all(map(situation.is_published, changed(situation)))


def is_fresh(changed: Subjects) -> Predicate:
    """Make the predicate: the new values are published, and the synced Secret cannot show old ones any more."""

    def predicate(situation: Situation, secret_key: str) -> bool:
        return _all_published(situation, changed) and is_held_fresh(situation, secret_key)

    return predicate


def is_old_again(changed: Subjects) -> Predicate:
    """Make the predicate: the old values are restored, and the synced Secret cannot show the failed ones."""

    def predicate(situation: Situation, secret_key: str) -> bool:
        return all(map(situation.is_restored, changed(situation))) and is_held_fresh(situation, secret_key)

    return predicate


def has_old_versions(changed: Subjects) -> Predicate:
    """Make the predicate: the client that follows its files has the restored values, or no pods."""

    def predicate(situation: Situation, key: str) -> bool:
        consumer = situation.observation.consumer(key)
        restored = all(map(situation.is_restored, changed(situation)))
        return not consumer.pods or (restored and situation.has_synced(consumer))

    return predicate
