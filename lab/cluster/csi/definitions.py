"""What the driver's chart installs: the two custom resources and the CSIDriver.

https://github.com/kubernetes-sigs/secrets-store-csi-driver/tree/v1.6.0/charts/secrets-store-csi-driver
"""

import asyncio
from typing import Any

from lab.cluster.client import CSI_DRIVERS, DEFINITIONS, Client, Object

DRIVER = "secrets-store.csi.k8s.io"
GROUP = "secrets-store.csi.x-k8s.io"
AUDIENCE = "api://AzureADTokenExchange"
ESTABLISH_SECONDS = 10.0
STRING: Object = {"type": "string"}
STRINGS: Object = {"type": "object", "additionalProperties": STRING}


def _object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


def _array(items: Object) -> Object:
    return {"type": "array", "items": items}


CLASS = _object(
    apiVersion=STRING,
    kind=STRING,
    metadata={"type": "object"},
    spec=_object(
        provider=STRING,
        parameters=STRINGS,
        secretObjects=_array(
            _object(
                secretName=STRING,
                type=STRING,
                labels=STRINGS,
                annotations=STRINGS,
                data=_array(_object(objectName=STRING, key=STRING)),
            )
        ),
    ),
    status=_object(byPod=_array(_object(id=STRING, namespace=STRING))),
)
POD_STATUS = _object(
    apiVersion=STRING,
    kind=STRING,
    metadata={"type": "object"},
    status=_object(
        podName=STRING,
        secretProviderClassName=STRING,
        mounted={"type": "boolean"},
        targetPath=STRING,
        objects=_array(_object(id=STRING, version=STRING)),
    ),
)


def _definition(kind: str, schema: Object) -> Object:
    singular = kind.lower()
    plural = f"{singular}es"
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": singular}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


async def install(client: Client, requires_republish: bool) -> None:
    """Create what is missing, and return when the custom resources are served."""
    for definition in (
        _definition("SecretProviderClass", CLASS),
        _definition("SecretProviderClassPodStatus", POD_STATUS),
    ):
        name = definition["metadata"]["name"]
        found = await client.find(DEFINITIONS, "", name) or await client.create(DEFINITIONS, definition)
        async with asyncio.timeout(ESTABLISH_SECONDS):
            await _wait_until_served(client, found)
    await write_driver(client, requires_republish)


async def _wait_until_served(client: Client, definition: Object) -> None:
    if _is_established(definition):
        return
    meta = definition["metadata"]
    selector = f"metadata.name={meta['name']}"
    async for event in client.watch(DEFINITIONS, "", meta["resourceVersion"], fieldSelector=selector):
        if event["type"] != "BOOKMARK" and _is_established(event["object"]):
            return


def _is_established(definition: Object) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


async def write_driver(client: Client, requires_republish: bool) -> None:
    """Create the CSIDriver, or bring it up to date."""
    spec = {
        "attachRequired": False,
        "podInfoOnMount": True,
        "volumeLifecycleModes": ["Ephemeral"],
        "tokenRequests": [{"audience": AUDIENCE}],
        "requiresRepublish": requires_republish,
    }
    found = await client.find(CSI_DRIVERS, "", DRIVER)
    if found is None:
        body = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}, "spec": spec}
        await client.create(CSI_DRIVERS, body)
    elif bool(found["spec"].get("requiresRepublish")) != requires_republish:
        await client.patch(CSI_DRIVERS, "", DRIVER, {"spec": {"requiresRepublish": requires_republish}})
