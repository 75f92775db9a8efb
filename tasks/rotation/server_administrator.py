"""The steps of a rotation that let Azure set the password of a Flexible Server's administrator (managed)."""

import threading
import time

from prefect.logging import get_run_logger

from infra.credentials import FlexibleServerEndpoint, Login
from infra.errors import KeyturnError, LoginRefused, NotFound, ServiceFailed, Unverified
from infra.postgres.database import Database
from infra.provisioning.reconciling import wait_until_settled
from infra.provisioning.resources import DatabaseServer
from infra.rotation.steps import Action
from tasks.context import Access
from tasks.rotation.lock import confirm_lock
from tasks.rotation.registry import StepContext, opened_for, performs
from tasks.rotation.staged import read_both, read_restorable

EFFECTIVE_SECONDS, EFFECTIVE_POLL_SECONDS = 60.0, 1.0
"""How long a Flexible Server may refuse a password that Azure has set, and how often it is asked meanwhile."""


@performs(Action.SET_ADMINISTRATOR)
def set_administrator(context: StepContext) -> bool:
    """Set the candidate's password of a Flexible Server's administrator. Returns whether Azure was asked.

    Raises:
        AccessDenied: the caller may not change the server.
        NotFound: there is no such server.
        Unverified: Azure's operation failed or timed out, and had no effect.
        LoginRefused: it succeeded, and the server refuses the password all the same.
    """
    with opened_for(context) as access:
        new, _ = read_both(access, context.rotation_id)
        return _change_administrator(context, access, new, access.database)


@performs(Action.RESTORE_ADMINISTRATOR)
def restore_administrator(context: StepContext) -> bool:
    """Set the administrator's previous password again. Returns whether Azure was asked.

    Raises:
        AccessDenied, NotFound, Unverified, LoginRefused: as `set_administrator`.
        SecretUnusable: the previous version is disabled.
    """
    with opened_for(context) as access:
        _, previous = read_restorable(access, context.rotation_id)
        return _change_administrator(context, access, previous, access.database.accepting_md5)


def _change_administrator(context: StepContext, access: Access, wanted: Login, database: Database) -> bool:
    """Wait for an operation that an earlier run started, then ask Azure if the login still needs the change.

    Azure's answer proves nothing: an operation may fail after it took effect, and a password may take effect after the
    operation succeeded. The login proves it.
    """
    from infra.azure.servers import DatabaseServers  # its part of the SDK takes 50 ms, and few runs need it

    endpoint, logger = context.credential.endpoint, get_run_logger()
    assert isinstance(endpoint, FlexibleServerEndpoint)
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
