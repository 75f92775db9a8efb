"""Former names of what `manifests` has; to be deleted."""

from collections.abc import Sequence

from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.manifests import Applied, apply, find_path

__all__ = ["Applied", "apply", "delete"]


def delete(cluster: Cluster, documents: Sequence[Object]) -> None:
    """Delete the documents' objects, the last one first."""
    for document in reversed(documents):
        cluster.delete(find_path(cluster, document)[0])
