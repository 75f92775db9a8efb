"""Preparing a database for two logins that alternate: planned, shown, rehearsed, done in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from infra.credentials import Credential, Login
from infra.errors import Code, Refused, Unverified
from infra.postgres import acting_role
from infra.postgres.database import Database, RoleChange
from infra.postgres.handshake import Connection
from infra.postgres.owner_role import find_owner_role, get_login_facts, make_owner_role, name_owner_role
from infra.rotation.migration import LoginFacts, Migration, plan_migration
from tasks.context import Access, opened
from tasks.reports.artifacts import report_table
from tasks.retries import task_with_retries
from tasks.rotation.lock import confirm_lock
from tasks.rotation.staged import find_candidate

MAKE_OWNER_ROLE = RoleChange(
    "The database does not let the login's role become an owner role",
    "name the secrets of an administrator in the credential's field `administrator`: one that may create roles, and "
    "on PostgreSQL 16 and newer has ADMIN OPTION on the login's role",
)


@task_with_retries(name="Plan the migration", run_name="{credential.name}: plan the migration")
def plan(credential: Credential) -> Migration:
    """Find out what is left to do.

    Raises:
        LoginRefused: the database refuses the vault's newest versions, or the administrator's.
        Refused: it keeps a password as md5.
    """
    with opened(credential) as access:
        candidate = find_candidate(access.vault, credential)
        facts = get_facts(access)
    get_run_logger().info(
        "%d relations, %d sessions, %d settings, %s",
        facts.relations,
        facts.sessions,
        facts.settings,
        "no owner role" if facts.alternate_logins is None else f"{facts.alternate_logins} alternate logins",
    )
    unfinished = candidate[1].rotation_id if candidate and candidate[1].phase.is_live else ""
    return plan_migration(credential, facts, unfinished)


def get_facts(access: Access) -> LoginFacts:
    """Look at the login and at every database that admits it. Raises as `plan`."""
    current = access.read_newest()
    with _refusing_md5(access):
        databases = acting_role.look_at_databases(access.database, current, name_owner_role(current.username))
        with access.database.connected(access.administrator or current) as admin_session:
            return get_login_facts(admin_session, current.username, databases)


@contextmanager
def _refusing_md5(access: Access) -> Iterator[None]:
    """Say what to do about a password that is kept as md5: a migration proves its logins by SCRAM."""
    try:
        yield
    except Unverified as error:
        if error.code != Code.MD5_PASSWORD:
            raise
        raise Refused(
            "The server keeps the password of the login, or of its administrator, as md5",
            name=f"{access.credential.name} at {error.name}",
            seen="a migration proves its logins by SCRAM",
            fix="set password_encryption to scram-sha-256, on a Flexible Server by its server parameters; give that "
            "password once more, the login's by a rotation with the strategy in-place; then migrate",
            code=error.code,
        ) from None


@task_with_retries(name="Show the plan", run_name="{credential.name}: show the plan of the migration")
def show(credential: Credential, migration: Migration) -> None:
    """Log the plan and make its table."""
    logger, total = get_run_logger(), len(migration.steps)
    for number, part in enumerate(migration.steps, 1):
        logger.info("%d/%d of one transaction: %s", number, total, part.what)
    for finding in migration.findings:
        logger.warning("%s", finding)
    rows = [{"step": str(number), "what": part.what, "why": part.why} for number, part in enumerate(migration.steps, 1)]
    rows += [{"step": "-", "what": str(finding), "why": ""} for finding in migration.findings]
    verdict = f"**It would be refused.** {migration.refusal}" if migration.refusal else "All of it is one transaction."
    report_table("migration-plan", rows, f"What prepares {credential.name} for two logins. {verdict}")


@task_with_retries(name="Rehearse the migration", run_name="{credential.name}: rehearse the migration and roll it back")
def rehearse(credential: Credential) -> None:
    """Do all of it in a transaction that is rolled back, and look in it whether the login still finds its relations.

    No session sees another's uncommitted change, so it is done in each database where the login's name finds a schema.

    Raises:
        Refused: the database does not allow it, or the login would not find its relations; nothing was changed.
    """
    with opened(credential) as access:
        current = access.read_newest()
        owner = name_owner_role(current.username)
        paths = acting_role.find_search_paths(access.database, current, owner)
        for name in sorted({credential.database, *paths}):
            database = access.database.beside(name)
            before = acting_role.see(database, current)
            with _changing(access, database, is_rehearsal=True) as admin_session:
                make_owner_role(admin_session, current, paths)
                acting_role.verify_sees(admin_session, current, owner, before)


@task_with_retries(name="Migrate", run_name="{credential.name}: make an owner role of the login's role")
def migrate(credential: Credential, rotation_id: str) -> bool:
    """Make the owner role in one transaction, then prove it by a new login. Returns whether it was made.

    Args:
        credential: the credential.
        rotation_id: the id that the credential is locked for.

    Raises:
        Refused: the database does not allow it; nothing was changed.
        DatabaseUnreachable: the connection broke; running again shows whether it was done.
        Unverified: the login works, but its sessions do not start as an owner role.
    """
    with opened(credential) as access:
        facts, current = get_facts(access), access.read_newest()
        if facts.alternate_logins is not None:
            return False
        if refusal := plan_migration(credential, facts).refusal:
            raise refusal
        paths = acting_role.find_search_paths(access.database, current, name_owner_role(current.username))
        confirm_lock(access.cluster, credential, rotation_id)
        with _changing(access, access.database) as admin_session:
            make_owner_role(admin_session, current, paths)
        _verify(access, current)
    get_run_logger().info("the login's sessions start as the owner role, which owns what the login owned")
    return True


@contextmanager
def _changing(access: Access, database: Database, *, is_rehearsal: bool = False) -> Iterator[Connection]:
    administrator = access.administrator or access.read_newest()
    with database.changing(administrator, MAKE_OWNER_ROLE, is_rehearsal=is_rehearsal) as admin_session:
        yield admin_session


def _verify(access: Access, current: Login) -> None:
    with access.database.connected(current) as connection:
        owner = find_owner_role(connection, current.username)
    if owner is None:
        raise Unverified(
            "The login has no owner role",
            name=str(access.database),
            seen="the transaction was committed, but a new login works as before",
            fix="find out who changes the login's settings; then run again",
        )
    acting_role.prove_acts_as(access.database, current, owner.name)
