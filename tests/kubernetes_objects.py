"""What tests do with Kubernetes objects that the product does not."""

from collections.abc import Sequence

from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.manifests import find_path


def delete(cluster: Cluster, documents: Sequence[Object]) -> None:
    """Delete the documents' objects, the last first, if they still exist."""
    for document in reversed(documents):
        cluster.delete(find_path(cluster, document)[0])
