"""Deliveries: how the vault's secrets get to a consumer's pods. One module each, all behind one port.

    delivery = open_delivery(cluster, consumer)
    delivery.pin({"username": "0a1b...", "password": "2c3d..."}, rotation_id)
    delivery.wait_until_current(pods, versions, values, timeout_seconds=300)

A further delivery is one more module and its line in `_DELIVERIES`.
"""

from typing import Protocol

from infra.credentials import Consumer
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries.csi import CsiSecretsStore, KeptSecret
from infra.kubernetes.deliveries.external_secrets import ExternalSecrets
from infra.kubernetes.deliveries.port import DeliveryFacts, DeliveryHandle, OnSync, Sealed, SecretState, SyncProgress
from infra.kubernetes.deliveries.several import SeveralDeliveries

__all__ = ["DeliveryFacts", "DeliveryHandle", "OnSync", "Sealed", "SecretState", "SyncProgress", "open_delivery"]


class _Open(Protocol):
    def __call__(self, cluster: Cluster, consumer: Consumer, *, is_part: bool) -> DeliveryHandle: ...


_DELIVERIES: dict[str, _Open] = {"csi": CsiSecretsStore, "secret": KeptSecret, "external-secret": ExternalSecrets}


def open_delivery(cluster: Cluster, consumer: Consumer) -> DeliveryHandle:
    """Return the handle of a consumer's delivery, or of all of them as one, without a request to the cluster."""
    deliveries = consumer.every_delivery
    is_part = len(deliveries) > 1
    parts = [
        (_DELIVERIES[delivery.kind](cluster, consumer.by_one(delivery), is_part=is_part), bool(delivery.secret_name))
        for delivery in deliveries
    ]
    return SeveralDeliveries(consumer, parts) if is_part else parts[0][0]
