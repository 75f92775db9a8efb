"""in-place: the login keeps its name and gets a new password inside the running database; no data is lost.

The password is published before the database gets it, on purpose. A consumer gets new values up to two minutes late,
with the driver's poll, and a running client keeps the values that it started with. The other way round, every new
connection of every consumer would fail from the ALTER until its sync, minutes later. This way the database still
accepts what the clients have while the new version travels; once it has arrived, the ALTER and the restart of the
clients follow at once. That is the outage, and open sessions survive it.

For the same reason a sync that times out is rolled back while the database still accepts the previous password:
whoever reads the vault or the synced Secret meanwhile would get one that the database refuses.
"""

from infra.credentials import Consumer
from infra.errors import KeyturnError
from infra.rotation.observation import Phase
from infra.rotation.state import RotationState
from infra.rotation.steps import Action, OnFailure, Rule, UsernamePolicy
from infra.rotation.strategies import conditions, phases
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import clients_of, databases, runs_of, the_credential, the_password

_CLIENTS, _RUNS = clients_of(the_password), runs_of(the_password)


def _sync_failed(state: RotationState) -> OnFailure:
    """Roll back while the vault is ahead of the database; later a sync may be waited for again."""
    is_set = state.is_accepted or state.phase is Phase.PROVEN
    return OnFailure.PENDING if is_set else OnFailure.ROLL_BACK


class InPlace:
    """Publish, bring it to the consumers, ALTER ROLE, restart the clients by a rolling update."""

    ending: Rules = ()
    username = UsernamePolicy.KEEP
    needs_alternates = False
    forward: Rules = (
        *phases.stage(),
        *phases.publish(the_password, "It travels while the database accepts the previous one."),
        *phases.sync(conditions.needs_no_sync(the_password), _sync_failed),
        *phases.change(Action.SET_PASSWORD, "From here on the database accepts the new password."),
        *phases.refresh(conditions.is_fresh(the_password), databases, _CLIENTS, _RUNS),
        *phases.restart_clients(the_password),
        *phases.prove_and_retire(the_password),
    )
    back: Rules = (
        Rule(
            Action.RESTORE_PASSWORD,
            the_credential,
            conditions.accepts_previous,
            "Most clients still have the previous password.",
        ),
        *phases.restore(the_password),
        *phases.refresh_back(conditions.is_restored_too(the_password), databases, _CLIENTS, _RUNS),
        *phases.return_clients(the_password),
        *phases.delete_failed(),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """Clients that need it; the database keeps running."""
        return consumer.is_restarted

    def find_objection(self, state: RotationState) -> KeyturnError | None:
        """Refuse a new username."""
        if state.candidate is not None or not state.options.new_username:
            return None
        return conditions.refuse_username("in-place")

    def notes(self, state: RotationState) -> tuple[str, ...]:
        """Say what stays, when clients fail, and what is not waited for."""
        notes = [
            "The username and all data stay; open sessions continue.",
            "New connections of a client fail from the change in the database until the client has restarted.",
        ]
        if state.is_express:
            notes.append(
                "Express: the driver's poll is not waited for where a restart fetches the new password. "
                "Clients that re-read their files are waited for; the database's own files follow with the next poll."
            )
        return tuple(notes)
