"""Consumers of one credential in several clusters: what is told apart, what is refused, what is looked at where."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError
from rotation_facts import HEALTHY, OPTIONS, subjects

from infra.credentials import ClusterRef, Consumer, Credential, CsiDelivery, SignIn, Strategy
from infra.errors import AccessDenied, Code, NotFound, Refused
from infra.kubernetes.access import Right
from infra.kubernetes.client import Cluster
from infra.kubernetes.discovery import Reader, Source
from infra.kubernetes.workloads import open_workload
from infra.rotation.observation import ConsumerFacts
from infra.rotation.plan import make_plan
from infra.rotation.preflight import Finding
from infra.rotation.state import RotationState
from infra.rotation.steps import Action
from tasks import context
from tasks.context import Access
from tasks.preflight import discovery, rights
from tasks.preflight.registry import Question
from tasks.preflight.rights import DISCOVERY, ENDPOINT, LOCK, find_missing_roles, list_needs
from tasks.rotation.observe import cluster_named
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

GROUP = DEXTER.cluster.resource_group
NORTH = ClusterRef(name="north", resource_group=GROUP)
SOUTH = ClusterRef(name="north", resource_group="south-rg")
"""Another cluster of the same name."""
CLIENT = consumer_like(DATABASE, name="client", is_database=False)
NORTHERN, SOUTHERN = consumer_like(CLIENT, cluster=NORTH), consumer_like(CLIENT, cluster=SOUTH)
EVERYWHERE = (CLIENT, NORTHERN, SOUTHERN)
"""The same names in three clusters."""
NO_CLUSTER = cast(Cluster, None)


def credential_of(*consumers: Consumer, **changes: object) -> Credential:
    return change(DEXTER, strategy=Strategy.ALTERNATING, consumers=(DATABASE, *consumers), **changes)


def test_the_same_names_in_several_clusters_are_never_the_same_thing() -> None:
    for keys in (
        {consumer.key for consumer in EVERYWHERE},
        {consumer.source_key for consumer in EVERYWHERE},
        {consumer.secret_key for consumer in EVERYWHERE},
        {consumer.placed for consumer in EVERYWHERE},
    ):
        assert len(keys) == len(EVERYWHERE)
    assert (CLIENT.key, CLIENT.placed) == ("deployment dexter/client", CLIENT.workload)
    assert NORTHERN.key == f"deployment dexter/client in cluster north in {GROUP}"
    assert NORTHERN.source_key == f"{CLIENT.source_key} in cluster north in {GROUP}"
    files_alone = CsiDelivery(secret_provider_class="files")
    assert consumer_like(NORTHERN, delivery=files_alone).secret_key == "", "a cluster alone is no Secret"


def test_a_plan_pins_and_restarts_in_each_cluster() -> None:
    base = HEALTHY.consumers[0]
    facts = [ConsumerFacts(consumer, base.uses, base.synced, 1, base.pods) for consumer in EVERYWHERE]
    observed = replace(HEALTHY, consumers=(base, *facts), alternates=1)
    plan = make_plan(credential_of(*EVERYWHERE), OPTIONS.model_copy(update={"sync": "express"}), observed, "r1")
    assert subjects(plan, Action.RESTART) == [consumer.key for consumer in EVERYWHERE]
    assert subjects(plan, Action.PIN) == [consumer.source_key for consumer in EVERYWHERE], "the database shares a class"
    restarted = tuple(replace(each, restarted_for="r1") if each.consumer == CLIENT else each for each in facts)
    state = RotationState(credential_of(*EVERYWHERE), OPTIONS, replace(observed, consumers=restarted), "r1")
    assert [state.consumer(each.placed).restarted_for for each in EVERYWHERE] == ["r1", "", ""]


def test_the_credentials_own_cluster_is_the_same_whether_it_is_named_or_not() -> None:
    own = DEXTER.cluster.model_copy(update={"name": str(DEXTER.cluster.name).upper()})
    [_, consumer] = credential_of(consumer_like(CLIENT, cluster=own)).consumers
    assert consumer == CLIENT


def test_clusters_are_listed_with_their_consumers_and_the_credentials_own_is_the_first() -> None:
    credential = credential_of(NORTHERN)
    assert credential.by_cluster == {DEXTER.cluster: (DATABASE,), NORTH: (NORTHERN,)}
    assert change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(NORTHERN,)).by_cluster[DEXTER.cluster] == ()
    elsewhere = credential_of(consumer_like(NORTHERN, namespace="web"), lock_namespace="locks")
    assert elsewhere.namespaces_in(DEXTER.cluster) == ("locks", "dexter")
    assert elsewhere.namespaces_in(NORTH) == ("web",)


@pytest.mark.parametrize(
    ("consumers", "changes", "words"),
    [
        ((NORTHERN, NORTHERN), {}, r"deployment dexter/client in cluster north in \S+ is listed more than once"),
        (
            (NORTHERN, consumer_like(CLIENT, cluster=NORTH.model_copy(update={"name": "NORTH"}))),
            {},
            "is listed more than once: list each workload once",
        ),
        (
            (CLIENT, consumer_like(CLIENT, cluster=DEXTER.cluster)),
            {},
            "is listed more than once: list each workload once",
        ),
        (
            (consumer_like(DATABASE, name="standby", cluster=NORTH),),
            {},
            "is the database, but the endpoint's Service is in the credential's cluster",
        ),
        (
            (consumer_like(CLIENT, cluster=ClusterRef(sign_in=SignIn.IN_CLUSTER)),),
            {},
            "give all of them name and resource_group",
        ),
        ((NORTHERN,), {"cluster": {"sign_in": "in-cluster"}}, "give all of them name and resource_group"),
        (
            (
                consumer_like(NORTHERN, cluster=NORTH.model_copy(update={"sign_in": SignIn.IN_CLUSTER})),
                consumer_like(SOUTHERN, cluster=SOUTH.model_copy(update={"sign_in": SignIn.IN_CLUSTER})),
            ),
            {},
            "Keyturn runs in one cluster, not in north in .* and north in south-rg: leave sign_in",
        ),
        (
            (
                NORTHERN,
                consumer_like(NORTHERN, name="x", cluster=NORTH.model_copy(update={"sign_in": SignIn.IN_CLUSTER})),
            ),
            {},
            "the cluster north in .* has two ways to sign in: give each mention",
        ),
    ],
)
def test_clusters_that_cannot_work_are_refused(
    consumers: tuple[Consumer, ...], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        credential_of(*consumers, **changes)


def test_a_database_at_a_host_may_be_in_any_of_the_clusters() -> None:
    host = {"kind": "host", "host": "db.example.com"}
    database = consumer_like(DATABASE, cluster=NORTH)
    credential = change(DEXTER, strategy=Strategy.IN_PLACE, endpoint=host, consumers=(database,))
    assert credential.by_cluster[NORTH] == (database,)


def test_the_rights_of_the_lock_and_the_services_are_needed_in_the_credentials_own_cluster_alone() -> None:
    credential = credential_of(NORTHERN)
    own = {need.role for need in list_needs(NO_CLUSTER, credential)}
    north = list(list_needs(NO_CLUSTER, credential, NORTH))
    assert {LOCK, ENDPOINT, DISCOVERY} <= own
    assert {LOCK, ENDPOINT}.isdisjoint(need.role for need in north)
    asked = {str(need.right) for need in north}
    assert "patch deployments 'client'" in asked
    assert "get deployments 'postgres-pod-kv'" not in asked


@pytest.fixture
def access(monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    """Opens a name instead of a cluster: nothing is asked of it here."""
    monkeypatch.setattr(context, "open_cluster", lambda reference, azure: str(reference))
    yield Access(credential_of(NORTHERN, SOUTHERN), cast(Any, None), cast(Any, None))


def test_a_question_about_a_consumer_goes_to_the_cluster_of_that_consumer(access: Access) -> None:
    opened = [str(access.cluster_of(consumer)) for consumer in access.credential.consumers]
    assert opened == [str(DEXTER.cluster), str(NORTH), str(SOUTH)]
    assert str(access.cluster) == str(DEXTER.cluster)


def test_missing_rights_are_asked_in_each_cluster_and_named_with_it(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing_in_north(cluster: Cluster, asked: list[Right]) -> list[Right]:
        return [right for right in asked if str(right) == "patch deployments 'client'" and str(cluster) == str(NORTH)]

    monkeypatch.setattr(rights, "find_missing", missing_in_north)
    monkeypatch.setattr(rights, "get_subject", lambda cluster: f"--user={cluster}")
    [finding] = find_missing_roles(access)
    assert type(finding.error) is AccessDenied
    assert finding.error.code == Code.RIGHTS_MISSING
    assert finding.error.name == f"the namespace dexter in cluster north in {GROUP}"
    assert finding.error.fix.startswith("kubectl --context north create rolebinding keyturn-consumers ")


def test_a_reader_is_unlisted_where_only_its_namesake_in_another_cluster_is_listed(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = dict[str, set[str]]()

    def find(cluster: Cluster, vault: str, secrets: object, namespaces: set[str]) -> tuple[Reader, ...]:
        asked[str(cluster)] = set(namespaces)
        own = CLIENT.every_delivery[0].source
        return (Reader("Deployment", "dexter", "client", frozenset({Source("SecretProviderClass", own)})),)

    monkeypatch.setattr(discovery, "find_readers", find)
    question = cast(Question, SimpleNamespace(access=access, credential=access.credential, works=False))
    found: list[Finding] = list(discovery.unlisted_consumers(question))
    assert [(type(finding.error), finding.error.code, finding.error.name) for finding in found] == [
        (Refused, Code.UNLISTED_CONSUMER, CLIENT.key)
    ], "those of the north and the south are listed, and the one in the credential's own cluster is not"
    assert asked.keys() == {str(DEXTER.cluster), str(NORTH), str(SOUTH)}


def test_the_handle_of_a_workload_in_another_cluster_names_the_cluster() -> None:
    assert str(open_workload(NO_CLUSTER, NORTHERN.placed).ref) == NORTHERN.key


def test_an_error_about_a_consumer_in_another_cluster_names_that_cluster_once() -> None:
    for consumer, name in ((NORTHERN, f"deployments/client in cluster {NORTH}"), (CLIENT, "deployments/client")):
        with pytest.raises(NotFound) as caught, cluster_named(consumer), cluster_named(consumer):
            raise NotFound("The cluster has no such object", name="deployments/client")
        assert caught.value.name == name
