"""managed: the administrator of a Flexible Server gets a new password through Azure's own API.

Azure takes minutes for it, cannot rehearse it, and does not say when the new password began to hold. So it is proven
before anything is published: in the other order, whoever reads the vault would have a password that the server
refuses for as long. The name of the administrator cannot be changed.
https://learn.microsoft.com/rest/api/postgresql/servers/update
"""

from infra.errors import KeyturnError, Refused
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, Username
from infra.rotation.strategies import rules
from infra.rotation.strategies.rules import (
    clients_of,
    every_consumer,
    followers_of,
    synced_secrets_of,
    the_credential,
    the_password,
    the_server,
)
from infra.targets import Consumer

CLIENTS = clients_of(the_password)
FOLLOWERS = followers_of(the_password)
SYNCED_SECRETS = synced_secrets_of(CLIENTS)


class Managed:
    """Change it through Azure, prove it, publish it, restart the clients."""

    username = Username.STAYS
    forward: tuple[Rule, ...] = (
        Rule(Action.PROVE_CURRENT, the_credential, rules.is_staged, "A rotation that begins broken can't be undone."),
        Rule(Action.STAGE, the_credential, rules.is_staged, "From here on a crash loses no password."),
        Rule(Action.SET_ADMINISTRATOR, the_server, rules.is_taken, "From here on the server takes the new password."),
        Rule(Action.PROVE_CANDIDATE, the_credential, rules.is_taken, "Nothing is published for a login that fails."),
        Rule(Action.PUBLISH, the_password, rules.is_published, "The newest version is what is read and mounted."),
        Rule(
            Action.AWAIT_SYNC,
            every_consumer,
            rules.needs_no_sync(the_password),
            "A client that restarts must find the new password.",
        ),
        Rule(
            Action.REFRESH_SECRET,
            SYNCED_SECRETS,
            rules.is_fresh(the_password),
            "No client may begin with the old password.",
        ),
        Rule(Action.RESTART, CLIENTS, rules.has_rolled, "A client reads its environment only when it begins."),
        Rule(Action.AWAIT_READY, CLIENTS, rules.has_rolled_and_is_ready, "A client is well with the new values."),
        Rule(Action.VERIFY, the_credential, rules.is_proven, "Fresh connections alone prove a login."),
        Rule(Action.RETIRE, the_password, rules.is_retired, "What was replaced must not be readable any more."),
        Rule(Action.FINISH, the_credential, rules.never, "The candidate has served."),
    )
    back: tuple[Rule, ...] = (
        Rule(Action.RESTORE_ADMINISTRATOR, the_server, rules.takes_old_login, "The vault's readers have the old one."),
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
        """Clients, unless they read new values by themselves."""
        return consumer.needs_restart and not consumer.is_database

    def find_objection(self, situation: Situation) -> KeyturnError | None:
        """Refuse to give the administrator another name, and consumers that are the database."""
        if situation.candidate is not None:
            return None
        own = next((one for one in situation.observation.consumers if one.names.is_database), None)
        if own:
            return Refused(
                "A Flexible Server is no workload of the cluster",
                name=own.key,
                seen="it is marked as the database itself",
                remedy="take it out of the target's consumers, or mark it as a client",
                code="NoDatabaseHere",
            )
        if situation.options.new_username:
            return rules.refuse_username("managed")
        return None

    def notes(self, situation: Situation) -> tuple[str, ...]:
        """Say how long it takes, and when clients fail."""
        return (
            "Azure changes the password of a Flexible Server's administrator in minutes; open sessions go on.",
            "New connections of a client fail from that change until the client has the new password"
            + (": express restarts it at once." if situation.is_express else ", up to a poll of the driver."),
        )
