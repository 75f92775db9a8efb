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
from infra.rotation.strategies import phases, rules
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import databases, the_credential, the_password
from infra.targets import Consumer


class InPlace:
    """Publish, let the consumers have it, ALTER ROLE, restart the clients one pod after the other."""

    username = Username.STAYS
    forward: Rules = (
        *phases.begin(Action.REHEARSE),
        *phases.publish(the_password, "It travels while the database takes the old one."),
        *phases.sync(the_password),
        Rule(Action.SET_LOGIN, the_credential, rules.is_taken, "From here on the database takes the new password."),
        Rule(Action.PROVE_CANDIDATE, the_credential, rules.is_taken, "Nobody is restarted for a login that fails."),
        *phases.refresh(the_password, databases),
        *phases.restart_clients(the_password),
        *phases.prove_and_retire(the_password),
    )
    back: Rules = (
        Rule(Action.RESTORE_LOGIN, the_credential, rules.takes_old_login, "Most clients still have the old password."),
        *phases.restore(the_password),
        *phases.refresh_back(the_password, databases),
        *phases.return_clients(the_password),
        *phases.drop_failed(),
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
