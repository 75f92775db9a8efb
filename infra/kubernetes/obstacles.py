"""What in a workload's own object keeps new values from its pods, whatever a rotation does.

facts = read_obstacles(cluster, consumer)
facts.is_paused, facts.mounts_class, facts.parts
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.credentials import Consumer
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.ownership import find_controller
from infra.kubernetes.workloads import open_workload


@dataclass(frozen=True)
class Obstacles:
    """A workload at one moment.

    Args:
        is_paused: whether its controller makes no rollout.
        mounts_class: whether its pods have a volume of the consumer's SecretProviderClass.
        parts: where its containers mount a part of the class or of its Secret, by subPath.
        controller: the kind and name of the object that controls it; empty: none.
        hold: what in its update strategy keeps a restart from replacing every pod; empty: nothing.
        environments: its containers that have a value of the consumer's synced Secret in their environment.
    """

    is_paused: bool
    mounts_class: bool
    parts: tuple[str, ...]
    controller: str
    hold: str = ""
    environments: tuple[str, ...] = ()


def read_obstacles(cluster: Cluster, consumer: Consumer) -> Obstacles:
    """Look at a consumer's workload.

    Raises:
        NotFound: it does not exist.
    """
    handle, delivery = open_workload(cluster, consumer.workload), consumer.delivery
    item = cluster.get(handle.path)
    pod = handle.template(item).get("spec") or {}
    of_class = set(_find_volumes(pod, delivery.secret_provider_class))
    of_secret = set(_find_secret_volumes(pod, delivery.synced_secret))
    owner = find_controller(item)
    return Obstacles(
        is_paused=bool(item["spec"].get("paused")),
        mounts_class=bool(of_class),
        parts=tuple(_find_parts(pod, of_class | of_secret)),
        controller=f"{owner['kind']} {owner['name']}" if owner else "",
        hold=handle.find_hold(item),
        environments=tuple(_find_environments(pod, delivery.synced_secret)),
    )


def _find_volumes(pod: Object, provider_class: str) -> Iterator[str]:
    """Yield the names of the volumes of a class."""
    for volume in pod.get("volumes") or []:
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if attributes.get("secretProviderClass") == provider_class:
            yield volume["name"]


def _find_secret_volumes(pod: Object, secret: str) -> Iterator[str]:
    """Yield the names of the volumes of a Secret, projected ones included."""
    for volume in pod.get("volumes") or []:
        sources = (volume.get("projected") or {}).get("sources") or []
        names = {(source.get("secret") or {}).get("name") for source in sources}
        if secret in names | {(volume.get("secret") or {}).get("secretName")}:
            yield volume["name"]


def _find_parts(pod: Object, volumes: set[str]) -> Iterator[str]:
    for container in _list_running(pod):
        for mount in container.get("volumeMounts") or []:
            if mount["name"] in volumes and (mount.get("subPath") or mount.get("subPathExpr")):
                yield f"{mount['mountPath']} of the container {container['name']}"


def _find_environments(pod: Object, secret: str) -> Iterator[str]:
    """Yield the containers with a variable, or all variables, of a Secret."""
    for container in _list_running(pod):
        single = [(entry.get("valueFrom") or {}).get("secretKeyRef") or {} for entry in container.get("env") or []]
        whole = [entry.get("secretRef") or {} for entry in container.get("envFrom") or []]
        if any(reference.get("name") == secret for reference in (*single, *whole)):
            yield container["name"]


def _list_running(pod: Object) -> Iterator[Object]:
    """Yield the containers that run as long as the pod does: sidecars are among the init containers."""
    yield from (found for found in pod.get("initContainers") or [] if found.get("restartPolicy") == "Always")
    yield from pod.get("containers") or []
