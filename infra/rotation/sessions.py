"""Whose the login's open sessions are, as far as their addresses tell. Pure.

An address tells much or little. That of a pod names the workload, listed or not. A node's address may be that of its
pods, of whoever comes through a Service, or of both. Any other is outside the clusters: of somebody unlisted, or of a
NAT gateway or pooler that listed clients come through. So it blocks a rotation only if no client that is listed can be
behind it: each is seen at an address of its own, and no pooler stands between.

    for finding in judge_sessions(credential, sessions, own={"10.0.0.9"}, pods=pods):
        print(finding)      # blocking: Sessions of the login come from where no listed consumer is ...
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address, ip_network

from infra.credentials import Credential
from infra.errors import Code, Refused
from infra.rotation.preflight import Finding

BESIDE_SERVER = frozenset({"", "127.0.0.1", "::1", "127.0.0.6", "::6"})
"""A socket, a process or pooler beside the server, and a service mesh's proxy in its pod (Istio's is 127.0.0.6)."""
_MOST_ADDRESSES = 5
_POOLER_FIX = (
    "Add it to the credential's consumers; a pooler that passes logins on is named as the credential's pooler. If it "
    "may miss a rotation, set unlisted_consumers to warn"
)


@dataclass(frozen=True)
class Session:
    """An open session of the login.

    Args:
        address: where it comes from, as the server sees it; empty: a socket.
        application: what the client calls itself; empty if it does not say.
        since: when it began, in UTC.
    """

    address: str
    application: str
    since: datetime


@dataclass(frozen=True)
class PodPlace:
    """Where a pod is on the network.

    Args:
        workload: whose it is, with the cluster if that is not the credential's own; empty if it is ending.
        addresses: its own; its node's, if it is on the node's network.
        nodes: its node's.
        namespace: its namespace.
        labels: its labels.
    """

    workload: str
    addresses: frozenset[str]
    nodes: frozenset[str] = frozenset()
    namespace: str = ""
    labels: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)


def find_unexplained(credential: Credential, sessions: Iterable[Session], own: Collection[str]) -> tuple[Session, ...]:
    """Return the sessions from addresses that neither the credential names nor Keyturn and the server have.

    Args:
        credential: whose login it is.
        sessions: the login's.
        own: the addresses of Keyturn, the server and the pooler.
    """
    external = (network for consumer in credential.external_consumers for network in consumer.addresses)
    named = (*credential.client_addresses, *external)
    known = BESIDE_SERVER.union(own)
    return tuple(found for found in sessions if found.address not in known and not _is_in(found.address, named))


def judge_sessions(
    credential: Credential, sessions: Sequence[Session], own: Collection[str], pods: Collection[PodPlace]
) -> Iterator[Finding]:
    """Find the sessions of somebody whom the credential does not list.

    Args:
        credential: whose login it is.
        sessions: the login's.
        own: the addresses of Keyturn, the server and the pooler.
        pods: the pods of the credential's clusters, without finished ones.
    """
    owners, at_nodes = defaultdict[str, set[str]](set), set[str]()
    for pod in pods:
        at_nodes |= pod.nodes
        for address in pod.addresses:
            owners[address].add(pod.workload)
    known = {"", *(consumer.key for consumer in credential.consumers)}
    by_workload, behind_nodes, outside = defaultdict[str, list[Session]](list), list[Session](), list[Session]()
    for found in find_unexplained(credential, sessions, own):
        workloads = owners[found.address]
        if workloads & known:
            continue
        if found.address in at_nodes:
            behind_nodes.append(found)
        elif workloads:
            by_workload[" or ".join(sorted(workloads))].append(found)
        else:
            outside.append(found)
    is_blocking = credential.unlisted_consumers == "block"
    for workload, its in sorted(by_workload.items()):
        seen = f"its pods have {describe_sessions(its)}"
        yield Finding(Refused(Code.UNLISTED_CONSUMER, name=workload, seen=seen, fix=_POOLER_FIX), is_blocking)
    unseen = tuple(_list_unseen(credential, sessions, pods))
    if behind_nodes and not unseen:
        seen = f"{describe_sessions(behind_nodes)}: a node's address"
        yield _unknown(credential, seen, is_blocking=False)
    if outside:
        behind = f"; maybe those of {', '.join(unseen)}" if unseen else ""
        is_certain = bool(credential.consumers) and not unseen
        yield _unknown(credential, describe_sessions(outside) + behind, is_blocking=is_blocking and is_certain)


def _unknown(credential: Credential, seen: str, *, is_blocking: bool) -> Finding:
    return Finding(Refused(Code.UNKNOWN_SESSIONS, name=str(credential.endpoint), seen=seen), is_blocking)


def _list_unseen(credential: Credential, sessions: Sequence[Session], pods: Collection[PodPlace]) -> Iterator[str]:
    """Yield who is named by the credential and may be behind an address that tells nothing."""
    seen = {found.address for found in sessions}
    if not any(_is_in(address, credential.client_addresses) for address in seen):
        for consumer in credential.consumers:
            its = [pod for pod in pods if pod.workload == consumer.key]
            if its and not consumer.is_database and not any(pod.addresses & seen for pod in its):
                yield f"{consumer.key}, which is not seen at an address of its own"
        if credential.pooler:
            yield f"the pooler {credential.pooler}"
    for external in credential.external_consumers:
        if not external.addresses:
            yield f"{external.name}, whose addresses are not named"


def _is_in(address: str, networks: Iterable[str]) -> bool:
    return bool(address) and any(ip_address(address) in ip_network(network) for network in networks)


def describe_sessions(sessions: Iterable[Session]) -> str:
    """Say how many there are from which address, what they call themselves, and since when."""
    by_address = defaultdict[str, list[Session]](list)
    for found in sessions:
        by_address[found.address].append(found)
    texts = [_describe(address, found) for address, found in sorted(by_address.items())]
    more = len(texts) - _MOST_ADDRESSES
    return ", ".join(texts[:_MOST_ADDRESSES]) + (f", and those of {more} more addresses" if more > 0 else "")


def _describe(address: str, sessions: Sequence[Session]) -> str:
    names = " and ".join(sorted({found.application for found in sessions if found.application}))
    count = f"{len(sessions)} sessions" if len(sessions) > 1 else "1 session"
    since = min(found.since for found in sessions)
    return f"{count} from {address}{f' ({names})' if names else ''} since {since:%Y-%m-%d %H:%M} UTC"
