"""managed: the administrator of a Flexible Server gets a new password through Azure's own API.

Azure takes minutes for it, cannot rehearse it, and does not say when the new password takes effect. So it is proven
before anything is published: otherwise whoever reads the vault would have a password that the server refuses for that
long. The name of the administrator cannot be changed.
https://learn.microsoft.com/rest/api/postgresql/servers/update
"""

from infra.credentials import Consumer, FlexibleServerEndpoint
from infra.errors import Code, KeyturnError, Refused
from infra.rotation.state import RotationState
from infra.rotation.steps import Action, OnFailure, Rule, UsernamePolicy
from infra.rotation.strategies import conditions, phases
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import clients_of, runs_of, the_credential, the_password

_CLIENTS, _RUNS = clients_of(the_password), runs_of(the_password)


class Managed:
    """Change it through Azure, prove it, publish it, restart the clients."""

    ending: Rules = ()
    username = UsernamePolicy.KEEP
    needs_alternates = False
    forward: Rules = (
        *phases.stage(),
        *phases.change(Action.SET_ADMINISTRATOR, "From here on the server accepts only the new password."),
        *phases.publish(the_password, on_failure=OnFailure.ALWAYS_ROLL_BACK),
        *phases.sync(conditions.needs_no_sync(the_password)),
        *phases.refresh(conditions.is_fresh(the_password), _CLIENTS, _RUNS),
        *phases.restart_clients(the_password),
        *phases.prove_and_retire(the_password),
    )
    back: Rules = (
        Rule(
            Action.RESTORE_ADMINISTRATOR,
            the_credential,
            conditions.accepts_previous,
            "The vault's readers have the previous password.",
        ),
        *phases.restore(the_password),
        *phases.refresh_back(conditions.is_restored_too(the_password), _CLIENTS, _RUNS),
        *phases.return_clients(the_password),
        *phases.delete_failed(),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """Clients that need it."""
        return consumer.is_restarted

    def find_objection(self, state: RotationState) -> KeyturnError | None:
        """Refuse a new username, and consumers that are the database."""
        if state.candidate is not None:
            return None
        assert isinstance(state.credential.endpoint, FlexibleServerEndpoint)
        own = next((facts for facts in state.observation.consumers if facts.consumer.is_database), None)
        if own:
            return Refused(Code.NO_DATABASE_HERE, name=own.consumer.key, seen="it is marked as the database itself")
        return conditions.refuse_username("managed") if state.options.new_username else None

    def notes(self, state: RotationState) -> tuple[str, ...]:
        """Say how long it takes, and when clients fail."""
        return (
            "Azure takes minutes to change the password of a Flexible Server's administrator; open sessions continue.",
            "New connections of a client fail from that change until the client has the new password"
            + (": express restarts it at once." if state.is_express else ", up to a poll of the driver."),
        )
