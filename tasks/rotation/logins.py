"""The steps of a rotation in the database: prove, rehearse, change and restore logins. Each first looks if it is done.

A login is changed by one of three ways: it or the credential's administrator sets its password (in-place), a session
that may manage roles enables and disables the owner role's logins (alternating), or Azure sets the administrator's
password (managed).

A login that exists may prove itself by md5, the candidate only by SCRAM. Once clients restart, every connection may be
taken for a while: a free one is waited for as long as for the clients themselves.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from prefect.logging import get_run_logger

from infra.azure.servers import DatabaseServers
from infra.credentials import FlexibleServerEndpoint, Login
from infra.errors import (
    Code,
    Conflict,
    KeyturnError,
    LoginRefused,
    NotFound,
    ServiceFailed,
    Unverified,
    WorkloadUnhealthy,
)
from infra.postgres import acting_role, login_parts, owner_role
from infra.postgres.database import Database, RoleChange, alter_password
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
from tasks.rotation.restarts import wait_for_terminating_pods, warn_of_runs
from tasks.rotation.staged import get_candidate, read_both, read_candidate
from tasks.rotation.validity import find_valid_for

ADMINISTRATOR_FIX = (
    "give the credential an administrator that may create roles and grant the owner role; from PostgreSQL 16 on that "
    "needs ADMIN OPTION on the owner role"
)
ENABLE = RoleChange("The database does not let the alternate login be enabled", ADMINISTRATOR_FIX)
DISABLE = RoleChange("The database does not let a login be disabled", ADMINISTRATOR_FIX)
SET_PASSWORD = RoleChange(
    "The database does not let the administrator set the login's password",
    "give the credential an administrator that may: with CREATEROLE, and from PostgreSQL 16 on with ADMIN OPTION on "
    "the login; or none, if the login may set its own password",
)
REENABLE = RoleChange("The database does not let a login be enabled again", ADMINISTRATOR_FIX)
EFFECTIVE_SECONDS, EFFECTIVE_POLL_SECONDS = 60.0, 1.0
"""How long a Flexible Server may refuse a password that Azure has set, and how often it is asked meanwhile."""


@performs(Action.PROVE_CURRENT)
def prove_current(context: StepContext) -> None:
    """Log in with the newest versions.

    Raises:
        LoginRefused: the database refuses them; nothing was changed.
    """
    with opened_for(context) as access:
        access.database.accepting_md5.prove(access.read_newest())


@performs(Action.PROVE_CANDIDATE, retries=0)
def prove_candidate(context: StepContext) -> None:
    """Log in with the candidate.

    Raises:
        LoginRefused: the database refuses it.
    """
    with opened_for(context) as access:
        candidate, _ = get_candidate(access.vault, context.credential, context.rotation_id)
        _patient(context, access).prove(read_candidate(access.vault, candidate))


def _patient(context: StepContext, access: Access) -> Database:
    """The database, of which a free connection is waited for."""
    return access.database.patient(context.options.ready_timeout_seconds)


@performs(Action.REHEARSE)
def rehearse(context: StepContext) -> None:
    """Let the current login or the administrator set the password in a transaction that is rolled back.

    Raises:
        Refused: the database does not let it; nothing was changed.
        LoginRefused: it refuses the current login.
    """
    with opened_for(context) as access:
        current = access.read_newest()
        _set_password(context, access, current, current.password, is_rehearsal=True)


@performs(Action.SET_PASSWORD, retries=0)
def set_password(context: StepContext) -> bool:
    """Set the candidate's password, once the previous one has logged in. Returns whether it was changed.

    Raises:
        LoginRefused: the database refuses both.
        Refused: it does not let the password be changed.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        if _has_already(_patient(context, access), new):
            return False
        return _change_password(
            context, access, previous, new, lambda: find_valid_for(access, previous, context.rotation_id)
        )


