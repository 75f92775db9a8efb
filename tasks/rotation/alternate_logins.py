"""The steps of a rotation that enable and disable the logins of an owner role, which take turns (alternating)."""

from prefect.logging import get_run_logger

from infra.credentials import Login
from infra.errors import WorkloadUnhealthy
from infra.postgres import acting_role, owner_role
from infra.postgres.database import RoleChange
from infra.rotation.new_logins import generate_password
from infra.rotation.steps import Action
from tasks.context import Access
from tasks.rotation.lock import confirm_lock
from tasks.rotation.logins import admin_session, choose_username, get_owner_role, has_already, patient
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.restarts import wait_for_terminating_pods, warn_of_runs
from tasks.rotation.staged import read_both, read_restorable
from tasks.rotation.validity import find_valid_for

ADMINISTRATOR_FIX = (
    "give the credential an administrator that may create roles and grant the owner role; from PostgreSQL 16 on that "
    "needs ADMIN OPTION on the owner role"
)
ENABLE = RoleChange("The database does not let the alternate login be enabled", ADMINISTRATOR_FIX)
DISABLE = RoleChange("The database does not let a login be disabled", ADMINISTRATOR_FIX)
REENABLE = RoleChange("The database does not let a login be enabled again", ADMINISTRATOR_FIX)


def rehearse_turn(context: StepContext, access: Access, current: Login) -> None:
    """Enable the login that is next and disable the current one, in a transaction that is rolled back.

    Raises:
        Refused: the database does not allow it; nothing was changed.
        Conflict, InvalidInput: it is not clear which login is next.
    """
    alternate = Login(choose_username(context, access, current), generate_password(context.credential.password))
    with admin_session(context, access, ENABLE, current, is_rehearsal=True) as connection:
        owner = get_owner_role(connection, access.database, current.username)
        owner_role.enable_login(connection, owner, alternate, current.username, find_valid_for(access, current))
        owner_role.disable_login(connection, current.username)


@performs(Action.ENABLE_ALTERNATE, retries=0)
def enable_alternate(context: StepContext) -> bool:
    """Let the candidate log in beside the current login, and log in with it. Returns whether anything was changed.

    Raises:
        Refused: the database does not allow it.
        LoginRefused: it refuses the current login, or the new one all the same.
        Conflict: the current login has no owner role any more.
        Unverified: sessions of the new login do not act as the owner role.
    """
    with opened_for(context) as access:
        new, current = read_both(access, context.rotation_id)
        if not (is_enabled := has_already(patient(context, access), new)):
            confirm_lock(access.cluster, context.credential, context.rotation_id)
            valid_for = find_valid_for(access, current, context.rotation_id)
            with admin_session(context, access, ENABLE, current) as connection:
                owner = get_owner_role(connection, access.database, current.username)
                until = owner_role.enable_login(connection, owner, new, current.username, valid_for)
            get_run_logger().info("%s accepts both logins; no statement contained a password", access.database)
            get_run_logger().info(
                "the new password is valid %s", f"until {until:%Y-%m-%d %H:%M} UTC" if until else "for ever"
            )
            patient(context, access).prove(new)
        _prove_acts_as_owner(context, access, new)
        return not is_enabled


def _prove_acts_as_owner(context: StepContext, access: Access, login: Login) -> None:
    database = patient(context, access)
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
        patient(context, access).prove(new)
        _wait_for_replaced_pods(context, access)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with admin_session(context, access, DISABLE, new) as connection:
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
        new, previous = read_restorable(access, context.rotation_id)
        existing = patient(context, access).accepting_md5
        if existing.takes(previous):
            return
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with admin_session(context, access, REENABLE, new) as connection:
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
        new, previous = read_restorable(access, context.rotation_id)
        confirm_lock(access.cluster, context.credential, context.rotation_id)
        with admin_session(context, access, DISABLE, previous) as connection:
            if owner_role.has_role(connection, new.username):
                owner_role.disable_login(connection, new.username)
        get_run_logger().info("the failed login is disabled at %s", access.database)
