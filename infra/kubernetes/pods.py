"""Pure readings of pods and pod templates: who is ready, what is mounted, where a variable comes from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from infra.kubernetes.client import Object

PGDATA = "/var/lib/postgresql/data"
_EPHEMERAL = {"emptyDir", "csi", "secret", "configMap", "projected", "downwardAPI", "image"}


@dataclass(frozen=True)
class PodFacts:
    """One pod at one moment.

    Args:
        name: its name.
        uid: its uid: a pod of the same name later is another pod.
        ready: whether its condition Ready is true.
        terminating: whether it is being deleted.
        node: where it runs; empty while it is not scheduled.
        started_at: when the node took it on, in UTC; None before that.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        restarts: how often its containers were restarted.
        images: its containers' images.
    """

    name: str
    uid: str
    ready: bool
    terminating: bool
    node: str
    started_at: datetime | None
    phase: str
    restarts: int
    images: tuple[str, ...]


@dataclass(frozen=True)
class Volume:
    """A volume as a container mounts it.

    Args:
        name: its name.
        kind: the volume's source, as "csi", "persistentVolumeClaim", "emptyDir".
        mount_path: where the container sees it.
        source: the claim's, class's or Secret's name, if it has one.
    """

    name: str
    kind: str
    mount_path: str
    source: str


def pod_facts(pod: Object) -> PodFacts:
    """Read one pod."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
    started = status.get("startTime")
    return PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        ready=conditions.get("Ready") == "True",
        terminating=bool(metadata.get("deletionTimestamp")),
        node=spec.get("nodeName") or "",
        started_at=datetime.fromisoformat(started) if started else None,
        phase=status.get("phase") or "Pending",
        restarts=sum(item.get("restartCount", 0) for item in status.get("containerStatuses") or []),
        images=tuple(item.get("image", "") for item in spec.get("containers") or []),
    )


def all_pod_facts(pods: Iterable[Object]) -> tuple[PodFacts, ...]:
    """Read pods, sorted by name."""
    return tuple(sorted((pod_facts(pod) for pod in pods), key=lambda facts: facts.name))


def volumes(template: Object) -> tuple[Volume, ...]:
    """Return the volumes that a pod template's containers mount."""
    spec = template.get("spec") or {}
    sources = {volume["name"]: volume for volume in spec.get("volumes") or []}
    return tuple(
        _volume(sources[mount["name"]], mount["mountPath"])
        for container in spec.get("containers") or []
        for mount in container.get("volumeMounts") or []
        if mount["name"] in sources
    )


def _volume(volume: Object, mount_path: str) -> Volume:
    kind = next((key for key in volume if key != "name"), "emptyDir")
    body = volume.get(kind) or {}
    attributes = body.get("volumeAttributes") or {}
    source = attributes.get("secretProviderClass") or body.get("claimName") or body.get("secretName") or ""
    return Volume(volume["name"], kind, mount_path, source)


def secret_provider_classes(template: Object) -> tuple[str, ...]:
    """Return the SecretProviderClasses that a pod template mounts."""
    return tuple(sorted({volume.source for volume in volumes(template) if volume.kind == "csi" and volume.source}))


def secret_references(template: Object) -> dict[str, tuple[str, str]]:
    """Return environment variable -> (Secret, key) over all of a template's containers."""
    references = {}
    for container in (template.get("spec") or {}).get("containers") or []:
        for variable in container.get("env") or []:
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference:
                references[variable["name"]] = (reference["name"], reference["key"])
    return references


def keeps_pgdata(template: Object) -> bool:
    """Say whether PostgreSQL's data outlives the pod: a volume that lasts is mounted at, above or below PGDATA."""
    data = PurePosixPath(_variables(template).get("PGDATA", PGDATA))
    places = [PurePosixPath(volume.mount_path) for volume in volumes(template) if volume.kind not in _EPHEMERAL]
    return any(data.is_relative_to(place) or place.is_relative_to(data) for place in places)


def _variables(template: Object) -> Mapping[str, str]:
    return {
        variable["name"]: variable["value"]
        for container in (template.get("spec") or {}).get("containers") or []
        for variable in container.get("env") or []
        if variable.get("value")
    }
