"""Former names of what `deliveries` has; to be deleted."""

from infra.kubernetes.deliveries.provider_classes import UNPINNED_OBJECTS as OBJECTS_BEFORE
from infra.kubernetes.deliveries.provider_classes import pin_versions as hold
from infra.kubernetes.deliveries.provider_classes import unpin_versions as release

__all__ = ["OBJECTS_BEFORE", "hold", "release"]
