"""Former names of what `deliveries` has; to be deleted."""

from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries import provider_classes
from infra.kubernetes.deliveries.provider_classes import PINNED_FOR as HELD_FOR
from infra.kubernetes.deliveries.provider_classes import path_of

__all__ = ["HELD_FOR", "ProviderClass", "get_provider_class", "path_of"]


class ProviderClass(provider_classes.ProviderClass):
    """A SecretProviderClass."""

    @property
    def held_for(self) -> str:
        """The rotation that pinned it."""
        return self.pinned_for


def get_provider_class(cluster: Cluster, namespace: str, name: str) -> ProviderClass:
    """Return a SecretProviderClass."""
    return ProviderClass(**vars(provider_classes.get_provider_class(cluster, namespace, name)))
