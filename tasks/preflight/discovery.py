"""Who else reads the credential: a consumer that nobody listed would be locked out, or keep a mixed login."""

from collections.abc import Iterator

from infra.errors import Code, Refused
from infra.kubernetes.discovery import Reader, find_readers, list_sources
from infra.rotation.preflight import Finding
from tasks.preflight.registry import Question, check


@check
def unlisted_consumers(question: Question) -> Iterator[Finding]:
    """Find workloads that read the credential and are not listed, and listed ones that take it from elsewhere, too."""
    credential = question.credential
    listed = {consumer.key: consumer for consumer in credential.consumers}
    namespaces = {credential.lock_namespace, *(consumer.workload.namespace for consumer in credential.consumers)}
    readers = find_readers(question.access.cluster, credential.vault, credential.secret_names, namespaces)
    for reader in readers:
        consumer = listed.get(str(reader))
        if consumer is None:
            yield Finding(_unlisted(reader), is_blocking=credential.unlisted_consumers == "block")
        elif other := reader.sources - list_sources(consumer):
            seen = f"its pods read {', '.join(map(str, sorted(other)))}"
            yield Finding(Refused(Code.UNLISTED_SOURCE, name=consumer.key, seen=seen))


def _unlisted(reader: Reader) -> Refused:
    seen = f"its pods read {', '.join(map(str, sorted(reader.sources)))}"
    return Refused(Code.UNLISTED_CONSUMER, name=str(reader), seen=seen)
