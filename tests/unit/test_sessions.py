"""Whose open sessions are: what their addresses tell, and when those of somebody unlisted block a rotation."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from infra.credentials import ClusterRef, Consumer, Credential, ExternalConsumer, HostEndpoint, Strategy
from infra.errors import Code, Refused
from infra.rotation.preflight import Finding
from infra.rotation.sessions import PodPlace, Session, describe_sessions, find_unexplained, judge_sessions
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

T0 = datetime(2026, 11, 27, 10, 32, tzinfo=UTC)
CLIENT = consumer_like(DATABASE, name="client", is_database=False)
WORKER = consumer_like(CLIENT, name="worker")
LISTED = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(DATABASE, CLIENT))
KEYTURN, NODE, OTHER_NODE, CLIENTS, UNKNOWN, GATEWAY = (
    *("10.0.0.9", "10.0.0.4", "10.0.0.5"),
    *("10.244.0.7", "198.51.100.8", "203.0.113.7"),
)
BILLING = ExternalConsumer(name="billing company", owner="team orders")


def pod(workload: str, *addresses: str, node: str = NODE) -> PodPlace:
    return PodPlace(workload, frozenset(addresses), frozenset({node}))


PODS = (
    pod(DATABASE.key, "10.244.0.2", node=OTHER_NODE),
    pod(CLIENT.key, CLIENTS),
    pod("deployment shop/web", "10.244.0.20", "fd00::20"),
    pod("daemonset kube-system/agent", NODE),
)


def session(address: str, application: str = "", minutes: int = 0) -> Session:
    return Session(address, application, T0 + timedelta(minutes=minutes))


def judge(
    *addresses: str, credential: Credential = LISTED, pods: Sequence[PodPlace] = PODS
) -> list[tuple[Code, str, bool]]:
    """Return code, seen and whether it blocks of each finding about one session from each of these addresses."""
    return [
        (Code(finding.error.code), finding.error.seen, finding.is_blocking)
        for finding in judge_full(*addresses, credential=credential, pods=pods)
    ]


def judge_full(*addresses: str, credential: Credential = LISTED, pods: Sequence[PodPlace] = PODS) -> list[Finding]:
    sessions = [session(address) for address in addresses]
    findings = list(judge_sessions(credential, sessions, {KEYTURN}, pods))
    assert {type(finding.error) for finding in findings} <= {Refused}
    return findings


def from_(address: str) -> str:
    return f"1 session from {address} since 2026-11-27 10:32 UTC"


@pytest.mark.parametrize("address", ["", "127.0.0.1", "::1", "127.0.0.6", "::6", KEYTURN, CLIENTS, "10.244.0.2"])
def test_who_is_listed_is_known_and_so_is_whoever_sits_beside_keyturn_or_the_server(address: str) -> None:
    assert judge(CLIENTS, address) == []


def test_an_address_of_nobody_blocks_once_every_listed_client_is_seen_at_its_own() -> None:
    (finding,) = judge_full(CLIENTS, UNKNOWN)
    assert (finding.error.code, finding.error.name, finding.is_blocking) == (
        Code.UNKNOWN_SESSIONS,
        str(LISTED.endpoint),
        True,
    )
    assert finding.error.seen == from_(UNKNOWN)
    assert "client_addresses" in finding.error.fix


def test_it_blocks_too_where_no_listed_client_has_a_pod() -> None:
    assert judge(UNKNOWN, pods=PODS[:1]) == [(Code.UNKNOWN_SESSIONS, from_(UNKNOWN), True)]


def test_it_is_a_warning_while_a_listed_client_may_be_behind_it() -> None:
    both = change(LISTED, consumers=(DATABASE, CLIENT, WORKER))
    behind = f"{from_(GATEWAY)}; maybe those of {WORKER.key}, which is not seen at an address of its own"
    pods = (*PODS, pod(WORKER.key, "10.244.0.8"), pod(WORKER.key, "10.244.0.9"))
    assert judge(CLIENTS, GATEWAY, credential=both, pods=pods) == [(Code.UNKNOWN_SESSIONS, behind, False)]
    assert judge(CLIENTS, "10.244.0.9", GATEWAY, credential=both, pods=pods) == [
        (Code.UNKNOWN_SESSIONS, from_(GATEWAY), True)
    ], "one of its pods is seen, which is enough"


def test_an_address_that_the_credential_names_is_the_clients_and_what_is_left_blocks() -> None:
    named = change(LISTED, client_addresses=("203.0.113.0/24", "2001:db8::1"))
    assert judge(GATEWAY, credential=named) == []
    assert judge("2001:db8::1", credential=named) == []
    assert judge(GATEWAY, UNKNOWN, credential=named) == [(Code.UNKNOWN_SESSIONS, from_(UNKNOWN), True)]
    ((_, seen, is_blocking),) = judge(UNKNOWN, credential=named)
    assert CLIENT.key in seen
    assert not is_blocking


def test_a_pod_of_a_workload_that_nobody_listed_blocks_by_its_name_whoever_else_is_not_seen() -> None:
    for address in ("10.244.0.20", "fd00::20"):
        (finding,) = judge_full(address)
        assert (finding.error.code, finding.error.name, finding.is_blocking) == (
            Code.UNLISTED_CONSUMER,
            "deployment shop/web",
            True,
        )
        assert finding.error.seen == f"its pods have {from_(address)}"
        assert "pooler" in finding.error.fix


def test_where_two_workloads_have_the_address_one_that_is_listed_explains_it_and_others_are_both_named() -> None:
    twice = (*PODS, pod("deployment shop/web in cluster north in n", CLIENTS, "10.244.0.20"))
    assert judge(CLIENTS, pods=twice) == []
    (finding,) = judge_full("10.244.0.20", pods=twice)
    assert finding.error.name == "deployment shop/web or deployment shop/web in cluster north in n"


def test_a_pod_that_is_ending_is_nobodys() -> None:
    assert judge("10.244.0.30", pods=(*PODS, pod("", "10.244.0.30"))) == []


def test_a_nodes_address_is_a_warning_where_no_listed_client_may_be_behind_it() -> None:
    assert judge(NODE) == []
    assert judge(CLIENTS, NODE, OTHER_NODE) == [
        (Code.UNKNOWN_SESSIONS, f"{from_(NODE)}, {from_(OTHER_NODE)}: a node's address", False)
    ]


def test_a_listed_client_on_the_nodes_network_is_seen_at_its_nodes_address() -> None:
    pods = (*PODS[:1], pod(CLIENT.key, NODE))
    assert judge(NODE, pods=pods) == []
    assert judge(NODE, UNKNOWN, pods=pods) == [(Code.UNKNOWN_SESSIONS, from_(UNKNOWN), True)]


def test_a_credential_without_consumers_is_read_from_the_vault_alone_so_nobody_is_unlisted_for_sure() -> None:
    assert judge(UNKNOWN, credential=change(LISTED, consumers=())) == [(Code.UNKNOWN_SESSIONS, from_(UNKNOWN), False)]


def test_behind_a_pooler_anybody_may_be() -> None:
    pooled = change(LISTED, pooler=HostEndpoint(kind="host", host="pooler.example"))
    behind = f"{from_(UNKNOWN)}; maybe those of the pooler pooler.example:5432"
    assert judge(CLIENTS, UNKNOWN, credential=pooled) == [(Code.UNKNOWN_SESSIONS, behind, False)]
    named = change(pooled, client_addresses=(GATEWAY,))
    assert judge(GATEWAY, UNKNOWN, credential=named) == [(Code.UNKNOWN_SESSIONS, from_(UNKNOWN), True)]


def test_an_external_consumer_explains_its_addresses_and_any_while_it_has_none() -> None:
    outside = change(LISTED, strategy=Strategy.ALTERNATING, grace="24h", external_consumers=(BILLING,))
    behind = f"{from_(UNKNOWN)}; maybe those of billing company, whose addresses are not named"
    assert judge(CLIENTS, UNKNOWN, credential=outside) == [(Code.UNKNOWN_SESSIONS, behind, False)]
    named = BILLING.model_copy(update={"addresses": (UNKNOWN,)})
    assert judge(CLIENTS, UNKNOWN, credential=change(outside, external_consumers=(named,))) == []
    assert judge(CLIENTS, GATEWAY, credential=change(outside, external_consumers=(named,))) == [
        (Code.UNKNOWN_SESSIONS, from_(GATEWAY), True)
    ]


@pytest.mark.parametrize("addresses", [(CLIENTS, UNKNOWN), (CLIENTS, "10.244.0.20")])
def test_who_accepts_unlisted_consumers_is_warned(addresses: tuple[str, ...]) -> None:
    ((_, _, is_blocking),) = judge(*addresses, credential=change(LISTED, unlisted_consumers="warn"))
    assert not is_blocking


def test_only_sessions_from_elsewhere_need_the_clusters_pods() -> None:
    sessions = [session(address) for address in ("", KEYTURN, GATEWAY, CLIENTS)]
    named = change(LISTED, client_addresses=(GATEWAY,))
    assert find_unexplained(named, sessions, {KEYTURN}) == (session(CLIENTS),)


def test_sessions_are_told_by_address_with_their_names_and_since_when() -> None:
    told = describe_sessions(
        [
            session("10.1.0.2", "psql", 5),
            session("10.1.0.2", "", 1),
            session("10.1.0.2", "jobs", 9),
            session("10.1.0.1"),
        ]
    )
    assert told == (
        "1 session from 10.1.0.1 since 2026-11-27 10:32 UTC, "
        "3 sessions from 10.1.0.2 (jobs and psql) since 2026-11-27 10:33 UTC"
    )
    many = describe_sessions(session(f"10.1.0.{number}") for number in range(1, 8))
    assert many.startswith("1 session from 10.1.0.1 since")
    assert many.endswith("10.1.0.5 since 2026-11-27 10:32 UTC, and those of 2 more addresses")
    assert "more" not in describe_sessions(session(f"10.1.0.{number}") for number in range(1, 6))


@pytest.mark.parametrize("text", ["", "10.1.2", "host.example", "10.1.2.3/24", "10.1.2.0/33"])
def test_what_is_no_address_or_network_is_refused(text: str) -> None:
    for make in (
        lambda: change(LISTED, client_addresses=(text,)),
        lambda: ExternalConsumer(name="x", owner="y", addresses=(text,)),
    ):
        with pytest.raises(ValidationError, match="is neither an IP address nor a network: write"):
            make()


def test_a_consumer_in_another_cluster_is_listed_by_its_cluster() -> None:
    away: Consumer = consumer_like(CLIENT, cluster=ClusterRef(name="north", resource_group="n"))
    credential = change(LISTED, consumers=(DATABASE, away))
    pods = (pod(credential.consumers[1].key, "10.9.0.7"), pod(CLIENT.key, CLIENTS))
    assert judge("10.9.0.7", credential=credential, pods=pods) == []
    assert [code for code, _, _ in judge(CLIENTS, credential=credential, pods=pods)] == [Code.UNLISTED_CONSUMER]
