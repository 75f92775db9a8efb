"""Deliveries: how the vault's secrets get to a consumer's pods. One module each, all behind one port.

    delivery = open_delivery(cluster, consumer)
    delivery.pin({"username": "0a1b...", "password": "2c3d..."}, rotation_id)
    delivery.wait_until_current(pods, versions, values, timeout_seconds=300)

A further delivery is one more module and its line in `_DELIVERIES`.
"""

from collections.abc import Callable

from infra.credentials import Consumer
from infra.kubernetes.client import Cluster
from infra.kubernetes.deliveries.csi import CsiSecretsStore
from infra.kubernetes.deliveries.port import DeliveryFacts, DeliveryHandle, OnSync, SecretState, SyncProgress

__all__ = ["DeliveryFacts", "DeliveryHandle", "OnSync", "SecretState", "SyncProgress", "open_delivery"]

_DELIVERIES: dict[str, Callable[[Cluster, Consumer], DeliveryHandle]] = {"csi": CsiSecretsStore}


def open_delivery(cluster: Cluster, consumer: Consumer) -> DeliveryHandle:
    """Return the handle of a consumer's delivery, without a request to the cluster."""
    return _DELIVERIES[consumer.delivery.kind](cluster, consumer)
