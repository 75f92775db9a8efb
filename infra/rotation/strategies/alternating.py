"""alternating: two logins of one owner role take turns, so the current one works until nobody uses it any more.

The alternate login is enabled with a new password beside the current one, published, and brought to every consumer;
only then is the previous login disabled, at once or after a grace. At no moment does a listed consumer have a login
that the database refuses; consumers that are not restarted by a rotation have the grace to fetch the new one.

If more than one secret changes, they are written one after the other, and a poll of the CSI driver may fall in between:
a client that re-reads its files would get the new username with the previous password until the next poll. So the
consumers' deliveries are pinned to the current versions while they are written, and unpinned afterwards. They are
pinned some steps earlier, so that a poll which read the unpinned source has ended by then:
https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
"""

from infra.credentials import Consumer
from infra.errors import Code, KeyturnError, Refused
from infra.rotation.observation import LoginState
from infra.rotation.state import RotationState
from infra.rotation.steps import Action, OnFailure, Rule, UsernamePolicy
from infra.rotation.strategies import conditions, phases
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import clients_of, databases, runs_of, sources_to_pin, the_credential, the_login

_CLIENTS, _RUNS = clients_of(the_login), runs_of(the_login)
_NO_MIX = "No mount may mix one login with the other."


class Alternating:
    """Enable the alternate login, publish it, bring it to the consumers, disable the previous one."""

    username = UsernamePolicy.ALTERNATE
    needs_alternates = True
    ending: Rules = (
        Rule(
            Action.DISABLE_PREVIOUS,
            the_credential,
            conditions.is_disabled,
            "Nobody uses it any more.",
            OnFailure.ROLL_BACK,
        ),
        *phases.prove_and_retire(the_login),
    )
    forward: Rules = (
        *phases.stage(),
        Rule(Action.PIN, sources_to_pin, conditions.is_pinned_or_published, _NO_MIX),
        *phases.change(Action.ENABLE_ALTERNATE, "From here on the database accepts both logins."),
        *phases.publish(the_login),
        Rule(Action.UNPIN, sources_to_pin, conditions.is_unpinned_to_new, "A mount gets both new values together."),
        *phases.sync(conditions.needs_no_sync(the_login)),
        *phases.refresh(conditions.is_fresh(the_login), databases, _CLIENTS, _RUNS),
        *phases.restart_clients(the_login),
        Rule(
            Action.BEGIN_GRACE,
            the_credential,
            conditions.has_its_grace,
            "Consumers that nobody restarts need time.",
            OnFailure.ROLL_BACK,
        ),
        *ending,
    )
    back: Rules = (
        Rule(
            Action.REENABLE_PREVIOUS,
            the_credential,
            conditions.accepts_previous,
            "It must work before anybody gets it back.",
        ),
        Rule(Action.PIN, sources_to_pin, conditions.is_pinned_or_restored, _NO_MIX),
        *phases.restore(the_login),
        Rule(Action.UNPIN, sources_to_pin, conditions.is_unpinned_to_previous, "A mount gets both previous values."),
        *phases.refresh_back(conditions.is_restored_too(the_login), databases, _CLIENTS, _RUNS),
        *phases.return_clients(the_login),
        Rule(Action.DISABLE_CANDIDATE, the_credential, conditions.never, "Nobody needs the failed login."),
        *phases.delete_failed(),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """Clients that need it; the database keeps running."""
        return consumer.is_restarted

    def find_objection(self, state: RotationState) -> KeyturnError | None:
        """Refuse a login that has no owner role."""
        seen = state.observation
        if state.candidate is not None or seen.logins.current is not LoginState.WORKS or seen.alternates is not None:
            return None
        return Refused(
            Code.NOT_MIGRATED,
            name=state.credential.name,
            seen="the current login's sessions do not switch to a role that cannot log in",
        )

    def notes(self, state: RotationState) -> tuple[str, ...]:
        """Say what stays, and what is waited for."""
        notes = ["Both logins work until every consumer has the new one; all data stays, open sessions continue."]
        if state.credential.needs_pins:
            notes.append("The consumers' mounts are pinned to the current versions while the secrets are written.")
        notes += [f"{consumer}; it needs the new login in time." for consumer in state.credential.external_consumers]
        if state.is_express:
            notes.append(
                "Express: the driver's poll is not waited for where a restart fetches the new login. "
                "Clients that re-read their files are waited for."
            )
        return tuple(notes)
