"""Clients of secrets in any layout: a class that brings them, and a workload that waits with them.

A secret is a file of its own name below the folder of its class, and a variable named by `key_of`.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from infra.credentials import Consumer, CsiDelivery
from infra.kubernetes.deliveries.provider_classes import path_of
from testing.walkthrough import DATABASE
from tests.crash.scene import KIND_OF_CLASS, NAMESPACE, Scene, waiting_deployment


def key_of(secret: str) -> str:
    """Return the key of a secret in the synced Secret, which is also the client's variable."""
    return secret.upper().replace("-", "_")


def make_class(
    scene: Scene,
    name: str,
    secrets: tuple[str, ...],
    encodings: Mapping[str, str] = {},
    *,
    is_synced: bool = True,
) -> None:
    """Make a class like the walkthrough's that brings secrets, and decodes those that are encoded.

    Args:
        scene: where.
        name: its name, and that of its synced Secret.
        secrets: what it brings.
        encodings: secret -> how it is encoded.
        is_synced: whether it has a synced Secret.
    """
    like = scene.cluster.get(path_of(NAMESPACE, DATABASE.every_delivery[0].source))
    entries = [
        yaml.safe_dump(
            {"objectName": secret, "objectType": "secret"}
            | ({"objectEncoding": str(encodings[secret])} if secret in encodings else {})
        )
        for secret in secrets
    ]
    keys = [{"objectName": secret, "key": key_of(secret)} for secret in secrets]
    spec: dict[str, Any] = {
        "provider": "azure",
        "parameters": {**like["spec"]["parameters"], "objects": yaml.safe_dump({"array": entries})},
    }
    if is_synced:
        spec["secretObjects"] = [{"secretName": name, "type": "Opaque", "data": keys}]
    body = {**KIND_OF_CLASS, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    scene.cluster.request("POST", path_of(NAMESPACE, name).rpartition("/")[0], {}, body)


def make_deployment(consumer: Consumer) -> dict[str, Any]:
    """Make a Deployment that waits, with the files and variables that its deliveries bring."""
    deliveries = consumer.every_delivery
    classes = [delivery.source for delivery in deliveries if isinstance(delivery, CsiDelivery)]
    variables = [{"secretRef": {"name": delivery.secret_name}} for delivery in deliveries if delivery.secret_name]
    return waiting_deployment(consumer.workload.name, {name: f"/{name}" for name in classes}, envFrom=variables)
