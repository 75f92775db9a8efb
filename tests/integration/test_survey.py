"""Looking around in a cluster for a proposed inventory: manifests as charts have them, under neutral names."""

from pathlib import Path
from typing import Any

import pytest

from infra.credentials import ClusterRef, load_inventory
from infra.credentials.proposals import Bundle, Survey, propose
from infra.kubernetes.manifests import apply
from infra.kubernetes.survey import list_bundles, list_endpoints, list_users
from testing.charts import CHARTS, Chart
from testing.cluster_world import World, definition
from testing.manifest_values import VALUES

REFERENCE = ClusterRef(name="shop-aks", resource_group="shop-rg")
EXTERNAL = "external-secrets.io"
OBJECTS = """
array:
  - |
    objectName: Orders-Username
    objectType: secret
    objectAlias: DB_USER
  - |
    objectName: orders-password
    objectType: secret
    objectAlias: DB_PASSWORD
  - |
    objectName: payment-api-key
    objectType: secret
"""
DRIVER = {"driver": "secrets-store.csi.k8s.io", "readOnly": True}
FROM_SECRET = [{"secretRef": {"name": "shop-database"}}]


def provider_class(namespace: str) -> dict[str, Any]:
    """Return the class of an app's chart: several objects, two of them under another name, two Secrets."""
    data = [{"key": "user", "objectName": "DB_USER"}, {"key": "password", "objectName": "DB_PASSWORD"}]
    keys = [{"key": "key", "objectName": "payment-api-key"}]
    return {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "shop-secrets", "namespace": namespace},
        "spec": {
            "provider": "azure",
            "parameters": {"keyvaultName": "shopkv", "tenantId": "t", "clientID": "c", "objects": OBJECTS},
            "secretObjects": [
                {"secretName": "shop-database", "type": "Opaque", "data": data},
                {"secretName": "shop-payment", "type": "Opaque", "data": keys},
            ],
        },
    }


def deployment(namespace: str, name: str, volumes: list[dict[str, Any]], **container: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name}
    spec = {"containers": [{"name": "app", "image": "busybox", **container}], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def chart(namespace: str) -> list[dict[str, Any]]:
    """Return an app's chart: its class, its two Deployments, another one, and the database's Service."""
    mount = {"name": "secrets", "csi": {**DRIVER, "volumeAttributes": {"secretProviderClass": "shop-secrets"}}}
    port = {"name": "postgresql", "port": 6432, "targetPort": 5432}
    return [
        provider_class(namespace),
        deployment(namespace, "shop-web", [mount], envFrom=FROM_SECRET),
        deployment(namespace, "shop-worker", [mount], envFrom=FROM_SECRET),
        deployment(namespace, "unrelated", []),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shop-postgresql", "namespace": namespace},
            "spec": {"type": "LoadBalancer", "selector": {"app": "db"}, "ports": [port]},
        },
    ]


def external(kind: str, plural: str) -> dict[str, Any]:
    """Return the definition of a kind of the External Secrets Operator."""
    made = definition(kind, plural)
    made["metadata"]["name"], made["spec"]["group"] = f"{plural}.{EXTERNAL}", EXTERNAL
    return made


def look(world: World) -> Survey:
    """Survey the test's namespace."""
    place = world.namespace
    return Survey(
        REFERENCE,
        tuple(bundle for bundle in list_bundles(world.cluster, {place}) if bundle.namespace == place),
        tuple(user for user in list_users(world.cluster, {place}) if user.namespace == place),
        tuple(found for found in list_endpoints(world.cluster, {place}) if found[0] == place),
    )


def test_the_chart_of_an_app_becomes_a_credential_that_can_be_used(world: World, tmp_path: Path) -> None:
    apply(world.cluster, chart(world.namespace))
    text = propose(look(world))
    assert "# Not proposed, by its name no login: payment-api-key" in text
    path = tmp_path / "credentials.yaml"
    path.write_text(text)
    inventory = load_inventory(path)
    assert inventory.list_problems() == ()
    found = inventory.get("orders")
    assert (found.vault, found.secrets.names) == ("shopkv", ("orders-username", "orders-password"))
    assert found.endpoint.model_dump(exclude_unset=True) == {
        "kind": "load-balancer",
        "namespace": world.namespace,
        "service": "shop-postgresql",
    }
    assert [consumer.workload.name for consumer in found.consumers] == ["shop-web", "shop-worker"]
    assert {consumer.secret_key for consumer in found.consumers} == {f"{world.namespace}/shop-database"}


@pytest.mark.parametrize("chart", CHARTS, ids=str)
def test_a_chart_becomes_a_credential_that_can_be_used_after_what_a_person_decides(
    chart: Chart, world: World, tmp_path: Path
) -> None:
    kinds = {"ExternalSecret": "externalsecrets", "SecretStore": "secretstores"}
    apply(world.cluster, [external(kind, plural) for kind, plural in kinds.items()])
    apply(world.cluster, chart.documents(VALUES | {"NAMESPACE": world.namespace}))
    text = propose(look(world))
    assert chart.said in text
    path = tmp_path / "credentials.yaml"
    path.write_text(chart.complete(text, {"kind": "host", "host": "db.example"}))
    inventory = load_inventory(path)
    assert inventory.list_problems() == ()
    found = inventory.get(chart.credential)
    assert (found.vault, found.secrets.kind) == (VALUES["VAULT"], chart.layout)
    assert {name.lower() for name in found.secret_names} == set(chart.values)
    assert {name: str(code) for name, code in found.secrets.encodings.items()} == {
        name: "base64" for name, value in chart.values.items() if value == "{password:base64}"
    }
    assert {
        f"{consumer.workload.kind} {consumer.workload.name}": tuple(each.kind for each in consumer.every_delivery)
        for consumer in found.consumers
    } == chart.consumers


def test_an_external_secret_of_a_key_vault_brings_its_secrets(world: World) -> None:
    kinds = {"ExternalSecret": "externalsecrets", "SecretStore": "secretstores"}
    apply(world.cluster, [external(kind, plural) for kind, plural in kinds.items()])
    metadata = {"name": "vault", "namespace": world.namespace}
    version = f"{EXTERNAL}/v1"
    store = {"provider": {"azurekv": {"vaultUrl": "https://shopkv.vault.azure.net"}}}
    data = [
        {"secretKey": "username", "remoteRef": {"key": "orders-username"}},
        {"secretKey": "password", "remoteRef": {"key": "secret/orders-password"}},
    ]
    spec = {"secretStoreRef": {"name": "vault"}, "target": {"name": "orders-login"}, "data": data}
    world.put(
        "secretstores",
        {"apiVersion": version, "kind": "SecretStore", "metadata": metadata, "spec": store},
        f"apis/{version}",
    )
    world.put(
        "externalsecrets",
        {"apiVersion": version, "kind": "ExternalSecret", "metadata": metadata | {"name": "orders"}, "spec": spec},
        f"apis/{version}",
    )
    names = ("orders-username", "orders-password")
    [found] = look(world).bundles
    assert found == Bundle(
        "ExternalSecret",
        world.namespace,
        "orders",
        "shopkv",
        names,
        {"orders-login": frozenset(names)},
        {"orders-username": (), "orders-password": ()},
    )
