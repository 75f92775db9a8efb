"""Who has sessions of the login: whoever is not listed would lose it without a word."""

import socket
from collections.abc import Collection, Iterator

from infra.credentials import ClusterIpEndpoint, HostEndpoint, LoadBalancerEndpoint
from infra.errors import Code, Refused
from infra.kubernetes.places import find_selected, list_places
from infra.rotation.preflight import Finding
from infra.rotation.sessions import PodPlace, Session, find_unexplained, judge_sessions
from tasks.preflight.registry import Question


def find_unknown_sessions(question: Question, told: Collection[str]) -> Iterator[Finding]:
    """Find sessions of somebody whom the credential does not list.

    The cluster's pods are listed only if there are sessions from elsewhere than where Keyturn and the server are.

    Args:
        question: what the preflight is about.
        told: the workloads that are known already to read the credential unlisted.
    """
    if not question.works:
        return
    credential = question.credential
    glimpses = tuple(filter(None, (question.glimpse, question.administrators_glimpse)))
    merged = dict[int, Session | None]()
    for glimpse in glimpses:
        merged |= {pid: found or merged.get(pid) for pid, found in glimpse.sessions.items()}
    sessions = [found for found in merged.values() if found]
    if hidden := len(merged) - len(sessions):
        seen = f"{hidden} sessions" if hidden > 1 else "1 session"
        yield Finding(Refused(Code.SESSIONS_HIDDEN, name=str(credential.endpoint), seen=seen), is_blocking=False)
    own = frozenset[str]().union(*(glimpse.own for glimpse in glimpses))
    if not find_unexplained(credential, sessions, own):
        return
    pods = tuple(_list_pods(question))
    for finding in judge_sessions(credential, sessions, own | _find_pooler(question, pods), pods):
        if finding.error.name not in told:
            yield finding


def _list_pods(question: Question) -> Iterator[PodPlace]:
    credential = question.credential
    for place in credential.by_cluster:
        other_place = place if place != credential.cluster else None
        yield from list_places(question.access.cluster_at(place), credential.namespaces_in(place), other_place)


def _find_pooler(question: Question, pods: Collection[PodPlace]) -> frozenset[str]:
    """Return where the pooler is: the pods behind its Service, or the addresses of its host."""
    match question.credential.pooler:
        case LoadBalancerEndpoint() | ClusterIpEndpoint() as endpoint:
            return find_selected(question.access.cluster, endpoint.namespace, endpoint.service, pods)
        case HostEndpoint() as endpoint:
            return _resolve(endpoint.host)
        case _:
            return frozenset()


def _resolve(host: str) -> frozenset[str]:
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except OSError:
        return frozenset()
