"""What in a workload's own object keeps new values from its pods, whatever a rotation does.

facts = read_obstacles(cluster, consumer)
facts.pause, facts.unread, facts.parts
"""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.credentials import Consumer
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.diagnosis import find_pause
from infra.kubernetes.discovery import list_mounted, list_needed, read_sources
from infra.kubernetes.ownership import find_controller
from infra.kubernetes.workloads import open_workload


@dataclass(frozen=True)
class Obstacles:
    """A workload at one moment.

    Args:
        pause: what stops its rollout half way; empty: nothing.
        unread: what its pods should take the credential from, by the inventory, and do not.
        parts: where its containers mount a part of a class's volume or of its Secret, by subPath.
        controller: the kind and name of the object that controls it; empty: none.
        hold: what in its update strategy keeps a restart from replacing every pod; empty: nothing.
        environments: its containers that have a value of the consumer's synced Secret in their environment.
        containers: all of its containers that run as long as the pod does.
    """

    pause: str
    unread: tuple[str, ...]
    parts: tuple[str, ...]
    controller: str
    hold: str = ""
    environments: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()


def read_obstacles(cluster: Cluster, consumer: Consumer) -> Obstacles:
    """Look at a consumer's workload.

    Raises:
        NotFound: it does not exist.
    """
    handle = open_workload(cluster, consumer.workload)
    item = cluster.get(handle.path)
    pod = handle.template(item).get("spec") or {}
    secrets = {delivery.secret_name for delivery in consumer.every_delivery if delivery.secret_name}
    of_class = set(_find_volumes(pod, {source.name for source in list_mounted(consumer)}))
    of_secret = {volume for secret in secrets for volume in _find_secret_volumes(pod, secret)}
    owner = find_controller(item)
    return Obstacles(
        pause=find_pause(item),
        unread=tuple(sorted(map(str, list_needed(consumer) - set(read_sources(pod))))),
        parts=tuple(_find_parts(pod, of_class | of_secret)),
        controller=f"{owner['kind']} {owner['name']}" if owner else "",
        hold=handle.find_hold(item),
        containers=tuple(found["name"] for found in _list_running(pod)),
        environments=tuple(dict.fromkeys(found for secret in secrets for found in _find_environments(pod, secret))),
    )


def _find_volumes(pod: Object, classes: set[str]) -> Iterator[str]:
    """Yield the names of the volumes of these classes."""
    for volume in pod.get("volumes") or []:
        attributes = (volume.get("csi") or {}).get("volumeAttributes") or {}
        if attributes.get("secretProviderClass") in classes:
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
