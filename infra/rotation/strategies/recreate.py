"""recreate: the database is initialised from the Secret when its pod starts; its data goes with the pod.

The postgres image reads POSTGRES_USER and POSTGRES_PASSWORD only when its data directory is empty
(https://github.com/docker-library/postgres/issues/665), so the restart itself puts the candidate into the
database, and a login can be proven only after it.
"""

from infra.errors import KeyturnError, Refused
from infra.rotation.observation import Phase, Synced
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, both_secrets, every_consumer, the_credential, the_synced_secret

CONSENT = "I accept data loss"


def _is_staged(situation: Situation, _: str) -> bool:
    return situation.candidate is not None


def _is_published(situation: Situation, secret: str) -> bool:
    return situation.is_published(secret)


def _has_restarted(situation: Situation, key: str) -> bool:
    return situation.has_restarted(situation.observation.consumer(key))


def _needs_no_sync(situation: Situation, key: str) -> bool:
    consumer = situation.observation.consumer(key)
    if situation.is_express or situation.has_restarted(consumer) or not consumer.pods:
        return True
    return all(map(situation.is_published, both_secrets(situation))) and situation.has_synced(consumer)


def _has_stopped(situation: Situation, key: str) -> bool:
    consumer = situation.observation.consumer(key)
    return situation.has_restarted(consumer) or consumer.is_stopped


def _is_fresh(situation: Situation, _: str) -> bool:
    consumers = situation.observation.consumers
    if all(map(situation.has_restarted, consumers)):
        return True
    settled = all(map(situation.is_published, both_secrets(situation)))
    settled = settled and all(consumer.is_stopped for consumer in consumers)
    return settled and situation.observation.synced in (Synced.ABSENT, Synced.NEWEST)


def _is_ready(situation: Situation, key: str) -> bool:
    consumer = situation.observation.consumer(key)
    return situation.has_restarted(consumer) and consumer.is_ready


def _is_proven(situation: Situation, _: str) -> bool:
    return situation.phase is Phase.PROVEN


def _is_retired(situation: Situation, secret: str) -> bool:
    return situation.phase is Phase.PROVEN and not situation.secret(secret).older_enabled


def _never(situation: Situation, _: str) -> bool:
    return False


def _is_restored(situation: Situation, secret: str) -> bool:
    return situation.is_restored(secret)


def _has_returned(situation: Situation, key: str) -> bool:
    return situation.has_returned(situation.observation.consumer(key))


def _has_stopped_or_returned(situation: Situation, key: str) -> bool:
    return _has_returned(situation, key) or situation.observation.consumer(key).is_stopped


def _is_fresh_or_returned(situation: Situation, _: str) -> bool:
    return all(map(situation.has_returned, situation.observation.consumers))


def _is_ready_or_returned(situation: Situation, key: str) -> bool:
    return _has_returned(situation, key) and situation.observation.consumer(key).is_ready


class Recreate:
    """The walkthrough's way: publish, let the consumers have it, scale to 0, scale up."""

    forward: tuple[Rule, ...] = (
        Rule(Action.PROVE_CURRENT, the_credential, _is_staged, "A rotation that begins broken could not be undone."),
        Rule(Action.STAGE, the_credential, _is_staged, "From here on a crash loses no password."),
        Rule(Action.PUBLISH, both_secrets, _is_published, "The newest version is what the consumers mount."),
        Rule(Action.AWAIT_SYNC, every_consumer, _needs_no_sync, "The driver looks for new versions by its poll."),
        Rule(Action.STOP, every_consumer, _has_stopped, "The database reads its credential only when it begins."),
        Rule(Action.REFRESH_SECRET, the_synced_secret, _is_fresh, "An existing Secret may keep its old values."),
        Rule(Action.START, every_consumer, _has_restarted, "The new pod mounts the newest versions."),
        Rule(Action.AWAIT_READY, every_consumer, _is_ready, "A login needs a running pod."),
        Rule(Action.VERIFY, the_credential, _is_proven, "Fresh connections alone prove a login."),
        Rule(Action.RETIRE, both_secrets, _is_retired, "What was replaced must not be readable any more."),
        Rule(Action.FINISH, the_credential, _never, "The candidate has served."),
    )
    back: tuple[Rule, ...] = (
        Rule(Action.RESTORE, both_secrets, _is_restored, "Old versions cannot become the newest again."),
        Rule(Action.STOP, every_consumer, _has_stopped_or_returned, "The database must begin with the old values."),
        Rule(Action.REFRESH_SECRET, the_synced_secret, _is_fresh_or_returned, "It may hold the failed values."),
        Rule(Action.START, every_consumer, _has_returned, "The new pod mounts the restored versions."),
        Rule(Action.AWAIT_READY, every_consumer, _is_ready_or_returned, "A login needs a running pod."),
        Rule(Action.VERIFY_RESTORED, the_credential, _never, "A rollback is done when a login proves it."),
        Rule(Action.FINISH_ROLLBACK, the_credential, _never, "The failed candidate is of no use."),
    )

    def find_objection(self, situation: Situation) -> KeyturnError | None:
        """Refuse where the restart would change nothing, or would cost data that nobody agreed to lose."""
        if situation.phase in (Phase.PROVEN, Phase.ROLLING_BACK):
            return None
        consumers = situation.observation.consumers
        keeping = next((consumer for consumer in consumers if consumer.keeps_data), None)
        if keeping:
            return Refused(
                "The strategy recreate would change nothing",
                name=keeping.key,
                seen="a volume keeps the database's files over the restart, and POSTGRES_USER and "
                "POSTGRES_PASSWORD act only on an empty data directory",
                remedy="Use a strategy that changes the login inside the database.",
                code="VolumeKeepsData",
            )
        if situation.options.data_loss != CONSENT and not all(map(situation.has_restarted, consumers)):
            return Refused(
                "The strategy recreate needs consent to data loss",
                name="options.data_loss",
                seen=f"'{situation.options.data_loss}'; the database begins empty after the restart",
                remedy=f"Set data_loss to '{CONSENT}' if nothing in the database must be kept.",
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
