"""Several workloads in several namespaces on one credential: each gets what it uses, and only as it must."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from clients import CLIENT, SECONDS, manifest

from infra.azure.client import Azure
from infra.azure.identities import FederatedCredentials
from infra.kubernetes.provider_classes import path_of
from infra.kubernetes.secrets_store import synced_secret_holds
from infra.kubernetes.workloads import get_workload, run_in_pod, wait_for_ready
from infra.provisioning.wanted import federation
from infra.targets import Consumer, Strategy
from testing.rotating import DATABASE, STACK, TARGET, World, rotate

OBJECT = "objectName: {}\nobjectType: secret\nobjectVersion: ''\n"


def consumer(namespace: str, needs_restart: bool = True) -> Consumer:
    """A client with a class and a Secret of its own."""
    return CLIENT.model_copy(
        update={
            "namespace": namespace,
            "secret_provider_class": "database",
            "synced_secret": "login",
            "needs_restart": needs_restart,
        }
    )


WEB, JOBS, AUDIT = consumer("web"), consumer("jobs", needs_restart=False), consumer("audit")
KEYS = {"web": {"USERNAME": "username", "PASSWORD": "password"}, "jobs": {"PASSWORD": "password"}}
"""Namespace -> key of its Secret -> the vault's secret. What audit has is the name alone."""
NAMES = {**KEYS, "audit": {"USERNAME": "username"}}
TARGET_OF_ALL = TARGET.model_copy(update={"consumers": (DATABASE, WEB, JOBS, AUDIT), "strategy": Strategy.IN_PLACE})


@contextmanager
def namespace(world: World, names: Consumer, keys: Mapping[str, str]) -> Iterator[None]:
    """A namespace whose service account is federated with the stack's identity, and a client in it."""
    cluster, base = world.cluster, f"/api/v1/namespaces/{names.namespace}"
    with Azure(world.settings) as azure:
        trusts = FederatedCredentials(azure, STACK.resource_group)
        known = trusts.resolve(federation(STACK))
        subject = f"system:serviceaccount:{names.namespace}:{STACK.service_account}"
        trusts.put(replace(known, name=f"federated-{names.namespace}", subject=subject))
    cluster.request("POST", "/api/v1/namespaces", {}, {"metadata": {"name": names.namespace}})
    account = cluster.get(f"/api/v1/namespaces/{DATABASE.namespace}/serviceaccounts/dexter-sa")["metadata"]
    body = {"metadata": {"name": "dexter-sa", "annotations": account["annotations"]}}
    cluster.request("POST", f"{base}/serviceaccounts", {}, body)
    provider = cluster.get(path_of(DATABASE.namespace, DATABASE.secret_provider_class))
    cluster.request("POST", path_of(names.namespace, "").rstrip("/"), {}, class_of(names, keys, provider))
    deployments = f"/apis/apps/v1/namespaces/{names.namespace}/deployments"
    cluster.request("POST", deployments, {}, deployment_of(names, keys))
    try:
        wait_for_ready(cluster, names.namespace, names.workload, SECONDS)
        yield
    finally:
        world.cluster.delete(f"/api/v1/namespaces/{names.namespace}")


def class_of(names: Consumer, keys: Mapping[str, str], like: Mapping[str, Any]) -> dict[str, Any]:
    objects = "array:\n" + "".join(
        "  - |\n" + "".join(f"    {line}\n" for line in OBJECT.format(name).splitlines()) for name in keys.values()
    )
    data = [{"key": key, "objectName": name} for key, name in keys.items()]
    return {
        "apiVersion": like["apiVersion"],
        "kind": like["kind"],
        "metadata": {"name": names.secret_provider_class, "namespace": names.namespace},
        "spec": {
            "provider": "azure",
            "parameters": {**like["spec"]["parameters"], "objects": objects},
            "secretObjects": [{"secretName": names.synced_secret, "type": "Opaque", "data": data}],
        },
    }


def deployment_of(names: Consumer, keys: Mapping[str, str]) -> dict[str, Any]:
    made = deepcopy(manifest(["true"]))
    made["metadata"]["namespace"] = names.namespace
    pod = made["spec"]["template"]["spec"]
    reference = {key: {"secretKeyRef": {"name": names.synced_secret, "key": key}} for key in keys}
    pod["containers"][0]["env"] = [{"name": key, "valueFrom": value} for key, value in reference.items()]
    pod["volumes"][0]["csi"]["volumeAttributes"] = {"secretProviderClass": names.secret_provider_class}
    return made


def uids(world: World, names: Consumer) -> list[str]:
    pods = get_workload(world.cluster, names.namespace, names.workload).pods
    return [pod.uid for pod in pods if not pod.terminating]


def environment(world: World, names: Consumer) -> dict[str, str]:
    (pod,) = (pod for pod in get_workload(world.cluster, names.namespace, names.workload).pods if not pod.terminating)
    ask = {key: ["printenv", key] for key in NAMES[names.namespace]}
    return {key: run_in_pod(world.cluster, names.namespace, pod.name, argv).stdout.strip() for key, argv in ask.items()}


@pytest.fixture
def everybody(world: World) -> Iterator[World]:
    with ExitStack() as stack:
        for names in (WEB, JOBS, AUDIT):
            stack.enter_context(namespace(world, names, NAMES[names.namespace]))
        yield world


def test_each_namespace_gets_the_new_values_and_only_who_must_is_restarted(everybody: World) -> None:
    world = everybody
    before = {names.namespace: uids(world, names) for names in (DATABASE, WEB, JOBS, AUDIT)}
    ended = rotate(TARGET_OF_ALL, sync="wait", data_loss="no")
    assert (ended.name, ended.error) == ("Rotated", None)
    username, password = world.values()
    after = {names.namespace: uids(world, names) for names in (DATABASE, WEB, JOBS, AUDIT)}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"web"}, "jobs reads its files again, audit uses the name alone, the database goes on"
    assert environment(world, WEB) == {"USERNAME": username, "PASSWORD": password}
    for name in ("web", "jobs"):
        expected = {key: {"username": username, "password": password}[secret] for key, secret in KEYS[name].items()}
        assert synced_secret_holds(world.cluster, name, "login", expected)
    world.assert_well()
