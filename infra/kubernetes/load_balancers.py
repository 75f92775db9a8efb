"""Former names of what `services` has; to be deleted."""

from infra.kubernetes.services import get_load_balancer, wait_for_load_balancer

__all__ = ["get_load_balancer", "wait_for_load_balancer"]