@performs(Action.RESTORE_PASSWORD, retries=0)
def restore_password(context: StepContext) -> bool:
    """Set the previous password, once the candidate has logged in. Returns whether it was changed.

    Raises:
        LoginRefused: the database refuses both.
        SecretUnusable: the previous version is disabled.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        database = _patient(context, access).accepting_md5
        return not _has_already(database, previous) and _change_password(context, access, new, previous)


def _has_already(database: Database, wanted: Login) -> bool:
    """Return whether the database accepts a login: then its change was made before."""
    if database.takes(wanted):
        get_run_logger().info("%s accepts it already", database)
        return True
    return False


def _set_password(
    context: StepContext,
    access: Access,
    current: Login,
    password: str,
    valid_for: timedelta | None = None,
    *,
    is_rehearsal: bool = False,
) -> None:
    """Set a login's password, by the credential's administrator if it names one, else by the login itself."""
    if access.credential.administrator is not None:
        with _admin_session(context, access, SET_PASSWORD, current, is_rehearsal=is_rehearsal) as connection:
            alter_password(connection, Login(current.username, password))
            if valid_for is not None:
                login_parts.extend_validity(connection, current.username, valid_for)
    elif is_rehearsal:
        access.database.accepting_md5.rehearse_own_password(current)
    else:
        _patient(context, access).accepting_md5.set_own_password(current, password, valid_for)


def _change_password(
    context: StepContext,
    access: Access,
    current: Login,
    wanted: Login,
    find_length: Callable[[], timedelta | None] = lambda: None,
) -> bool:
    """Change the password from one that works to the other."""
    database = _patient(context, access).accepting_md5
    try:
        database.prove(current)
    except LoginRefused as error:
        raise LoginRefused(
            "The database refuses both the previous and the new password",
            name=str(database),
            seen="somebody else changed the login, or the database was initialised with other values",
            fix="set the login's password in the database to the newest version's; then run again",
            code=error.code,
        ) from None
    _set_password(context, access, current, wanted.password, find_length())
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
        alternate = Login(choose_username(context, access, current), generate_password(context.credential.password))
        with _admin_session(context, access, ENABLE, current, is_rehearsal=True) as connection:
            owner = get_owner_role(connection, access.database, current.username)
            owner_role.enable_login(connection, owner, alternate, current.username, find_valid_for(access, current))
            owner_role.disable_login(connection, current.username)


@performs(Action.ENABLE_ALTERNATE, retries=0)
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
        if not (is_enabled := _has_already(_patient(context, access), new)):
            confirm_lock(access.cluster, context.credential, context.rotation_id)
            valid_for = find_valid_for(access, current, context.rotation_id)
            with _admin_session(context, access, ENABLE, current) as connection:
                owner = get_owner_role(connection, access.database, current.username)
                until = owner_role.enable_login(connection, owner, new, current.username, valid_for)
            get_run_logger().info("%s accepts both logins; no statement contained a password", access.database)
            get_run_logger().info(
                "the new password is valid %s", f"until {until:%Y-%m-%d %H:%M} UTC" if until else "for ever"
            )
        _prove_acts_as_owner(context, access, new)
        return not is_enabled


def _prove_acts_as_owner(context: StepContext, access: Access, login: Login) -> None:
    database = _patient(context, access)
    with database.connected(login) as connection:
        owner = get_owner_role(connection, database, login.username)
    acting_role.prove_acts_as(database, login, owner.name)


@performs(Action.DISABLE_PREVIOUS, retries=0)
def disable_previous(context: StepContext) -> None:
    """Disable the previous login, once the new one has proven that it works.

    Raises:
        LoginRefused: the new login does not work; nothing was disabled.
        Refused: the database does not allow it.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        _patient(context, access).prove(new)
        _wait_for_replaced_pods(context, access)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with _admin_session(context, access, DISABLE, new) as connection:
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
        if consumer.runs_to_an_end:
            warn_of_runs(access.cluster_of(consumer), consumer.placed)
        if not consumer.is_restarted:
            continue
        try:
            bound, cluster = context.options.ready_timeout_seconds, access.cluster_of(consumer)
            wait_for_terminating_pods(cluster, consumer.placed, bound)
        except WorkloadUnhealthy as error:
            get_run_logger().warning("the previous login is disabled although %s", error.seen)


