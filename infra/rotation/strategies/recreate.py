"""recreate: the database is initialised from the Secret when its pod starts; its data goes with the pod.

The postgres image reads POSTGRES_USER and POSTGRES_PASSWORD only when its data directory is empty
(https://github.com/docker-library/postgres/issues/665), so the restart itself puts the candidate into the
database, and a login can be proven only after it.
"""

from infra.errors import KeyturnError, Refused
from infra.rotation.observation import Phase
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, Username
from infra.rotation.strategies import phases, rules
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import both_secrets, clients_of, databases, every_consumer, synced_secrets_of
from infra.targets import Consumer

CONSENT = "I accept data loss"
SYNCED_SECRETS = synced_secrets_of(databases, clients_of(both_secrets))


def _needs_no_sync(situation: Situation, key: str) -> bool:
    consumer = situation.observation.consumer(key)
    begun = consumer.names.is_database and situation.has_restarted(consumer)
    return begun or rules.needs_no_sync(both_secrets)(situation, key)


def _is_fresh(situation: Situation, secret_key: str) -> bool:
    own = [one for one in rules.owners(situation, secret_key) if one.names.is_database]
    if own and all(map(situation.has_restarted, own)):
        return True
    return rules.is_fresh(both_secrets)(situation, secret_key) and all(one.is_stopped for one in own)


def _is_old_again(situation: Situation, secret_key: str) -> bool:
    own = [one for one in rules.owners(situation, secret_key) if one.names.is_database]
    is_settled = all(one.is_stopped or situation.has_returned(one) for one in own)
    return is_settled and rules.is_old_again(both_secrets)(situation, secret_key)


class Recreate:
    """The walkthrough's way: publish, let the consumers have it, scale to 0, scale up; then the clients."""

    username = Username.DERIVED
    forward: Rules = (
        *phases.begin(),
        *phases.publish(both_secrets),
        Rule(Action.AWAIT_SYNC, every_consumer, _needs_no_sync, "The driver looks for new versions by its poll."),
        Rule(Action.STOP, databases, rules.has_stopped, "The database reads its credential only when it begins."),
        Rule(Action.REFRESH_SECRET, SYNCED_SECRETS, _is_fresh, "An existing Secret may keep its old values."),
        Rule(Action.START, databases, rules.has_restarted, "The new pod mounts the newest versions."),
        Rule(Action.AWAIT_READY, databases, rules.is_ready, "A login needs a running pod."),
        *phases.restart_clients(both_secrets),
        *phases.prove_and_retire(both_secrets),
    )
    back: Rules = (
        *phases.restore(both_secrets),
        Rule(Action.STOP, databases, rules.has_stopped_or_returned, "The database must begin with the old values."),
        Rule(Action.REFRESH_SECRET, SYNCED_SECRETS, _is_old_again, "It may hold the failed values."),
        Rule(Action.START, databases, rules.has_returned, "The new pod mounts the restored versions."),
        Rule(Action.AWAIT_READY, databases, rules.is_ready_or_returned, "A login needs a running pod."),
        *phases.return_clients(both_secrets),
        *phases.drop_failed(),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """The database begins anew; so does a client, unless it reads new values by itself."""
        return consumer.is_database or consumer.needs_restart

    def find_objection(self, situation: Situation) -> KeyturnError | None:
        """Refuse where the restart would change nothing, or would cost data that nobody agreed to lose."""
        if situation.phase in (Phase.PROVEN, Phase.ROLLING_BACK):
            return None
        consumers = [one for one in situation.observation.consumers if one.names.is_database]
        if not consumers:
            return Refused(
                "The strategy recreate needs to know the database's Deployment",
                name="target.consumers",
                seen="none of the consumers is marked as the database",
                fix="Mark the database's Deployment, or use the strategy in-place.",
                code="NoDatabase",
            )
        keeping = next((consumer for consumer in consumers if consumer.keeps_data), None)
        if keeping:
            return Refused(
                "The strategy recreate would change nothing",
                name=keeping.key,
                seen="a volume keeps the database's files over the restart, and POSTGRES_USER and "
                "POSTGRES_PASSWORD act only on an empty data directory",
                fix="Use the strategy in-place: it changes the login inside the database.",
                code="VolumeKeepsData",
            )
        if situation.options.data_loss != CONSENT and not all(map(situation.has_restarted, consumers)):
            return Refused(
                "The strategy recreate needs consent to data loss",
                name="options.data_loss",
                seen=f"'{situation.options.data_loss}'; the database begins empty after the restart",
                fix=f"Set data_loss to '{CONSENT}' if nothing in the database must be kept.",
                code="ConsentMissing",
            )
        return None

    def notes(self, situation: Situation) -> tuple[str, ...]:
        """Say what the data loss is, and what is not waited for."""
        notes = ["All data in the database goes with its pod; it begins empty."]
        notes.append("The new login reaches the database with the restart, and is proven after it.")
        if situation.is_express:
            notes.append("Express: the driver's poll is not waited for; the fresh mount fetches the newest versions.")
        return tuple(notes)
