"""alternating: two logins of one owner role take turns, so that the present one works until nobody uses it any more.

The other login is opened with a new password beside the present one, published, and brought to every consumer; only
then the former login is closed. At no moment does a consumer have a login that the database refuses.

Username and password are two secrets, written one after the other, and a poll of the CSI driver may fall between the
two: a client that follows its files would get the new username with the old password until the next poll. So the
consumers' classes are held at the present versions (`objectVersion`) while the two are written, and released after it.
They are held some steps earlier, so that a poll which read a class before that has ended by then:
https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/getting-started/usage/
"""

from infra.errors import KeyturnError, Refused
from infra.rotation.observation import LoginState
from infra.rotation.situation import Situation
from infra.rotation.steps import Action, Rule, Username
from infra.rotation.strategies import phases, rules
from infra.rotation.strategies.phases import Rules
from infra.rotation.strategies.subjects import both_secrets, databases, every_class, the_credential
from infra.targets import Consumer


class Alternating:
    """Open the other login, publish it, let the consumers have it, close the former one."""

    username = Username.OTHER
    forward: Rules = (
        *phases.begin(Action.REHEARSE_OPENING),
        Rule(Action.HOLD, every_class, rules.is_held_until_published, "No mount may mix one login with the other."),
        Rule(Action.OPEN_LOGIN, the_credential, rules.is_taken, "From here on the database takes both logins."),
        Rule(Action.PROVE_CANDIDATE, the_credential, rules.is_taken, "Nothing is published for a login that fails."),
        *phases.publish(both_secrets),
        Rule(Action.RELEASE, every_class, rules.is_released_to_new, "Both are new: a mount gets them together."),
        *phases.sync(both_secrets),
        *phases.refresh(both_secrets, databases),
        *phases.restart_clients(both_secrets),
        Rule(Action.CLOSE_LOGIN, the_credential, rules.is_closed, "Nobody uses it any more."),
        *phases.prove_and_retire(both_secrets),
    )
    back: Rules = (
        Rule(Action.REOPEN_LOGIN, the_credential, rules.takes_old_login, "It must work before anybody gets it back."),
        Rule(Action.HOLD, every_class, rules.is_held_until_restored, "No mount may mix one login with the other."),
        *phases.restore(both_secrets),
        Rule(Action.RELEASE, every_class, rules.is_released_to_old, "Both are old again."),
        *phases.refresh_back(both_secrets, databases),
        *phases.return_clients(both_secrets),
        Rule(Action.CLOSE_CANDIDATE, the_credential, rules.never, "Nobody needs the failed login."),
        *phases.drop_failed(),
    )

    def restarts(self, consumer: Consumer) -> bool:
        """Clients alone, unless they read new values by themselves; the database goes on."""
        return consumer.needs_restart and not consumer.is_database

    def find_objection(self, situation: Situation) -> KeyturnError | None:
        """Refuse where the login is not one of an owner's."""
        seen = situation.observation
        if situation.candidate is not None or seen.logins.current is not LoginState.WORKS:
            return None
        if seen.other_logins is not None:
            return None
        return Refused(
            "The strategy alternating needs two logins that become one owner role",
            name=situation.target.place,
            seen="the present login becomes no role that cannot log in",
            fix="run the flow migrate for this target: it makes the owner role of the present login",
            code="NotMigrated",
        )

    def notes(self, situation: Situation) -> tuple[str, ...]:
        """Say what stays, and what is waited for."""
        notes = [
            "Both logins work until every consumer has the new one; all data stays, open sessions go on.",
            "The consumers' classes are held at the present versions while username and password are written.",
        ]
        if situation.is_express:
            notes.append(
                "Express: the driver's poll is not waited for where a restart fetches the new login. "
                "Clients that read their files again are waited for."
            )
        return tuple(notes)
