"""The walkthrough's objects in a cluster of the tests: class, service account, deployment, service."""

import asyncio
from typing import Any

from pod_world import NAMESPACE, PATIENCE_SECONDS, VAULT, PodWorld

from lab.cluster import client as api
from lab.cluster.client import Object
from lab.control.options import TENANT_ID

CLASS, ACCOUNT, DEPLOYMENT, SECRET = "postgresql-kvname", "dexter-sa", "postgres-pod-kv", "userpass"
OBJECTS = """
array:
  - |
    objectName: username
    objectType: secret
    objectVersion: ""
  - |
    objectName: password
    objectType: secret
    objectVersion: ""
"""


def provider_class(client_id: str, **changes: Any) -> Object:
    """The SecretProviderClass; `changes` replace parameters, None takes one away."""
    parameters = {
        "usePodIdentity": "false",
        "clientID": client_id,
        "keyvaultName": VAULT,
        "cloudName": "",
        "objects": OBJECTS,
        "tenantID": TENANT_ID,
    } | changes
    data = [{"key": "USERNAME", "objectName": "username"}, {"key": "PASSWORD", "objectName": "password"}]
    return {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": CLASS, "namespace": NAMESPACE},
        "spec": {
            "provider": "azure",
            "parameters": {name: value for name, value in parameters.items() if value is not None},
            "secretObjects": [{"secretName": SECRET, "type": "Opaque", "data": data}],
        },
    }


def database_spec() -> Object:
    """The pod of the database."""

    def reference(name: str, key: str) -> Object:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": key}}}

    container = {
        "name": "postgresql",
        "image": "postgres:14",
        "ports": [{"containerPort": 5432}],
        "env": [reference("POSTGRES_USER", "USERNAME"), reference("POSTGRES_PASSWORD", "PASSWORD")],
        "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
        "volumeMounts": [{"name": "postgresql-store", "mountPath": "/mederma", "readOnly": True}],
    }
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": {"secretProviderClass": CLASS}}
    return {
        "serviceAccountName": ACCOUNT,
        "containers": [container],
        "volumes": [{"name": "postgresql-store", "csi": csi}],
    }


async def apply_walkthrough(world: PodWorld, **changes: Any) -> None:
    """Create everything; returns at once."""
    assert world.identity is not None
    client_id = world.identity.client_id
    await world.client.create(api.PROVIDER_CLASSES, provider_class(client_id, **changes))
    annotations = {"azure.workload.identity/client-id": client_id}
    await world.create(api.SERVICE_ACCOUNTS, "ServiceAccount", ACCOUNT, metadata={"annotations": annotations})
    labels = {"app": "PostgreSQL", "azure.workload.identity/use": "true"}
    template = {"metadata": {"labels": labels}, "spec": database_spec()}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "PostgreSQL"}}, "template": template}
    await world.create(api.DEPLOYMENTS, "Deployment", DEPLOYMENT, spec=spec)
    service = {"type": "LoadBalancer", "selector": {"app": "PostgreSQL"}, "ports": [{"port": 5432, "targetPort": 5432}]}
    await world.create(api.SERVICES, "Service", "dexter-service", spec=service)


async def the_pod(world: PodWorld) -> Object:
    """The one pod of the database that is not on its way out."""
    pods = (await world.client.list(api.PODS, NAMESPACE, labelSelector="app=PostgreSQL"))["items"]
    (pod,) = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    found: Object = pod
    return found


async def another_pod(world: PodWorld, name: str) -> str:
    """Wait until the deployment has a pod that is not called `name`, and return its name."""
    query = {"labelSelector": "app=PostgreSQL"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        listing = await world.client.list(api.PODS, NAMESPACE, **query)
        events = world.client.watch(api.PODS, NAMESPACE, listing["metadata"]["resourceVersion"], **query)
        for pod in listing["items"]:
            if pod["metadata"]["name"] != name:
                return str(pod["metadata"]["name"])
        async for event in events:
            if event["type"] == "ADDED":
                return str(event["object"]["metadata"]["name"])
    raise AssertionError("the watch ended")
