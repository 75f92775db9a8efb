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
from infra.rotation.strategies import rules
from infra.rotation.strategies.rules import (
    both_secrets,
    clients_of,
    every_class,
    every_consumer,
    followers_of,
    synced_secrets_of,
    the_credential,
)
from infra.targets import Consumer

CLIENTS = clients_of(both_secrets)
FOLLOWERS = followers_of(both_secrets)
SYNCED_SECRETS = synced_secrets_of(rules.databases, CLIENTS)


class Alternating:
    """Open the other login, publish it, let the consumers have it, close the former one."""

    username = Username.OTHER
    forward: tuple[Rule, ...] = (
        Rule(Action.PROVE_CURRENT, the_credential, rules.is_staged, "A rotation that begins broken can't be undone."),
        Rule(Action.REHEARSE_OPENING, the_credential, rules.is_staged, "Nothing is staged that the database refuses."),
        Rule(Action.STAGE, the_credential, rules.is_staged, "From here on a crash loses no password."),
        Rule(Action.HOLD, every_class, rules.is_held_until_published, "No mount may mix one login with the other."),
        Rule(Action.OPEN_LOGIN, the_credential, rules.is_taken, "From here on the database takes both logins."),
        Rule(Action.PROVE_CANDIDATE, the_credential, rules.is_taken, "Nothing is published for a login that fails."),
        Rule(Action.PUBLISH, both_secrets, rules.is_published, "The newest version is what the consumers mount."),
        Rule(Action.RELEASE, every_class, rules.is_released_to_new, "Both are new: a mount gets them together."),
        Rule(
            Action.AWAIT_SYNC,
            every_consumer,
            rules.needs_no_sync(both_secrets),
            "Nobody may be left with the former login.",
        ),
        Rule(
            Action.REFRESH_SECRET,
            SYNCED_SECRETS,
            rules.is_fresh(both_secrets),
            "No client may begin with the former login.",
        ),
        Rule(Action.RESTART, CLIENTS, rules.has_rolled, "A client reads its environment only when it begins."),
        Rule(Action.AWAIT_READY, CLIENTS, rules.has_rolled_and_is_ready, "A client is well with the new login."),
        Rule(Action.CLOSE_LOGIN, the_credential, rules.is_closed, "Nobody uses it any more."),
        Rule(Action.VERIFY, the_credential, rules.is_proven, "Fresh connections alone prove a login."),
        Rule(Action.RETIRE, both_secrets, rules.is_retired, "What was replaced must not be readable any more."),
        Rule(Action.FINISH, the_credential, rules.never, "The candidate has served."),
    )
    back: tuple[Rule, ...] = (
        Rule(Action.REOPEN_LOGIN, the_credential, rules.takes_old_login, "It must work before anybody gets it back."),
        Rule(Action.HOLD, every_class, rules.is_held_until_restored, "No mount may mix one login with the other."),
        Rule(Action.RESTORE, both_secrets, rules.is_restored, "Old versions cannot become the newest again."),
        Rule(Action.RELEASE, every_class, rules.is_released_to_old, "Both are old again."),
        Rule(Action.REFRESH_SECRET, SYNCED_SECRETS, rules.is_old_again(both_secrets), "It may hold the failed login."),
        Rule(Action.RESTART, CLIENTS, rules.has_old_values, "It began with the failed login."),
        Rule(Action.AWAIT_READY, CLIENTS, rules.has_old_values_and_is_ready, "A client is well with the old login."),
        Rule(
            Action.AWAIT_SYNC, FOLLOWERS, rules.has_old_versions(both_secrets), "Nobody may be left with failed values."
        ),
        Rule(Action.VERIFY_RESTORED, the_credential, rules.never, "A rollback is done when a login proves it."),
        Rule(Action.CLOSE_CANDIDATE, the_credential, rules.never, "Nobody needs the failed login."),
        Rule(Action.FINISH_ROLLBACK, the_credential, rules.never, "The failed candidate is of no use."),
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
            remedy="run the flow migrate for this target: it makes the owner role of the present login",
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