@performs(Action.REENABLE_PREVIOUS, retries=0)
def reenable_previous(context: StepContext) -> None:
    """Let the previous login log in again.

    Raises:
        LoginRefused: the database refuses both, or the previous one has another password by now.
        Refused: the database does not allow it.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        existing = _patient(context, access).accepting_md5
        if existing.takes(previous):
            return
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with _admin_session(context, access, REENABLE, new) as connection:
            owner_role.reenable_login(connection, previous.username)
        existing.prove(previous)
        get_run_logger().info("the previous login works again at %s", access.database)


@performs(Action.DISABLE_CANDIDATE, retries=0)
def disable_candidate(context: StepContext) -> None:
    """Disable the failed candidate's login; a later rotation enables it with another password.

    Raises:
        Refused: the database does not allow it.
    """
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with _admin_session(context, access, DISABLE, previous) as connection:
            if owner_role.has_role(connection, new.username):
                owner_role.disable_login(connection, new.username)
        get_run_logger().info("the failed login is disabled at %s", access.database)


@contextmanager
def _admin_session(
    context: StepContext, access: Access, change: RoleChange, login: Login, *, is_rehearsal: bool = False
) -> Iterator[Connection]:
    """Open the session that changes roles: the administrator's if the credential names one, else that of a login.

    A rehearsal is not patient: what is full then may be full later, too.
    """
    administrator = access.read_administrator() or login
    database = (access.database if is_rehearsal else _patient(context, access)).accepting_md5
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


@performs(Action.SET_ADMINISTRATOR)
def set_administrator(context: StepContext) -> bool:
    """Set the candidate's password of a Flexible Server's administrator. Returns whether Azure was asked.

    Raises:
        AccessDenied: the caller may not change the server.
        NotFound: there is no such server.
        Unverified: Azure's operation failed or timed out, and had no effect.
        LoginRefused: it succeeded, and the server refuses the password all the same.
    """
    return _change_administrator(context, lambda new, previous: new)


@performs(Action.RESTORE_ADMINISTRATOR)
def restore_administrator(context: StepContext) -> bool:
    """Set the administrator's previous password again. Returns whether Azure was asked.

    Raises:
        AccessDenied, NotFound, Unverified, LoginRefused: as `set_administrator`.
        SecretUnusable: the previous version is disabled.
    """
    return _change_administrator(context, lambda new, previous: previous)


def _change_administrator(context: StepContext, choose: Callable[[Login, Login], Login]) -> bool:
    """Wait for an operation that an earlier run started, then ask Azure if the login still needs the change.

    Azure's answer proves nothing: an operation may fail after it took effect, and a password may take effect after the
    operation succeeded. The login proves it.
    """
    endpoint, logger = context.credential.endpoint, get_run_logger()
    assert isinstance(endpoint, FlexibleServerEndpoint)
    with opened_for(context) as access:
        new, previous = read_both(access, context.rotation_id)
        wanted = choose(new, previous)
        database = access.database if wanted == new else access.database.accepting_md5
        servers, server = DatabaseServers(access.azure, endpoint.resource_group), DatabaseServer(name=endpoint.server)
        found = wait_until_settled(lambda: servers.find(server), endpoint.server, logger.info)
        if found is None or found.resource is None:
            where = f"{endpoint.server} in {endpoint.resource_group}"
            raise NotFound("There is no such Flexible Server", name=where, fix="correct the credential's endpoint")
        if database.takes(wanted):
            logger.info("%s accepts it already", endpoint.server)
            return False
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        failure = None
        try:
            servers.set_administrator_password(endpoint.server, wanted.password, logger.info)
        except KeyturnError as error:
            if not isinstance(error, ServiceFailed) and not database.takes(wanted):
                raise
            logger.warning("%s (%s); the login shows whether it took effect", error.what, error.code or error.seen)
            failure = error
        _wait_until_effective(database, wanted, failure)
        logger.info("%s has the password", endpoint.server)
        return True


def _wait_until_effective(database: Database, login: Login, failure: KeyturnError | None) -> None:
    """Wait until the server accepts a password that Azure was asked to set."""
    deadline, pause = time.monotonic() + EFFECTIVE_SECONDS, threading.Event()
    get_run_logger().info("waiting until %s accepts the password, at most %.0f s", database, EFFECTIVE_SECONDS)
    while True:
        left_seconds = deadline - time.monotonic()
        try:
            return database.wait_for(login, max(left_seconds, 0))
        except LoginRefused as error:
            if left_seconds > 0:
                pause.wait(min(EFFECTIVE_POLL_SECONDS, left_seconds))
                continue
            if failure is None:
                raise
            raise Unverified(
                "Azure did not change the administrator's password",
                name=str(database),
                seen=f"the server refuses it {EFFECTIVE_SECONDS:.0f} s after the operation failed",
                fix="see the server's activity log in the portal; then run again",
                code=error.code,
                cause=failure,
            ) from None
