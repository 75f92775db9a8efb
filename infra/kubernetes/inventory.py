"""Former names of what `pods` and `services` have; to be deleted."""

from infra.kubernetes.pods import list_pods
from infra.kubernetes.services import list_service_accounts, list_services

__all__ = ["list_pods", "list_service_accounts", "list_services"]
