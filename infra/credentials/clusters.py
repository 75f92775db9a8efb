"""The clusters that a credential's consumers run in: each is written in one way, and none is meant twice."""

from collections.abc import Iterable, Iterator

from infra.credentials.consumers import Consumer
from infra.credentials.endpoints import ClusterRef, SignIn


def settle(consumers: Iterable[Consumer], own: ClusterRef) -> Iterator[Consumer]:
    """Yield consumers with the cluster of each written in one way, and with none where it is the credential's own.

    Args:
        consumers: as somebody wrote them down.
        own: the credential's cluster.

    Raises:
        ValueError: a cluster may be meant twice, or cannot be signed in to as they say.
    """
    known = {_identify(own): own}
    for consumer in consumers:
        if consumer.cluster is None:
            yield consumer
            continue
        first = known.setdefault(_identify(consumer.cluster), consumer.cluster)
        _refuse_difference(first, consumer)
        yield consumer.model_copy(update={"cluster": None if first == own else first})
    _refuse_unclear(tuple(known.values()))


def _identify(cluster: ClusterRef) -> tuple[str, ...]:
    """Return what tells a cluster from others. Azure's names have no case."""
    return tuple(part.lower() for part in (cluster.resource_group, cluster.name) if part)


def _refuse_difference(first: ClusterRef, consumer: Consumer) -> None:
    if consumer.cluster and consumer.cluster.sign_in is not first.sign_in:
        raise ValueError(f"the cluster {first} has two ways to sign in: give each mention of it the same sign_in")


def _refuse_unclear(clusters: tuple[ClusterRef, ...]) -> None:
    if len(clusters) == 1:
        return
    if not all(cluster.name for cluster in clusters):
        raise ValueError(
            "not each of several clusters is named: give all of them name and resource_group, the credential's own, too"
        )
    inside = [str(cluster) for cluster in clusters if cluster.sign_in is SignIn.IN_CLUSTER]
    if len(inside) > 1:
        raise ValueError(
            f"Keyturn runs in one cluster, not in {' and '.join(inside)}: leave sign_in: in-cluster to one of them"
        )
