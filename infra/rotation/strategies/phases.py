"""The rules that strategies share: how a rotation starts, reaches its clients, ends, and is rolled back."""

from infra.rotation.steps import Action, FailurePolicy, OnFailure, Predicate, Rule, Subjects
from infra.rotation.strategies import conditions
from infra.rotation.strategies.subjects import (
    clients_of,
    every_consumer,
    followers_of,
    reloaded_of,
    synced_secrets_of,
    the_credential,
)

Rules = tuple[Rule, ...]


def stage() -> Rules:
    """Stage the candidate. The preflight has proven the current login, and has rehearsed its change."""
    reason = "From here on a crash loses no password."
    return (Rule(Action.STAGE, the_credential, conditions.is_staged, reason, OnFailure.REFUSE),)


def change(action: Action, reason: str) -> Rules:
    """Let the database accept the candidate by `action`, which ends with the proof that it does."""
    return (Rule(action, the_credential, conditions.is_accepted, reason, OnFailure.ROLL_BACK),)


def publish(
    changed: Subjects,
    reason: str = "The newest version is what is read and mounted.",
    on_failure: OnFailure = OnFailure.STOP,
) -> Rules:
    """Make the candidate's values the newest versions. What is published half is rolled back."""
    rule = Rule(Action.PUBLISH, changed, conditions.is_published, reason, on_failure, OnFailure.ALWAYS_ROLL_BACK)
    return (rule,)


def sync(is_done: Predicate, on_failure: FailurePolicy = OnFailure.PENDING) -> Rules:
    """Bring the new versions to every consumer."""
    reason = "The driver polls for new versions; whoever restarts must find them."
    needed = conditions.waits_for_sync
    return (Rule(Action.AWAIT_SYNC, every_consumer, is_done, reason, on_failure, is_needed=needed),)


def refresh(is_done: Predicate, *workloads: Subjects) -> Rules:
    """Refresh stale synced Secrets before anybody starts with them."""
    reason = "An existing Secret may keep its previous values."
    return (Rule(Action.REFRESH_SECRET, synced_secrets_of(*workloads), is_done, reason, OnFailure.ROLL_BACK),)


def restart_clients(changed: Subjects) -> Rules:
    """Restart the clients whose values changed, and reload those that have a command for it."""
    clients, wait = clients_of(changed), conditions.has_rolled_and_is_ready
    started = "A client reads its environment only when it starts."
    return (
        Rule(
            Action.RELOAD,
            reloaded_of(changed),
            conditions.has_reloaded,
            "A client keeps what it has read until it is told.",
            OnFailure.ROLL_BACK,
        ),
        Rule(Action.RESTART, clients, conditions.has_rolled, started, OnFailure.ROLL_BACK),
        Rule(Action.AWAIT_READY, clients, wait, "The client must run well with the new values.", OnFailure.ROLL_BACK),
    )


def prove_and_retire(changed: Subjects) -> Rules:
    """Prove the new login and that the previous one is refused, disable what was replaced, delete the candidate."""
    proof = "Only fresh connections prove a login."
    return (
        Rule(Action.VERIFY, the_credential, conditions.is_proven, proof, OnFailure.ROLL_BACK),
        Rule(Action.RETIRE, changed, conditions.is_retired, "What was replaced must not be readable any more."),
        Rule(Action.FINISH, the_credential, conditions.never, "The rotation no longer needs it."),
    )


def restore(changed: Subjects) -> Rules:
    """Make the previous values the newest versions again."""
    return (Rule(Action.RESTORE, changed, conditions.is_restored, "A vault can't make an old version the newest."),)


def refresh_back(is_done: Predicate, *workloads: Subjects) -> Rules:
    """Refresh synced Secrets that may hold the failed values."""
    return (Rule(Action.REFRESH_SECRET, synced_secrets_of(*workloads), is_done, "It may hold the failed values."),)


def return_clients(changed: Subjects) -> Rules:
    """Restart the clients that may have started with the failed values; wait for those that re-read their files."""
    clients, wait = clients_of(changed), conditions.has_previous_values_and_is_ready
    versions = conditions.has_previous_versions(changed)
    return (
        Rule(Action.RESTART, clients, conditions.has_previous_values, "It may have started with the failed values."),
        Rule(Action.AWAIT_READY, clients, wait, "The client must run well with the previous values."),
        Rule(
            Action.AWAIT_SYNC,
            followers_of(changed),
            versions,
            "Nobody may be left with the failed values.",
            OnFailure.PENDING,
        ),
        Rule(
            Action.RELOAD,
            reloaded_of(changed),
            conditions.has_previous_values,
            "It may have read the failed values.",
        ),
        Rule(Action.VERIFY_RESTORED, the_credential, conditions.never, "A rollback ends with a proven login."),
    )


def delete_failed() -> Rules:
    """Delete the failed candidate; its values stay in the older versions."""
    return (Rule(Action.FINISH_ROLLBACK, the_credential, conditions.never, "Nobody needs the failed candidate."),)
