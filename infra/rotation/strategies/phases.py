"""The phases that strategies share, as rows of their tables: how one begins, ends, and brings its clients along."""

from infra.rotation.steps import Action, Rule, Subjects
from infra.rotation.strategies import rules
from infra.rotation.strategies.subjects import (
    clients_of,
    every_consumer,
    followers_of,
    synced_secrets_of,
    the_credential,
)

Rules = tuple[Rule, ...]


def begin(*rehearsals: Action) -> Rules:
    """Prove the present login, rehearse, stage the candidate."""
    return (
        Rule(Action.PROVE_CURRENT, the_credential, rules.is_staged, "A rotation that begins broken can't be undone."),
        *(
            Rule(action, the_credential, rules.is_staged, "Nothing is staged that the database refuses.")
            for action in rehearsals
        ),
        Rule(Action.STAGE, the_credential, rules.is_staged, "From here on a crash loses no password."),
    )


def publish(changed: Subjects, reason: str = "The newest version is what is read and mounted.") -> Rules:
    """Make the candidate's values the newest versions."""
    return (Rule(Action.PUBLISH, changed, rules.is_published, reason),)


def sync(changed: Subjects) -> Rules:
    """Let every consumer have the new versions."""
    reason = "The driver looks for new versions by its poll; who restarts must find them."
    return (Rule(Action.AWAIT_SYNC, every_consumer, rules.needs_no_sync(changed), reason),)


def refresh(changed: Subjects, *more: Subjects) -> Rules:
    """Write a stale synced Secret anew, before anybody begins with it."""
    secrets, reason = synced_secrets_of(*more, clients_of(changed)), "Nobody may begin with old values."
    return (Rule(Action.REFRESH_SECRET, secrets, rules.is_fresh(changed), reason),)


def restart_clients(changed: Subjects) -> Rules:
    """Restart the clients whose values changed, pod by pod."""
    clients = clients_of(changed)
    return (
        Rule(Action.RESTART, clients, rules.has_rolled, "A client reads its environment only when it begins."),
        Rule(Action.AWAIT_READY, clients, rules.has_rolled_and_is_ready, "A client is well with the new values."),
    )


def prove_and_retire(changed: Subjects) -> Rules:
    """Prove the new login and the refused old one, disable what was replaced, drop the candidate."""
    return (
        Rule(Action.VERIFY, the_credential, rules.is_proven, "Fresh connections alone prove a login."),
        Rule(Action.RETIRE, changed, rules.is_retired, "What was replaced must not be readable any more."),
        Rule(Action.FINISH, the_credential, rules.never, "The candidate has served."),
    )


def restore(changed: Subjects) -> Rules:
    """Make the old values the newest versions again."""
    return (Rule(Action.RESTORE, changed, rules.is_restored, "Old versions cannot become the newest again."),)


def refresh_back(changed: Subjects, *more: Subjects) -> Rules:
    """Write a synced Secret anew that may hold the failed values."""
    secrets, reason = synced_secrets_of(*more, clients_of(changed)), "It may hold the failed values."
    return (Rule(Action.REFRESH_SECRET, secrets, rules.is_old_again(changed), reason),)


def return_clients(changed: Subjects) -> Rules:
    """Restart the clients that may have begun with the failed values; wait for those that follow their files."""
    clients, followers = clients_of(changed), followers_of(changed)
    return (
        Rule(Action.RESTART, clients, rules.has_old_values, "It began with the failed values."),
        Rule(Action.AWAIT_READY, clients, rules.has_old_values_and_is_ready, "A client is well with the old values."),
        Rule(Action.AWAIT_SYNC, followers, rules.has_old_versions(changed), "Nobody may be left with failed values."),
        Rule(Action.VERIFY_RESTORED, the_credential, rules.never, "A rollback is done when a login proves it."),
    )


def drop_failed() -> Rules:
    """Drop the failed candidate; its values stay in the older versions."""
    return (Rule(Action.FINISH_ROLLBACK, the_credential, rules.never, "The failed candidate is of no use."),)
