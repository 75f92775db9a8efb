"""managed: the administrator of a Flexible Server gets a new password through Azure's own API.

Azure takes minutes for it, cannot rehearse it, and does not say when the new password began to hold. So it is proven
before anything is published: in the other order, whoever reads the vault would have a password that the server
refuses for as long. The name of the administrator cannot be changed.
https://learn.microsoft.com/rest/api/postgresql/servers/update
"""

from infra.errors import KeyturnError, Refused
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, Username
from infra.rotation.strategies import phases, rules
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import the_credential, the_password, the_server
from infra.targets import Consumer


class Managed:
    """Change it through Azure, prove it, publish it, restart the clients."""

    username = Username.STAYS
    forward: Rules = (
        *phases.begin(),
        Rule(Action.SET_ADMINISTRATOR, the_server, rules.is_taken, "From here on the server takes the new password."),
        Rule(Action.PROVE_CANDIDATE, the_credential, rules.is_taken, "Nothing is published for a login that fails."),
        *phases.publish(the_password),
        *phases.sync(the_password),
        *phases.refresh(the_password),
        *phases.restart_clients(the_password),
        *phases.prove_and_retire(the_password),
    )
    back: Rules = (
        Rule(Action.RESTORE_ADMINISTRATOR, the_server, rules.takes_old_login, "The vault's readers have the old one."),
        *phases.restore(the_password),
        *phases.refresh_back(the_password),
        *phases.return_clients(the_password),
        *phases.drop_failed(),
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
                fix="take it out of the target's consumers, or mark it as a client",
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
