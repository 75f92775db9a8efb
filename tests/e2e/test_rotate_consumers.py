"""Several workloads in several namespaces share a credential: each gets what it uses, and restarts only if it must."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from clients import CLIENT, SECONDS, manifest

from infra.azure.identities import FederatedCredentials
from infra.credentials import Consumer, CsiDelivery, Strategy
from infra.kubernetes.deliveries.provider_classes import path_of
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret
from infra.kubernetes.pods import run_in_pod
from infra.kubernetes.workloads import open_workload
from infra.provisioning.wanted import federation
from infra.rotation.execution import Verdict
from testing.rotating import NAMESPACE, STACK, World, rotate
from testing.rotator import bind
from testing.walkthrough import DATABASE, DEXTER, change, consumer_like

OBJECT = "objectName: {}\nobjectType: secret\nobjectVersion: ''\n"
OWN = CsiDelivery(secret_provider_class="database", synced_secret="login")
"""A SecretProviderClass and a Secret of its own."""
WEB = consumer_like(CLIENT, namespace="web", delivery=OWN)
JOBS = consumer_like(CLIENT, namespace="jobs", delivery=OWN, needs_restart=False)
AUDIT = consumer_like(CLIENT, namespace="audit", delivery=OWN)
CLIENTS = (WEB, JOBS, AUDIT)
KEYS = {
    "web": {"USERNAME": "username", "PASSWORD": "password"},
    "jobs": {"PASSWORD": "password"},
    "audit": {"USERNAME": "username"},
}
"""Namespace -> key of its Secret -> the vault's secret."""
SHARED = change(DEXTER, strategy=Strategy.IN_PLACE, consumers=(DATABASE, *CLIENTS))


@contextmanager
def running(world: World, consumer: Consumer, keys: Mapping[str, str]) -> Iterator[None]:
    """A namespace whose service account is federated with the stack's identity, and a client in it."""
    cluster, namespace = world.cluster, consumer.workload.namespace
    base, delivery = f"/api/v1/namespaces/{namespace}", consumer.delivery
    trusts = FederatedCredentials(world.azure, STACK.resource_group)
    subject = f"system:serviceaccount:{namespace}:{STACK.service_account}"
    trusts.put(replace(trusts.resolve(federation(STACK)), name=f"federated-{namespace}", subject=subject))
    cluster.request("POST", "/api/v1/namespaces", {}, {"metadata": {"name": namespace}})
    bind(cluster, namespace)
    account = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/dexter-sa")["metadata"]
    body = {"metadata": {"name": "dexter-sa", "annotations": account["annotations"]}}
    cluster.request("POST", f"{base}/serviceaccounts", {}, body)
    database_class = cluster.get(path_of(NAMESPACE, DATABASE.delivery.secret_provider_class))
    classes = path_of(namespace, delivery.secret_provider_class).rpartition("/")[0]
    cluster.request("POST", classes, {}, class_of(consumer, keys, database_class))
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    cluster.request("POST", deployments, {}, deployment_of(consumer, keys))
    try:
        open_workload(cluster, consumer.workload).wait_for_ready(SECONDS)
        yield
    finally:
        world.cluster.delete(f"/api/v1/namespaces/{namespace}")


def class_of(consumer: Consumer, keys: Mapping[str, str], like: Mapping[str, Any]) -> dict[str, Any]:
    objects = "array:\n" + "".join(
        "  - |\n" + "".join(f"    {line}\n" for line in OBJECT.format(name).splitlines()) for name in keys.values()
    )
    data = [{"key": key, "objectName": name} for key, name in keys.items()]
    delivery, namespace = consumer.delivery, consumer.workload.namespace
    return {
        "apiVersion": like["apiVersion"],
        "kind": like["kind"],
        "metadata": {"name": delivery.secret_provider_class, "namespace": namespace},
        "spec": {
            "provider": "azure",
            "parameters": {**like["spec"]["parameters"], "objects": objects},
            "secretObjects": [{"secretName": delivery.synced_secret, "type": "Opaque", "data": data}],
        },
    }


def deployment_of(consumer: Consumer, keys: Mapping[str, str]) -> dict[str, Any]:
    made, delivery = deepcopy(manifest(["true"])), consumer.delivery
    made["metadata"]["namespace"] = consumer.workload.namespace
    pod = made["spec"]["template"]["spec"]
    reference = {key: {"secretKeyRef": {"name": delivery.synced_secret, "key": key}} for key in keys}
    if not consumer.needs_restart:
        reference = {}  # it re-reads its files
    pod["containers"][0]["env"] = [{"name": key, "valueFrom": value} for key, value in reference.items()]
    pod["volumes"][0]["csi"]["volumeAttributes"] = {"secretProviderClass": delivery.secret_provider_class}
    return made


def uids(world: World) -> dict[str, set[str]]:
    """Namespace -> the uids of its consumer's pods that are not terminating."""
    return {
        consumer.workload.namespace: set(open_workload(world.cluster, consumer.workload).get().live_pods)
        for consumer in SHARED.consumers
    }


def environment(world: World, consumer: Consumer) -> dict[str, str]:
    (pod,) = open_workload(world.cluster, consumer.workload).get().live_pods.values()
    where = (world.cluster, consumer.workload.namespace, pod)
    return {key: run_in_pod(*where, ["printenv", key]).stdout.strip() for key in KEYS[consumer.workload.namespace]}


@pytest.fixture
def everybody(world: World) -> Iterator[World]:
    with ExitStack() as stack:
        for consumer in CLIENTS:
            stack.enter_context(running(world, consumer, KEYS[consumer.workload.namespace]))
        yield world


def test_each_namespace_gets_the_new_values_and_only_what_must_is_restarted(everybody: World) -> None:
    world, before = everybody, uids(everybody)
    ended = rotate(SHARED, sync="wait", data_loss="no")
    assert (ended.verdict, ended.error) == (Verdict.ROTATED, None)
    username, password = world.values()
    after = uids(world)
    changed = {namespace for namespace in before if before[namespace] != after[namespace]}
    assert changed == {"web"}, "jobs re-reads its files, audit uses the username alone, the database keeps running"
    assert environment(world, WEB) == {"USERNAME": username, "PASSWORD": password}
    values = {"username": username, "password": password}
    for namespace in ("web", "jobs"):
        expected = {key: values[secret] for key, secret in KEYS[namespace].items()}
        assert SyncedSecret(world.cluster, namespace, "login").find_differing_keys(expected) == []
    world.assert_well()
