"""Holding the consumers' classes while username and password are written one after the other."""

from prefect.logging import get_run_logger

from infra.kubernetes import holding
from tasks.credentials import get_candidate
from tasks.opening import opened
from tasks.orders import Order
from tasks.policy import step


@step(name="Hold the versions", run_name="hold {order.subject} at the present versions")
def hold(order: Order) -> None:
    """Let a SecretProviderClass mount the versions that were in force when the rotation was staged.

    Raises:
        AccessDenied: the caller may not change the class.
    """
    namespace, name = order.subject.split("/")
    with opened(order) as (vault, cluster):
        _, facts = get_candidate(vault, order.target, order.rotation_id)
        target = order.target
        versions = {target.username_secret: facts.base_username, target.password_secret: facts.base_password}
        holding.hold(cluster, namespace, name, versions, order.rotation_id)
    get_run_logger().info("%s mounts the versions before until both secrets are written", order.subject)


@step(name="Release the versions", run_name="let {order.subject} follow the newest versions again")
def release(order: Order) -> None:
    """Let a SecretProviderClass mount what it did before it was held."""
    namespace, name = order.subject.split("/")
    with opened(order) as (_, cluster):
        holding.release(cluster, namespace, name)
    get_run_logger().info("%s follows the newest versions again", order.subject)
