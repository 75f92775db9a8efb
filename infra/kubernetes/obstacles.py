"""What in a workload's own object keeps new values from its pods, whatever a rotation does.

facts = read_obstacles(cluster, consumer)
facts.is_paused, facts.mounts_class, facts.parts
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.credentials import Consumer
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.workloads import open_workload


@dataclass(frozen=True)
class Obstacles:
    """A workload at one moment.

    Args:
        is_paused: whether its controller makes no rollout.
        mounts_class: whether its pods have a volume of the consumer's SecretProviderClass.
        parts: where its containers mount a part of that volume, by subPath.
        controller: the kind and name of the object that controls it; empty: none.
    """

    is_paused: bool
    mounts_class: bool
    parts: tuple[str, ...]
    controller: str


def read_obstacles(cluster: Cluster, consumer: Consumer) -> Obstacles:
    """Look at a consumer's workload.

    Raises:
        NotFound: it does not exist.
    """
    workload = consumer.workload
    collection = open_workload(cluster, workload).collection.format(namespace=workload.namespace)
    item = cluster.get(f"{collection}/{workload.name}")
    pod = item["spec"]["template"]["spec"]
    volumes = set(_find_volumes(pod, consumer.delivery.secret_provider_class))
    return Obstacles(
        is_paused=bool(item["spec"].get("paused")),
        mounts_class=bool(volumes),
        parts=tuple(_find_parts(pod, volumes)),
        controller=_find_controller(item),
    )


def _find_volumes(pod: Object, provider_class: str) -> Iterator[str]:
    """Yield the names of the volumes of a class."""
    for volume in pod.get("volumes") or []:
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if attributes.get("secretProviderClass") == provider_class:
            yield volume["name"]


def _find_parts(pod: Object, volumes: set[str]) -> Iterator[str]:
    for container in pod.get("containers") or []:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] in volumes and (mount.get("subPath") or mount.get("subPathExpr")):
                yield f"{mount['mountPath']} of the container {container['name']}"


def _find_controller(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or []
    return next((f"{owner['kind']} {owner['name']}" for owner in owners if owner.get("controller")), "")
