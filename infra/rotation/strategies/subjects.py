"""To whom the rows of the strategies' tables are done: names of secrets, workloads, classes, Secrets, in order."""

from infra.rotation.situation import Situation
from infra.rotation.steps import Subjects


def the_credential(situation: Situation) -> tuple[str, ...]:
    """The credential as a whole, called by its vault."""
    return (situation.target.vault,)


def the_server(situation: Situation) -> tuple[str, ...]:
    """The Flexible Server."""
    return (situation.target.server,)


def both_secrets(situation: Situation) -> tuple[str, ...]:
    """Username, then password."""
    return tuple(secret.name for secret in situation.observation.secrets)


def the_password(situation: Situation) -> tuple[str, ...]:
    """The password's secret alone."""
    return (situation.observation.password.name,)


def every_consumer(situation: Situation) -> tuple[str, ...]:
    """Each consumer, as namespace/workload."""
    return tuple(consumer.key for consumer in situation.observation.consumers)


def databases(situation: Situation) -> tuple[str, ...]:
    """The consumers that are the database itself."""
    return tuple(consumer.key for consumer in situation.observation.consumers if consumer.names.is_database)


def clients_of(changed: Subjects) -> Subjects:
    """Make the subjects: the clients that take new values by a restart, and use a secret that changes."""

    def clients(situation: Situation) -> tuple[str, ...]:
        names = set(changed(situation))
        return tuple(
            consumer.key
            for consumer in situation.observation.consumers
            if consumer.names.needs_restart and not consumer.names.is_database and consumer.uses & names
        )

    return clients


def followers_of(changed: Subjects) -> Subjects:
    """Make the subjects: the clients that read a secret which changes from their files, again and again."""

    def followers(situation: Situation) -> tuple[str, ...]:
        names = set(changed(situation))
        return tuple(
            consumer.key
            for consumer in situation.observation.consumers
            if not consumer.names.needs_restart and not consumer.names.is_database and consumer.uses & names
        )

    return followers


def every_class(situation: Situation) -> tuple[str, ...]:
    """Each consumer's SecretProviderClass, as namespace/name, once."""
    return tuple(dict.fromkeys(consumer.names.class_key for consumer in situation.observation.consumers))


def synced_secrets_of(*consumers: Subjects) -> Subjects:
    """Make the subjects: the synced Secrets that these consumers begin with, each once."""

    def secrets(situation: Situation) -> tuple[str, ...]:
        keys = [key for one in consumers for key in one(situation)]
        return tuple(dict.fromkeys(situation.target.consumer(key).secret_key for key in keys))

    return secrets
