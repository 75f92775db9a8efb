"""The steps of a rotation with two logins that take turns. Each asks first if it is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from infra.azure.secrets import Secrets
from infra.errors import LoginRefused, WorkloadUnhealthy
from infra.kubernetes.client import Cluster
from infra.kubernetes.workloads import wait_for_pods_gone
from infra.postgres import alternation
from infra.postgres.addresses import Endpoint
from infra.postgres.alternation import count_sessions, has_role
from infra.postgres.login import prove_login
from infra.postgres.roles import takes_login
from infra.postgres.writing import Change, Connection, changing
from infra.rotation.candidate import Credential
from infra.rotation.passwords import generate_password
from infra.settings import Settings
from infra.targets import Target
from tasks.connections import endpoint_of
from tasks.credentials import get_candidate, read_base, read_candidate, read_newest
from tasks.locking import confirm_lock
from tasks.opening import opened
from tasks.orders import Order, logged
from tasks.policy import step
from tasks.usernames import choose_username, get_owner

FIX = (
    "give the target the secrets of an administrator that may create roles and grant the owner's "
    "(admin_username_secret, admin_password_secret); from PostgreSQL 16 on that needs ADMIN OPTION on the owner role"
)
OPEN = Change("The database does not let the other login be opened", FIX)
REHEARSE = Change(OPEN.what, FIX, is_rehearsal=True)
CLOSE = Change("The database does not let a login be closed", FIX)
REOPEN = Change("The database does not let a login be opened again", FIX)


@step(name="Rehearse opening", run_name="rehearse opening the other login of {order.subject} and take it back")
def rehearse_opening(order: Order) -> None:
    """Do in a transaction that is taken back all that the rotation will ask of the database.

    Raises:
        Refused: the database does not allow it; nothing was changed.
        Conflict, InvalidInput: whose turn it is cannot be told.
    """
    with opened(order) as (vault, cluster):
        endpoint, now = endpoint_of(order.target, cluster), read_newest(vault, order.target)
        other = choose_username(order, cluster, now)
        with _as_keeper(order, vault, endpoint, REHEARSE, now) as connection:
            owner = get_owner(connection, endpoint, now.username)
            alternation.open_login(connection, owner, other, generate_password(), now.username)
            alternation.close_login(connection, now.username)


@step(name="Open the other login", run_name="open the other login of {order.subject} in the database")
def open_login(order: Order) -> bool:
    """Let the candidate log in beside the present login. Returns whether anything was changed.

    Raises:
        Refused: the database does not allow it.
        LoginRefused: it does not take the present login.
        Conflict: the present login becomes no owner role any more.
    """
    with opened(order) as (vault, cluster):
        endpoint = endpoint_of(order.target, cluster)
        new, old = _both(order, vault)
        if takes_login(endpoint, new.username, new.password, Settings()):
            get_run_logger().info("%s takes it already", endpoint)
            return False
        confirm_lock(cluster, order.target, order.rotation_id)
        with _as_keeper(order, vault, endpoint, OPEN, old) as connection:
            owner = get_owner(connection, endpoint, old.username)
            alternation.open_login(connection, owner, new.username, new.password, old.username)
        get_run_logger().info("%s takes both logins; no statement contained a password", endpoint)
        return True


def _wait_for_leavers(order: Order, cluster: Cluster) -> None:
    """Let the pods that a restart replaced end their work: while they terminate they may still log in as before.

    A pod that a lost node holds for ever is not waited for beyond the bound: it works no more.
    """
    timeout = order.options.ready_timeout_seconds
    for one in order.target.consumers:
        if one.is_database or not one.needs_restart:
            continue
        tell = logged(one.workload)
        try:
            wait_for_pods_gone(cluster, one.namespace, one.workload, timeout, tell, terminating_alone=True)
        except WorkloadUnhealthy as error:
            get_run_logger().warning("the former login is closed although %s", error.seen)


@step(name="Close the former login", run_name="close the former login of {order.subject} in the database")
def close_login(order: Order) -> None:
    """Let the former login log in no more, after the new one has proven that it does.

    Raises:
        LoginRefused: the new login does not work; nothing was closed.
        Refused: the database does not allow it.
    """
    with opened(order) as (vault, cluster):
        endpoint = endpoint_of(order.target, cluster)
        new, old = _both(order, vault)
        prove_login(endpoint, new.username, new.password, Settings())
        _wait_for_leavers(order, cluster)
        confirm_lock(cluster, order.target, order.rotation_id)
        with _as_keeper(order, vault, endpoint, CLOSE, new) as connection:
            sessions = count_sessions(connection, old.username)
            alternation.close_login(connection, old.username)
    if sessions:
        get_run_logger().warning("%d sessions of the former login are open and go on", sessions)
    get_run_logger().info("the former login cannot log in any more at %s", endpoint)


@step(name="Open the former login again", run_name="open the former login of {order.subject} in the database again")
def reopen_login(order: Order) -> None:
    """Let the login that was in force before log in again.

    Raises:
        LoginRefused: the database takes neither of the two, or the former one has another password by now.
        Refused: the database does not allow it.
    """
    with opened(order) as (vault, cluster):
        endpoint = endpoint_of(order.target, cluster)
        new, old = _both(order, vault)
        if takes_login(endpoint, old.username, old.password, Settings()):
            return
        confirm_lock(cluster, order.target, order.rotation_id)
        with _as_keeper(order, vault, endpoint, REOPEN, new) as connection:
            alternation.reopen_login(connection, old.username)
        prove_login(endpoint, old.username, old.password, Settings())
        get_run_logger().info("the former login works again at %s", endpoint)


@step(name="Close the failed login", run_name="close the failed login of {order.subject} in the database")
def close_candidate(order: Order) -> None:
    """Let the failed candidate log in no more; a later rotation opens that login anew.

    Raises:
        Refused: the database does not allow it.
    """
    with opened(order) as (vault, cluster):
        endpoint = endpoint_of(order.target, cluster)
        new, old = _both(order, vault)
        confirm_lock(cluster, order.target, order.rotation_id)
        with _as_keeper(order, vault, endpoint, CLOSE, old) as connection:
            if has_role(connection, new.username):
                alternation.close_login(connection, new.username)
        get_run_logger().info("the failed login cannot log in at %s", endpoint)


def _both(order: Order, vault: Secrets) -> tuple[Credential, Credential]:
    """Read the candidate and what was in force before it."""
    candidate, facts = get_candidate(vault, order.target, order.rotation_id)
    return read_candidate(vault, candidate), read_base(vault, order.target, facts)


@contextmanager
def _as_keeper(
    order: Order, vault: Secrets, endpoint: Endpoint, change: Change, login: Credential
) -> Iterator[Connection]:
    """Open the session that changes roles: the administrator's where the target names one, else that of a login."""
    keeper = read_administrator(order.target, vault) or login
    try:
        with changing(endpoint, keeper.username, keeper.password, Settings(), change) as connection:
            yield connection
    except LoginRefused as error:
        raise LoginRefused(
            error.what,
            name=error.name,
            seen=error.seen,
            fix="set the login that changes the roles to what the vault holds; then run again",
            code=error.code,
        ) from None


def read_administrator(target: Target, vault: Secrets) -> Credential | None:
    """Read the login that may create roles, where the target names one."""
    if not target.admin_username_secret:
        return None
    return Credential(vault.read(target.admin_username_secret), vault.read(target.admin_password_secret))
