"""What the steps that change a login share: a login proven, whose session changes roles, and what a new one is called.

A login is changed by one of three ways: it or the credential's administrator sets its password (`password_change`), a
session that may manage roles enables and disables the owner role's logins (`alternate_logins`), or Azure sets the
administrator's password (`server_administrator`). Each first looks if it is done.

A login that exists may prove itself by md5, the candidate only by SCRAM. Once clients restart, every connection may be
taken for a while: a free one is waited for as long as for the clients themselves.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from infra.credentials import Login
from infra.errors import Code, Conflict, LoginRefused
from infra.postgres import owner_role
from infra.postgres.database import Database, RoleChange
from infra.postgres.handshake import Connection
from infra.postgres.owner_role import OwnerRole
from infra.rotation.new_logins import check_username, choose_login, derive_username
from infra.rotation.steps import UsernamePolicy
from infra.rotation.strategies import STRATEGIES
from tasks.context import Access
from tasks.rotation.registry import StepContext


def patient(context: StepContext, access: Access) -> Database:
    """The database, of which a free connection is waited for."""
    return access.database.patient(context.options.ready_timeout_seconds)


def has_already(database: Database, wanted: Login) -> bool:
    """Return whether the database accepts a login: then its change was made before."""
    if database.takes(wanted):
        get_run_logger().info("%s accepts it already", database)
        return True
    return False


@contextmanager
def admin_session(
    context: StepContext, access: Access, change: RoleChange, login: Login, *, is_rehearsal: bool = False
) -> Iterator[Connection]:
    """Open the session that changes roles: the administrator's if the credential names one, else that of a login.

    A rehearsal is not patient: what is full then may be full later, too.
    """
    administrator = access.administrator or login
    database = (access.database if is_rehearsal else patient(context, access)).accepting_md5
    try:
        with database.changing(administrator, change, is_rehearsal=is_rehearsal) as connection:
            yield connection
    except LoginRefused as error:
        raise LoginRefused(
            error.what,
            name=error.name,
            seen=error.seen,
            fix="set the login that changes the roles to what the vault holds; then run again",
            code=error.code,
        ) from None


def choose_username(context: StepContext, access: Access, current: Login) -> str:
    """Return the username of the new login, by the strategy's policy.

    Raises:
        InvalidInput: the username asked for cannot be used.
        Conflict: the current login has no owner role.
        LoginRefused, DatabaseUnreachable, DatabaseStarting: the database cannot be asked.
    """
    wanted = check_username(context.options.new_username)
    match STRATEGIES[context.credential.strategy].username:
        case UsernamePolicy.KEEP:
            return current.username
        case UsernamePolicy.DERIVE:
            return wanted or derive_username(current.username, context.credential.username_suffixes)
        case UsernamePolicy.ALTERNATE:
            with access.database.accepting_md5.connected(current) as connection:
                logins = get_owner_role(connection, access.database, current.username).logins
            return choose_login(current.username, logins, wanted, context.credential.username_suffixes)


def get_owner_role(connection: Connection, database: Database, username: str) -> OwnerRole:
    """Return a login's owner role.

    Raises:
        Conflict: it has none.
    """
    owner = owner_role.find_owner_role(connection, username)
    if owner is None:
        seen = "the login has no setting `role`, or that role can log in itself"
        raise Conflict(Code.NOT_MIGRATED, name=str(database), seen=seen)
    return owner
