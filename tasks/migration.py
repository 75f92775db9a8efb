"""From one login to an owner role and a login that becomes it: looked at, shown, rehearsed, done in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets
from infra.credentials import Login
from infra.errors import Unverified
from infra.kubernetes.client import Cluster
from infra.postgres.alternation import find_owner
from infra.postgres.connection import connected
from infra.postgres.owner_role import get_login_facts, make_owner_role
from infra.postgres.writing import Change, changing
from infra.rotation.candidate import Credential
from infra.rotation.migration import LoginFacts, Migration, plan_migration
from infra.settings import Settings
from infra.targets import Target
from tasks.alternation import FIX, read_administrator
from tasks.connections import cluster_of, endpoint_of
from tasks.credentials import find_candidate, read_newest
from tasks.locking import confirm_lock
from tasks.policy import step
from tasks.reporting import report_table

MIGRATE = Change("The database does not let an owner role be made of the login", FIX)
REHEARSE = replace(MIGRATE, is_rehearsal=True)


@step(name="Look at the login", run_name="look at the login of {target.vault} in {target.place}")
def look(target: Target) -> Migration:
    """Find out what is left to do.

    Raises:
        LoginRefused: the database does not take the vault's newest versions, or the administrator's.
    """
    with _opened(target) as (vault, cluster):
        candidate = find_candidate(vault, target)
        unfinished = candidate[1].rotation_id if candidate and candidate[1].phase.is_live else ""
        facts = _get_facts(target, vault, cluster)
    get_run_logger().info(
        "%d relations, %d sessions, %d settings, %s",
        facts.relations,
        facts.sessions,
        facts.settings,
        "no owner role yet" if facts.others is None else f"takes turns with {facts.others} others",
    )
    return plan_migration(target, facts, unfinished)


def _get_facts(target: Target, vault: Secrets, cluster: Cluster) -> LoginFacts:
    now, endpoint = read_newest(vault, target), endpoint_of(target, cluster)
    keeper = read_administrator(target, vault) or now
    with connected(endpoint, now.username, now.password, Settings()):
        pass
    with connected(endpoint, keeper.username, keeper.password, Settings()) as connection:
        return get_login_facts(connection, now.username)


@step(name="Show the migration", run_name="show what is left of the migration of {target.place}")
def show_plan(plan: Migration, target: Target) -> None:
    """Make the table of the plan, and log it."""
    logger = get_run_logger()
    for number, one in enumerate(plan.changes, 1):
        logger.info("in one transaction %d/%d: %s", number, len(plan.changes), one.what)
    if plan.refusal:
        logger.warning("refused: %s", plan.refusal)
    rows = [{"nr": str(n), "change": one.what, "why": one.why} for n, one in enumerate(plan.changes, 1)]
    said = f"**It would be refused.** {plan.refusal}" if plan.refusal else "All of it is one transaction."
    report_table("migration-plan", rows, f"What makes two logins take turns in {target.place}. {said}")


@step(name="Rehearse the migration", run_name="rehearse the migration of {target.place} and take it back")
def rehearse(target: Target) -> None:
    """Do all of it in a transaction that is taken back.

    Raises:
        Refused: the database does not allow it; nothing was changed.
    """
    with _opened(target) as (vault, cluster):
        _make_owner(target, vault, cluster, REHEARSE)


@step(name="Migrate", run_name="make an owner role and a login that becomes it in {target.place}")
def migrate(target: Target, rotation_id: str) -> bool:
    """Make the owner role in one transaction, then prove by a fresh login that it holds. Returns whether it was made.

    Args:
        target: the credential.
        rotation_id: for whose sake the credential is locked.

    Raises:
        Refused: the database does not allow it; nothing was changed.
        DatabaseUnreachable: the connection broke; running again tells whether it was done.
        Unverified: the login works and becomes no owner role.
    """
    with _opened(target) as (vault, cluster):
        if _get_facts(target, vault, cluster).others is not None:
            return False
        confirm_lock(cluster, target, rotation_id)
        _make_owner(target, vault, cluster, MIGRATE)
        _prove(target, read_newest(vault, target), cluster)
    get_run_logger().info("the login becomes its owner role; what it owned belongs to that")
    return True


def _make_owner(target: Target, vault: Secrets, cluster: Cluster, change: Change) -> None:
    now = read_newest(vault, target)
    keeper = read_administrator(target, vault) or now
    endpoint = endpoint_of(target, cluster)
    with changing(endpoint, keeper.username, keeper.password, Settings(), change) as connection:
        make_owner_role(connection, Login(now.username, now.password))


def _prove(target: Target, now: Credential, cluster: Cluster) -> None:
    endpoint = endpoint_of(target, cluster)
    with connected(endpoint, now.username, now.password, Settings()) as connection:
        if find_owner(connection, now.username) is None:
            raise Unverified(
                "The login becomes no owner role",
                name=str(endpoint),
                seen="the transaction was made, and a fresh login works as before",
                fix="see who changes the login's settings; run again",
            )


@contextmanager
def _opened(target: Target) -> Iterator[tuple[Secrets, Cluster]]:
    settings = Settings()
    with signed_in(settings):
        yield Secrets(target.vault, settings), cluster_of(target.resource_group, target.cluster, settings)
