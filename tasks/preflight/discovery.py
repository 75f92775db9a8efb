"""Who else reads the credential: a consumer that nobody listed would be locked out, or keep a mixed login."""

from collections.abc import Iterator

from infra.credentials import ClusterRef, in_cluster
from infra.errors import Code, Refused
from infra.kubernetes.discovery import Reader, find_readers, list_sources
from infra.rotation.preflight import Finding
from tasks.preflight.registry import Question, check
from tasks.preflight.sessions import find_unknown_sessions


@check
def unlisted_consumers(question: Question) -> Iterator[Finding]:
    """Find who reads the credential or has sessions of its login unlisted, and who is listed and takes it elsewhere."""
    told = set[str]()
    for place in question.credential.by_cluster:
        for finding in _find_in(question, place):
            told.add(finding.error.name)
            yield finding
    yield from find_unknown_sessions(question, told)


def _find_in(question: Question, place: ClusterRef) -> Iterator[Finding]:
    credential, other_place = question.credential, place if place != question.credential.cluster else None
    listed = {consumer.key: consumer for consumer in credential.by_cluster[place]}
    namespaces = credential.namespaces_in(place)
    cluster = question.access.cluster_at(place)
    for reader in find_readers(cluster, credential.vault, credential.secret_names, namespaces):
        name = in_cluster(str(reader), other_place)
        consumer = listed.get(name)
        if consumer is None:
            yield Finding(_unlisted(reader, name), is_blocking=credential.unlisted_consumers == "block")
        elif other := reader.sources - list_sources(consumer):
            seen = f"its pods read {', '.join(map(str, sorted(other)))}"
            yield Finding(Refused(Code.UNLISTED_SOURCE, name=consumer.key, seen=seen))


def _unlisted(reader: Reader, name: str) -> Refused:
    seen = f"its pods read {', '.join(map(str, sorted(reader.sources)))}"
    return Refused(Code.UNLISTED_CONSUMER, name=name, seen=seen)
