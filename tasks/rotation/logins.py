"""The steps of a rotation in the database: prove, rehearse, change and restore logins. Each first looks if it is done.

A login is changed by one of three ways: it sets its own password (in-place), a session that may manage roles enables
and disables the owner role's logins (alternating), or Azure sets the administrator's password (managed).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from prefect.logging import get_run_logger

from infra.azure.servers import DatabaseServers
from infra.credentials import FlexibleServerEndpoint, Login
from infra.errors import Code, Conflict, LoginRefused, NotFound, WorkloadUnhealthy
from infra.postgres import acting_role, owner_role
from infra.postgres.database import Database, RoleChange
from infra.postgres.handshake import Connection
from infra.postgres.owner_role import OwnerRole
from infra.provisioning.reconciling import wait_until_settled
from infra.provisioning.resources import DatabaseServer
from infra.rotation.new_logins import check_username, choose_login, derive_username, generate_password
from infra.rotation.steps import Action, UsernamePolicy
from infra.rotation.strategies import STRATEGIES
from tasks.context import Access
from tasks.rotation.lock import confirm_lock
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.restarts import wait_for_terminating_pods
from tasks.rotation.staged import get_candidate, read_both, read_candidate
from tasks.rotation.validity import find_valid_for

ADMINISTRATOR_FIX = (
    "give the credential an administrator that may create roles and grant the owner role; from PostgreSQL 16 on that "
    "needs ADMIN OPTION on the owner role"
)
ENABLE = RoleChange("The database does not let the alternate login be enabled", ADMINISTRATOR_FIX)
DISABLE = RoleChange("The database does not let a login be disabled", ADMINISTRATOR_FIX)
REENABLE = RoleChange("The database does not let a login be enabled again", ADMINISTRATOR_FIX)


@performs(Action.PROVE_CURRENT)
def prove_current(context: StepContext) -> None:
    """Log in with the newest versions.

    Raises:
        LoginRefused: the database refuses them; nothing was changed.
    """
    with opened_for(context) as access:
        access.database.prove(access.read_newest())


@performs(Action.PROVE_CANDIDATE)
def prove_candidate(context: StepContext) -> None:
    """Log in with the candidate.

    Raises:
        LoginRefused: the database refuses it.
    """
    with opened_for(context) as access:
        candidate, _ = get_candidate(access.vault, context.credential, context.rotation_id)
        access.database.prove(read_candidate(access.vault, candidate))


@performs(Action.REHEARSE)
def rehearse(context: StepContext) -> None:
    """Let the current login change its own password in a transaction that is rolled back.

    Raises:
        Refused: the database does not let it; nothing was changed.
        LoginRefused: it refuses the current login.
    """
    with opened_for(context) as access:
        access.database.rehearse_own_password(access.read_newest())


@performs(Action.SET_PASSWORD)
def set_password(context: StepContext) -> bool:
    """Set the candidate's password, logged in with the previous one. Returns whether it was changed.

    Raises:
        LoginRefused: the database refuses both.
        Refused: it does not let the login change its password.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        return _change_password(access, previous, new, lambda: find_valid_for(access, previous, context.rotation_id))


@performs(Action.RESTORE_PASSWORD)
def restore_password(context: StepContext) -> bool:
    """Set the previous password, logged in with the candidate. Returns whether it was changed.

    Raises:
        LoginRefused: the database refuses both.
        SecretUnusable: the previous version is disabled.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        return _change_password(access, new, previous, lambda: None)


def _change_password(
    access: Access, current: Login, wanted: Login, find_length: Callable[[], timedelta | None]
) -> bool:
    """Change the password from one to the other; which of them works says whether that is done already."""
    database = access.database
    if database.takes(wanted):
        get_run_logger().info("%s accepts it already", database)
        return False
    try:
        database.set_own_password(current, wanted.password, find_length())
    except LoginRefused as error:
        raise LoginRefused(
            "The database refuses both the previous and the new password",
            name=str(database),
            seen="somebody else changed the login, or the database was initialised with other values",
            fix="set the login's password in the database to the newest version's; then run again",
            code=error.code,
        ) from None
    get_run_logger().info("%s has the password; no statement contained it", database)
    return True


@performs(Action.REHEARSE_ALTERNATE)
def rehearse_alternate(context: StepContext) -> None:
    """Do everything that the rotation will ask of the database in a transaction that is rolled back.

    Raises:
        Refused: the database does not allow it; nothing was changed.
        Conflict, InvalidInput: it is not clear which login is next.
    """
    with opened_for(context) as access:
        current = access.read_newest()
        alternate = Login(choose_username(context, access, current), generate_password())
        with _admin_session(access, ENABLE, current, is_rehearsal=True) as connection:
            owner = get_owner_role(connection, access.database, current.username)
            owner_role.enable_login(connection, owner, alternate, current.username, find_valid_for(access, current))
            owner_role.disable_login(connection, current.username)


@performs(Action.ENABLE_ALTERNATE)
def enable_alternate(context: StepContext) -> bool:
    """Let the candidate log in beside the current login. Returns whether anything was changed.

    Raises:
        Refused: the database does not allow it.
        LoginRefused: it refuses the current login.
        Conflict: the current login has no owner role any more.
        Unverified: sessions of the new login do not act as the owner role.
    """
    with opened_for(context) as access:
        new, current = read_both(access, context.rotation_id)
        if is_enabled := access.database.takes(new):
            get_run_logger().info("%s accepts it already", access.database)
        else:
            confirm_lock(access.cluster, context.credential, context.rotation_id)
            valid_for = find_valid_for(access, current, context.rotation_id)
            with _admin_session(access, ENABLE, current) as connection:
                owner = get_owner_role(connection, access.database, current.username)
                until = owner_role.enable_login(connection, owner, new, current.username, valid_for)
            get_run_logger().info("%s accepts both logins; no statement contained a password", access.database)
            get_run_logger().info(
                "the new password is valid %s", f"until {until:%Y-%m-%d %H:%M} UTC" if until else "for ever"
            )
        _prove_acts_as_owner(access, new)
        return not is_enabled


def _prove_acts_as_owner(access: Access, login: Login) -> None:
    with access.database.connected(login) as connection:
        owner = get_owner_role(connection, access.database, login.username)
    acting_role.prove_acts_as(access.database, login, owner.name)


@performs(Action.DISABLE_PREVIOUS)
def disable_previous(context: StepContext) -> None:
    """Disable the previous login, once the new one has proven that it works.

    Raises:
        LoginRefused: the new login does not work; nothing was disabled.
        Refused: the database does not allow it.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        access.database.prove(new)
        _wait_for_replaced_pods(context, access)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with _admin_session(access, DISABLE, new) as connection:
            sessions = owner_role.count_sessions(connection, previous.username)
            owner_role.disable_login(connection, previous.username)
    if sessions:
        get_run_logger().warning("%d open sessions of the previous login continue", sessions)
    get_run_logger().info("the previous login is disabled at %s", access.database)


