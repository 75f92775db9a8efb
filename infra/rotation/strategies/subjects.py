"""What the rules act on, in order. Functions of a state; those that take arguments make such functions."""

from collections.abc import Callable

from infra.credentials import Consumer, Part
from infra.rotation.state import RotationState, Subject
from infra.rotation.steps import Subjects


def the_credential(state: RotationState) -> tuple[Subject, ...]:
    """The credential as a whole."""
    return (state.credential.name,)


def secrets_of(*parts: Part) -> Subjects:
    """Make the subjects: the secrets that change when these parts of the login do, the password's last."""

    def secrets(state: RotationState) -> tuple[Subject, ...]:
        return state.credential.secrets_of(parts)

    return secrets


the_login = secrets_of(Part.USERNAME, Part.PASSWORD)
"""The secrets of username and password."""
the_password = secrets_of(Part.PASSWORD)
"""The secret of the password alone."""


def every_consumer(state: RotationState) -> tuple[Subject, ...]:
    """Each consumer's workload, but for those whose next run gets new values by itself."""
    return tuple(facts.workload for facts in state.observation.consumers if not facts.consumer.runs_to_an_end)


def databases(state: RotationState) -> tuple[Subject, ...]:
    """The workloads that are the database itself."""
    return tuple(facts.workload for facts in state.observation.consumers if facts.consumer.is_database)


def clients_of(changed: Subjects) -> Subjects:
    """Make the subjects: the clients that need a restart for new values, and use a secret that changes."""
    return _users_of(changed, lambda consumer: consumer.is_restarted)


def followers_of(changed: Subjects) -> Subjects:
    """Make the subjects: the clients that re-read their files, and use a secret that changes."""
    return _users_of(changed, lambda consumer: consumer.follows_its_files)


def reloaded_of(changed: Subjects) -> Subjects:
    """Make the subjects: the clients that re-read their files when they are told, and use a secret that changes."""
    return _users_of(changed, lambda consumer: consumer.reload is not None)


def runs_of(changed: Subjects) -> Subjects:
    """Make the subjects: the clients whose next run begins with new values, and that use a secret that changes."""
    return _users_of(changed, lambda consumer: consumer.runs_to_an_end)


def _users_of(changed: Subjects, is_meant: Callable[[Consumer], bool]) -> Subjects:
    def users(state: RotationState) -> tuple[Subject, ...]:
        secrets = set(changed(state))
        return tuple(
            facts.workload
            for facts in state.observation.consumers
            if not facts.consumer.is_database and is_meant(facts.consumer) and facts.uses & secrets
        )

    return users


def sources_to_pin(state: RotationState) -> tuple[Subject, ...]:
    """Each source that the consumers' deliveries read from, once; none if one write publishes all."""
    if not state.credential.needs_pins:
        return ()
    return tuple(dict.fromkeys(facts.consumer.source_key for facts in state.observation.consumers))


def synced_secrets_of(*workloads: Subjects) -> Subjects:
    """Make the subjects: the synced Secrets that the pods of these workloads start with, each once; files need none."""

    def secrets(state: RotationState) -> tuple[Subject, ...]:
        found = [workload for subjects in workloads for workload in subjects(state)]
        keys = dict.fromkeys(state.consumer(workload).consumer.secret_key for workload in found)
        return tuple(filter(None, keys))

    return secrets
