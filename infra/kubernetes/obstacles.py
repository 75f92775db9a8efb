"""What in a workload's own object keeps new values from its pods, whatever a rotation does.

facts = read_obstacles(cluster, consumer)
facts.is_paused, facts.unread, facts.parts
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.credentials import Consumer
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.discovery import list_mounted, list_needed, read_sources
from infra.kubernetes.workloads import open_workload


@dataclass(frozen=True)
class Obstacles:
    """A workload at one moment.

    Args:
        is_paused: whether its controller makes no rollout.
        unread: what its pods should take the credential from, by the inventory, and do not.
        parts: where its containers mount a part of a class's volume, by subPath.
        controller: the kind and name of the object that controls it; empty: none.
    """

    is_paused: bool
    unread: tuple[str, ...]
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
    volumes = set(_find_volumes(pod, {source.name for source in list_mounted(consumer)}))
    return Obstacles(
        is_paused=bool(item["spec"].get("paused")),
        unread=tuple(sorted(map(str, list_needed(consumer) - set(read_sources(pod))))),
        parts=tuple(_find_parts(pod, volumes)),
        controller=_find_controller(item),
    )


def _find_volumes(pod: Object, classes: set[str]) -> Iterator[str]:
    """Yield the names of the volumes of these classes."""
    for volume in pod.get("volumes") or []:
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if attributes.get("secretProviderClass") in classes:
            yield volume["name"]


def _find_parts(pod: Object, volumes: set[str]) -> Iterator[str]:
    for container in pod.get("containers") or []:
        for mount in container.get("volumeMounts") or []:
            if mount["name"] in volumes and (mount.get("subPath") or mount.get("subPathExpr")):
                yield f"{mount['mountPath']} of the container {container['name']}"


def _find_controller(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or []
    return next((f"{owner['kind']} {owner['name']}" for owner in owners if owner.get("controller")), "")
