"""The steps of a rotation inside the database: the login changes its own password. Each asks first if it is done."""

from prefect.logging import get_run_logger

from infra.errors import LoginRefused
from infra.postgres.addresses import Endpoint
from infra.postgres.login import prove_login
from infra.postgres.roles import rehearse as rehearse_change
from infra.postgres.roles import set_password, takes_login
from infra.rotation.candidate import Credential
from infra.settings import Settings
from tasks.connections import endpoint_of
from tasks.credentials import get_candidate, read_base, read_candidate, read_newest
from tasks.opening import opened
from tasks.orders import Order
from tasks.policy import step


@step(name="Rehearse", run_name="rehearse the change of {order.subject} in the database and take it back")
def rehearse(order: Order) -> None:
    """Let the present login change its own password in a transaction that is taken back.

    Raises:
        Refused: the database does not let it; nothing was changed.
        LoginRefused: it does not take the present login.
    """
    with opened(order) as (vault, cluster):
        now = read_newest(vault, order.target)
        rehearse_change(endpoint_of(order.target, cluster), now.username, now.password, Settings())


@step(name="Set the login", run_name="give the login of {order.subject} its new password in the database")
def set_login(order: Order) -> bool:
    """Give the login the candidate's password, logged in with the one that was in force. Returns whether it changed.

    Raises:
        LoginRefused: the database takes neither of the two.
        Refused: it does not let the login change its password.
    """
    with opened(order) as (vault, cluster):
        candidate, facts = get_candidate(vault, order.target, order.rotation_id)
        new, old = read_candidate(vault, candidate), read_base(vault, order.target, facts)
        return _change(endpoint_of(order.target, cluster), old, new)


@step(name="Prove the new login", run_name="prove that the new login of {order.subject} works")
def prove_candidate(order: Order) -> None:
    """Log in afresh with the candidate.

    Raises:
        LoginRefused: the database does not take it.
    """
    with opened(order) as (vault, cluster):
        new = read_candidate(vault, get_candidate(vault, order.target, order.rotation_id)[0])
        prove_login(endpoint_of(order.target, cluster), new.username, new.password, Settings())


@step(name="Restore the login", run_name="give the login of {order.subject} its old password back in the database")
def restore_login(order: Order) -> bool:
    """Give the login the password that was in force before, logged in with the candidate. Returns whether it changed.

    Raises:
        LoginRefused: the database takes neither of the two.
        SecretUnusable: the old version is disabled.
    """
    with opened(order) as (vault, cluster):
        candidate, facts = get_candidate(vault, order.target, order.rotation_id)
        new, old = read_candidate(vault, candidate), read_base(vault, order.target, facts)
        return _change(endpoint_of(order.target, cluster), new, old)


def _change(endpoint: Endpoint, present: Credential, wanted: Credential) -> bool:
    """Change the password from one to the other; which of them works says whether that is done already."""
    settings = Settings()
    if takes_login(endpoint, wanted.username, wanted.password, settings):
        get_run_logger().info("%s takes it already", endpoint)
        return False
    try:
        set_password(endpoint, present.username, present.password, wanted.password, settings)
    except LoginRefused as error:
        raise LoginRefused(
            "The database takes neither the old nor the new password",
            name=str(endpoint),
            seen="somebody else changed the login, or the database began anew with other values",
            fix="set the login's password in the database to the newest version's; then run again",
            code=error.code,
        ) from None
    get_run_logger().info("%s has the password; no statement contained it", endpoint)
    return True