def _wait_for_replaced_pods(context: StepContext, access: Access) -> None:
    """Let the pods that a restart replaced finish: while they terminate they may still log in as before.

    A pod that a lost node holds for ever is not waited for beyond the bound: it no longer works.
    """
    for consumer in context.credential.consumers:
        if consumer.is_database or not consumer.needs_restart:
            continue
        try:
            wait_for_terminating_pods(access.cluster, consumer.workload, context.options.ready_timeout_seconds)
        except WorkloadUnhealthy as error:
            get_run_logger().warning("the previous login is disabled although %s", error.seen)


@performs(Action.REENABLE_PREVIOUS)
def reenable_previous(context: StepContext) -> None:
    """Let the previous login log in again.

    Raises:
        LoginRefused: the database refuses both, or the previous one has another password by now.
        Refused: the database does not allow it.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        if access.database.takes(previous):
            return
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with _admin_session(access, REENABLE, new) as connection:
            owner_role.reenable_login(connection, previous.username)
        access.database.prove(previous)
        get_run_logger().info("the previous login works again at %s", access.database)


@performs(Action.DISABLE_CANDIDATE)
def disable_candidate(context: StepContext) -> None:
    """Disable the failed candidate's login; a later rotation enables it with another password.

    Raises:
        Refused: the database does not allow it.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with _admin_session(access, DISABLE, previous) as connection:
            if owner_role.has_role(connection, new.username):
                owner_role.disable_login(connection, new.username)
        get_run_logger().info("the failed login is disabled at %s", access.database)


@contextmanager
def _admin_session(
    access: Access, change: RoleChange, login: Login, *, is_rehearsal: bool = False
) -> Iterator[Connection]:
    """Open the session that changes roles: the administrator's if the credential names one, else that of a login."""
    administrator = access.read_administrator() or login
    try:
        with access.database.changing(administrator, change, is_rehearsal=is_rehearsal) as connection:
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
            return wanted or derive_username(current.username)
        case UsernamePolicy.ALTERNATE:
            with access.database.connected(current) as connection:
                logins = get_owner_role(connection, access.database, current.username).logins
            return choose_login(current.username, logins, wanted)


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


@performs(Action.SET_ADMINISTRATOR)
def set_administrator(context: StepContext) -> bool:
    """Set the candidate's password of a Flexible Server's administrator. Returns whether Azure was asked.

    Raises:
        AccessDenied: the caller may not change the server.
        NotFound: there is no such server.
        ServiceFailed: Azure's operation failed or timed out.
    """
    return _change_administrator(context, lambda new, previous: new)


@performs(Action.RESTORE_ADMINISTRATOR)
def restore_administrator(context: StepContext) -> bool:
    """Set the administrator's previous password again. Returns whether Azure was asked.

    Raises:
        AccessDenied, NotFound, ServiceFailed: as `set_administrator`.
        SecretUnusable: the previous version is disabled.
    """
    return _change_administrator(context, lambda new, previous: previous)


def _change_administrator(context: StepContext, choose: Callable[[Login, Login], Login]) -> bool:
    """Wait for an operation that an earlier run started, then ask Azure if the login still needs the change."""
    endpoint, logger = context.credential.endpoint, get_run_logger()
    assert isinstance(endpoint, FlexibleServerEndpoint)
    with opened_for(context) as access:
        wanted = choose(*read_both(access, context.rotation_id))
        servers, server = DatabaseServers(access.azure, endpoint.resource_group), DatabaseServer(name=endpoint.server)
        found = wait_until_settled(lambda: servers.find(server), endpoint.server, logger.info)
        if found is None or found.resource is None:
            where = f"{endpoint.server} in {endpoint.resource_group}"
            raise NotFound("There is no such Flexible Server", name=where, fix="correct the credential's endpoint")
        if access.database.takes(wanted):
            logger.info("%s accepts it already", endpoint.server)
            return False
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        servers.set_administrator_password(endpoint.server, wanted.password, logger.info)
        logger.info("%s has the password", endpoint.server)
        return True
