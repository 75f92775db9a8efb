"""How the new login is called, by strategy; for two that take turns the database says whose turn it is."""

from infra.errors import Conflict
from infra.kubernetes.client import Cluster
from infra.postgres.addresses import Endpoint
from infra.postgres.alternation import Owner, find_owner
from infra.postgres.connection import connected
from infra.postgres.writing import Connection
from infra.rotation.candidate import Credential
from infra.rotation.steps import Username
from infra.rotation.strategies import STRATEGIES
from infra.rotation.usernames import check_username, choose_login, derive_username
from infra.settings import Settings
from tasks.connections import endpoint_of
from tasks.orders import Order


def choose_username(order: Order, cluster: Cluster, present: Credential) -> str:
    """Return the name of the new login.

    Raises:
        InvalidInput: the name asked for cannot be used.
        Conflict: the present login becomes no owner role.
        LoginRefused, DatabaseUnreachable, DatabaseStarting: the database cannot be asked.
    """
    wanted = check_username(order.options.new_username)
    match STRATEGIES[order.target.strategy].username:
        case Username.STAYS:
            return present.username
        case Username.DERIVED:
            return wanted or derive_username(present.username)
        case Username.OTHER:
            endpoint = endpoint_of(order.target, cluster)
            with connected(endpoint, present.username, present.password, Settings()) as connection:
                logins = get_owner(connection, endpoint, present.username).logins
            return choose_login(present.username, logins, wanted)


def get_owner(connection: Connection, endpoint: Endpoint, login: str) -> Owner:
    """Return the owner role that a login becomes.

    Raises:
        Conflict: it becomes none.
    """
    owner = find_owner(connection, login)
    if owner is None:
        raise Conflict(
            "The login becomes no owner role",
            name=str(endpoint),
            seen="it has no setting `role`, or that role can log in itself",
            fix="run the flow migrate for this target",
            code="NotMigrated",
        )
    return owner
