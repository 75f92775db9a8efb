"""in-place: the login keeps its name and gets a new password inside the running database; no data is lost.

The password is published before the database takes it, on purpose. A consumer gets new values up to two minutes
late, by the driver's poll, and a running client keeps the values that it began with. In the other order every new
connection of every consumer would fail from the ALTER until its sync, minutes later. In this one the database still
takes what the clients have while the new version travels, and once it has arrived, the ALTER and the restart of the
clients follow each other at once: that is the outage, and open sessions survive it.

For the same reason a sync that does not come is undone while the database still takes the old password: whoever
reads the vault or the synced Secret meanwhile would get one that the database refuses.
"""

from infra.errors import KeyturnError
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, Username
from infra.rotation.strategies import rules
from infra.rotation.strategies.rules import (
    clients_of,
    databases,
    every_consumer,
    followers_of,
    synced_secrets_of,
    the_credential,
    the_password,
)
from infra.targets import Consumer

CLIENTS = clients_of(the_password)
FOLLOWERS = followers_of(the_password)
SYNCED_SECRETS = synced_secrets_of(databases, CLIENTS)


class InPlace:
    """Publish, let the consumers have it, ALTER ROLE, restart the clients one pod after the other."""

    username = Username.STAYS
    forward: tuple[Rule, ...] = (
        Rule(Action.PROVE_CURRENT, the_credential, rules.is_staged, "A rotation that begins broken can't be undone."),
        Rule(Action.REHEARSE, the_credential, rules.is_staged, "Nothing is published that the database won't take."),
        Rule(Action.STAGE, the_credential, rules.is_staged, "From here on a crash loses no password."),
        Rule(Action.PUBLISH, the_password, rules.is_published, "It travels while the database takes the old one."),
        Rule(
            Action.AWAIT_SYNC,
            every_consumer,
            rules.needs_no_sync(the_password),
            "A client that restarts must find the new password.",
        ),
        Rule(Action.SET_LOGIN, the_credential, rules.is_taken, "From here on the database takes the new password."),
        Rule(Action.PROVE_CANDIDATE, the_credential, rules.is_taken, "Nobody is restarted for a login that fails."),
        Rule(
            Action.REFRESH_SECRET,
            SYNCED_SECRETS,
            rules.is_fresh(the_password),
            "Neither a client nor the database may begin with the old password.",
        ),
        Rule(Action.RESTART, CLIENTS, rules.has_rolled, "A client reads its environment only when it begins."),
        Rule(Action.AWAIT_READY, CLIENTS, rules.has_rolled_and_is_ready, "A client is well with the new values."),
        Rule(Action.VERIFY, the_credential, rules.is_proven, "Fresh connections alone prove a login."),
        Rule(Action.RETIRE, the_password, rules.is_retired, "What was replaced must not be readable any more."),
        Rule(Action.FINISH, the_credential, rules.never, "The candidate has served."),
    )
    back: tuple[Rule, ...] = (
        Rule(Action.RESTORE_LOGIN, the_credential, rules.takes_old_login, "Most clients still have the old password."),
        Rule(Action.RESTORE, the_password, rules.is_restored, "Old versions cannot become the newest again."),
        Rule(
            Action.REFRESH_SECRET, SYNCED_SECRETS, rules.is_old_again(the_password), "It may hold the failed password."
        ),
        Rule(Action.RESTART, CLIENTS, rules.has_old_values, "It began with the failed password."),
        Rule(Action.AWAIT_READY, CLIENTS, rules.has_old_values_and_is_ready, "A client is well with the old values."),
        Rule(
            Action.AWAIT_SYNC, FOLLOWERS, rules.has_old_versions(the_password), "Nobody may be left with failed values."
        ),
        Rule(Action.VERIFY_RESTORED, the_credential, rules.never, "A rollback is done when a login proves it."),
        Rule(Action.FINISH_ROLLBACK, the_credential, rules.never, "The failed candidate is of no use."),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """Clients alone, unless they read new values by themselves; the database goes on."""
        return consumer.needs_restart and not consumer.is_database

    def find_objection(self, situation: Situation) -> KeyturnError | None:
        """Refuse to give the login another name."""
        if situation.candidate is not None or not situation.options.new_username:
            return None
        return rules.refuse_username("in-place")

    def notes(self, situation: Situation) -> tuple[str, ...]:
        """Say what stays, when clients fail, and what is not waited for."""
        notes = [
            "The username and all data stay; open sessions go on.",
            "New connections of a client fail from the change in the database until the client has restarted.",
        ]
        if situation.is_express:
            notes.append(
                "Express: the driver's poll is not waited for where a restart fetches the new password. "
                "Clients that read their files again are waited for; the database's own files get it with a poll."
            )
        return tuple(notes)
