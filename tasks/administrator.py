"""A Flexible Server's administrator, whose password Azure changes. Each step asks first if it is done."""

from collections.abc import Callable

from prefect.logging import get_run_logger

from infra.azure.operations import wait_until_settled
from infra.azure.servers import find_server, set_administrator_password
from infra.errors import NotFound
from infra.postgres.roles import takes_login
from infra.rotation.candidate import Credential
from infra.settings import Settings
from tasks.connections import endpoint_of
from tasks.credentials import get_candidate, read_base, read_candidate
from tasks.locking import confirm_lock
from tasks.opening import opened
from tasks.orders import Order
from tasks.policy import step


@step(
    name="Set the administrator",
    run_name="give the administrator of {order.subject} its new password through Azure",
)
def set_administrator(order: Order) -> bool:
    """Give the administrator the candidate's password. Returns whether Azure was asked.

    Raises:
        AccessDenied: the caller may not change the server.
        NotFound: there is no such server.
        ServiceFailed: Azure's operation failed or does not end.
    """
    return _change(order, lambda new, old: new)


@step(
    name="Restore the administrator",
    run_name="give the administrator of {order.subject} its old password back through Azure",
)
def restore_administrator(order: Order) -> bool:
    """Give the administrator the password that was in force before. Returns whether Azure was asked.

    Raises:
        AccessDenied, NotFound, ServiceFailed: as `set_administrator`.
        SecretUnusable: the old version is disabled.
    """
    return _change(order, lambda new, old: old)


def _change(order: Order, choose: Callable[[Credential, Credential], Credential]) -> bool:
    """Wait for an operation that an earlier run began, then ask Azure where the login is still to be changed."""
    target, settings, logger = order.target, Settings(), get_run_logger()
    with opened(order) as (vault, cluster):
        candidate, facts = get_candidate(vault, target, order.rotation_id)
        wanted = choose(read_candidate(vault, candidate), read_base(vault, target, facts))
        server, group = target.server, target.resource_group
        found = wait_until_settled(lambda: find_server(server, group, settings), server, logger.info)
        if found is None or found.resource is None:
            raise NotFound("There is no such Flexible Server", name=f"{server} in {group}", fix="correct target.server")
        if takes_login(endpoint_of(target, cluster), wanted.username, wanted.password, settings):
            logger.info("%s takes it already", server)
            return False
        confirm_lock(cluster, target, order.rotation_id)
        set_administrator_password(server, wanted.password, group, settings, logger.info)
        logger.info("%s has the password", server)
        return True
