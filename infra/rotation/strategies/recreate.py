"""recreate: the database is initialised from the Secret when its pod starts; its data is lost with the pod.

The postgres image reads POSTGRES_USER and POSTGRES_PASSWORD only when its data directory is empty
(https://github.com/docker-library/postgres/issues/665), so the restart itself puts the candidate into the database,
and a login can be proven only after it.
"""

from infra.credentials import Consumer
from infra.errors import Code, KeyturnError, Refused
from infra.rotation.observation import Phase
from infra.rotation.state import RotationState, Subject
from infra.rotation.steps import Action, OnFailure, Predicate, Rule, UsernamePolicy
from infra.rotation.strategies import conditions, phases
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import clients_of, databases, runs_of, the_login

CONSENT = "I accept data loss"
_CLIENTS, _RUNS = clients_of(the_login), runs_of(the_login)


def _needs_no_sync(state: RotationState, workload: Subject) -> bool:
    facts = state.consumer(workload)
    has_started = facts.consumer.is_database and state.has_restarted(facts)
    return has_started or conditions.needs_no_sync(the_login)(state, workload)


def _is_fresh(state: RotationState, secret_key: Subject) -> bool:
    own = [facts for facts in conditions.owners(state, secret_key) if facts.consumer.is_database]
    if own and all(map(state.has_restarted, own)):
        return True
    return conditions.is_fresh(the_login)(state, secret_key) and all(facts.is_stopped for facts in own)


def _is_restored(state: RotationState, secret_key: Subject) -> bool:
    own = [facts for facts in conditions.owners(state, secret_key) if facts.consumer.is_database]
    is_settled = all(facts.is_stopped or state.has_returned(facts) for facts in own)
    return is_settled and conditions.is_restored_too(the_login)(state, secret_key)


def _forward(action: Action, is_done: Predicate, reason: str) -> Rule:
    return Rule(action, databases, is_done, reason, OnFailure.ROLL_BACK)


class Recreate:
    """The walkthrough's way: publish, bring it to the consumers, scale to 0, scale up; then the clients."""

    ending: Rules = ()
    username = UsernamePolicy.DERIVE
    needs_alternates = False
    forward: Rules = (
        *phases.stage(),
        *phases.publish(the_login),
        *phases.sync(_needs_no_sync),
        _forward(Action.STOP, conditions.has_stopped, "The database reads its credential only when it starts."),
        *phases.refresh(_is_fresh, databases, _CLIENTS, _RUNS),
        _forward(Action.START, conditions.has_restarted, "The new pod mounts the newest versions."),
        _forward(Action.AWAIT_READY, conditions.is_ready, "A login needs a running pod."),
        *phases.restart_clients(the_login),
        *phases.prove_and_retire(the_login),
    )
    back: Rules = (
        *phases.restore(the_login),
        Rule(
            Action.STOP,
            databases,
            conditions.has_stopped_or_returned,
            "The database must start with the previous values.",
        ),
        *phases.refresh_back(_is_restored, databases, _CLIENTS, _RUNS),
        Rule(Action.START, databases, conditions.has_returned, "The new pod mounts the restored versions."),
        Rule(Action.AWAIT_READY, databases, conditions.has_returned_and_is_ready, "A login needs a running pod."),
        *phases.return_clients(the_login),
        *phases.delete_failed(),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """The database, and clients that need it."""
        return consumer.is_database or consumer.is_restarted

    def find_objection(self, state: RotationState) -> KeyturnError | None:
        """Refuse a restart that would change nothing, or that loses data without consent."""
        if state.phase in (Phase.PROVEN, Phase.ROLLING_BACK):
            return None
        own = [facts for facts in state.observation.consumers if facts.consumer.is_database]
        if not own:
            return Refused(Code.NO_DATABASE, name="consumers", seen="none of them is marked as the database")
        keeping = next((facts for facts in own if facts.keeps_data), None)
        if keeping:
            return Refused(
                Code.VOLUME_KEEPS_DATA,
                name=keeping.consumer.key,
                seen="a volume keeps the database's files over the restart, and POSTGRES_USER and "
                "POSTGRES_PASSWORD act only on an empty data directory",
            )
        if state.options.data_loss != CONSENT and not all(map(state.has_restarted, own)):
            seen = f"'{state.options.data_loss}'; the database is empty after the restart"
            return Refused(Code.CONSENT_MISSING, name="data_loss", seen=seen)
        return None

    def notes(self, state: RotationState) -> tuple[str, ...]:
        """Say what the data loss is, and what is not waited for."""
        notes = [
            "All data in the database is lost with its pod; it starts empty.",
            "The new login reaches the database with the restart, and is proven after it.",
        ]
        if state.is_express:
            notes.append("Express: the driver's poll is not waited for; the fresh mount fetches the newest versions.")
        return tuple(notes)
