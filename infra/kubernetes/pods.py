"""Pods: what is known of them, what their templates mount, and commands inside them.

pods = read_pods(cluster.get("/api/v1/namespaces/dexter/pods")["items"])
run_in_pod(cluster, "dexter", pods[0].name, ["printenv", "PGDATA"]).stdout
"""

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from kubernetes.stream import ws_client
from kubernetes.stream.ws_client import ERROR_CHANNEL, STDERR_CHANNEL, STDOUT_CHANNEL
from websocket import WebSocketBadStatusException, WebSocketException, setdefaulttimeout

from infra.errors import AccessDenied, Code, ServiceFailed, Unverified
from infra.kubernetes.client import Cluster, Object
from infra.kubernetes.errors import make_error, translated

PGDATA = "/var/lib/postgresql/data"
_EPHEMERAL = {"emptyDir", "csi", "secret", "configMap", "projected", "downwardAPI", "image"}
_NOT_RUN = (126, 127)
"""What some runtimes answer, as a shell does, when the program is missing or cannot be executed."""
_websockets: Any = ws_client  # has no types of its own


class CannotRun(ServiceFailed):
    """A container cannot run a command: its image does not have the program."""


@dataclass(frozen=True)
class PodFacts:
    """A pod at one moment.

    Args:
        name: its name.
        uid: its uid: a later pod of the same name is another pod.
        ready: whether its condition Ready is true.
        terminating: whether it is being deleted.
        node: where it runs; empty until it is scheduled.
        started_at: when the node accepted it, in UTC; None before that.
        phase: Pending, Running, Succeeded, Failed or Unknown.
        restarts: how often its containers restarted.
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
        kind: the volume's source, such as "csi", "persistentVolumeClaim", "emptyDir".
        mount_path: where the container sees it.
        source: the name of the claim, SecretProviderClass or Secret, if it has one.
        sub_path: the one file or folder of the volume that is mounted, which never changes; empty: all of it.
        container: the container that mounts it.
    """

    name: str
    kind: str
    mount_path: str
    source: str
    sub_path: str = ""
    container: str = ""


@dataclass(frozen=True)
class Files:
    """What a container must have in its mounts.

    Args:
        container: its name; empty: the pod's first.
        values: path -> value.
    """

    container: str
    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class CommandOutput:
    """What a command printed, and its exit code. The output may hold values, so it is not part of the repr."""

    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    code: int


def list_pods(cluster: Cluster, namespace: str, selector: str = "") -> tuple[PodFacts, ...]:
    """Return a namespace's pods by name, those with the labels of `selector` if there is one."""
    query = {"labelSelector": selector} if selector else {}
    return read_pods(cluster.get(f"/api/v1/namespaces/{namespace}/pods", **query)["items"])


def read_pods(pods: Iterable[Object]) -> tuple[PodFacts, ...]:
    """Read pods, sorted by name."""
    return tuple(sorted(map(read_pod, pods), key=lambda pod: pod.name))


def read_pod(pod: Object) -> PodFacts:
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


def read_volumes(template: Object) -> tuple[Volume, ...]:
    """Return the volumes that a pod template's containers mount."""
    spec = template.get("spec") or {}
    sources = {volume["name"]: volume for volume in spec.get("volumes") or []}
    return tuple(
        _read_volume(sources[mount["name"]], mount, container.get("name", ""))
        for container in spec.get("containers") or []
        for mount in container.get("volumeMounts") or []
        if mount["name"] in sources
    )


def _read_volume(volume: Object, mount: Object, container: str) -> Volume:
    kind = next((key for key in volume if key != "name"), "emptyDir")
    body = volume.get(kind) or {}
    attributes = body.get("volumeAttributes") or {}
    source = attributes.get("secretProviderClass") or body.get("claimName") or body.get("secretName") or ""
    sub_path = mount.get("subPath") or mount.get("subPathExpr") or ""
    return Volume(volume["name"], kind, mount["mountPath"], source, sub_path, container)


def keeps_pgdata(template: Object) -> bool:
    """Say whether PostgreSQL's data outlives the pod: a lasting volume is mounted at, above or below PGDATA."""
    data = PurePosixPath(_read_variables(template).get("PGDATA", PGDATA))
    paths = [PurePosixPath(volume.mount_path) for volume in read_volumes(template) if volume.kind not in _EPHEMERAL]
    return any(data.is_relative_to(path) or path.is_relative_to(data) for path in paths)


def _read_variables(template: Object) -> Mapping[str, str]:
    return {
        variable["name"]: variable["value"]
        for container in (template.get("spec") or {}).get("containers") or []
        for variable in container.get("env") or []
        if variable.get("value")
    }


def find_differing_files(
    cluster: Cluster, namespace: str, pod: str, expected: Mapping[str, str], container: str = ""
) -> list[str]:
    """Return the paths in a pod whose content differs from what is expected, absent files included.

    Only digests leave the pod.

    Args:
        cluster: where the pod is.
        namespace: its namespace.
        pod: its name.
        expected: path -> value; only the paths are sent to the pod.
        container: the container that has the files; empty: the pod's first.

    Raises:
        NotFound: there is no such pod.
        Unverified: the container has no sha256sum, or the caller may run nothing in it (code FilesUnread).
        ServiceFailed: the container does not answer.
    """
    if not expected:
        return []
    try:
        output = run_in_pod(cluster, namespace, pod, ["sha256sum", "--", *sorted(expected)], container)
    except (CannotRun, AccessDenied) as error:
        raise Unverified(Code.FILES_UNREAD, name=f"pod {pod} in {namespace}", seen=error.seen or error.what) from None
    if output.code in _NOT_RUN:
        seen = f"sha256sum ended with {output.code}"
        raise Unverified(Code.FILES_UNREAD, name=f"pod {pod} in {namespace}", seen=seen)
    digests = {path: digest for digest, _, path in (line.partition("  ") for line in output.stdout.splitlines())}
    return [path for path in sorted(expected) if not _has_digest(expected[path], digests.get(path, ""))]


def _has_digest(value: str, digest: str) -> bool:
    return hmac.compare_digest(digest, hashlib.sha256(value.encode()).hexdigest())


def run_in_pod(
    cluster: Cluster,
    namespace: str,
    pod: str,
    argv: Sequence[str],
    container: str = "",
    timeout_seconds: float = 30,
) -> CommandOutput:
    """Run a command in a pod's container, through the API server's exec, and return what it printed.

    Args:
        cluster: where the pod is.
        namespace: its namespace.
        pod: its name.
        argv: the command and its arguments; they appear in the cluster's audit log, so never a secret value.
        container: its container; empty: the pod's first.
        timeout_seconds: bound on the command.

    Raises:
        NotFound: there is no such pod or container.
        CannotRun: the container cannot run the command.
        ServiceFailed: the command timed out, or could not be started.
    """
    name = f"pod {pod} in {namespace}"
    with translated(name, cluster.server):
        channels = _open_exec(cluster, f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", argv, container, name)
    try:
        return _collect_output(channels, name, timeout_seconds)
    except (WebSocketException, OSError) as error:
        seen, fix = type(error).__name__, "See whether the pod and its node are healthy, then run again"
        raise ServiceFailed("The command was cut off", name=name, seen=seen, fix=fix) from None
    finally:
        channels.close()
        channels.sock.shutdown()  # the client leaves the socket open if the other side closed first


def _open_exec(cluster: Cluster, path: str, argv: Sequence[str], container: str, name: str) -> Any:
    """Start the command: the client's own helper for this loses the status and the reason of a refusal."""
    query = [("command", word) for word in argv] + [("stdout", "true"), ("stderr", "true")]
    query += [("container", container)] if container else []
    request = cluster.api.param_serialize("GET", path, query_params=query, auth_settings=["BearerToken"])
    # the client has no parameter for it, and would wait for ever
    setdefaulttimeout(cluster.settings.connect_timeout_seconds)
    try:
        url = _websockets.get_websocket_url(request[1])
        return _websockets.WSClient(cluster.configuration, url, request[2], False, binary=True)
    except WebSocketBadStatusException as error:
        raise make_error(error.status_code, error.resp_body or b"", name) from None
    except WebSocketException as error:
        fix = "See whether the API server and the proxies in between let WebSockets pass"
        seen = type(error).__name__
        raise ServiceFailed("The command could not be started", name=name, seen=seen, fix=fix) from None


def _collect_output(channels: Any, name: str, timeout_seconds: float) -> CommandOutput:
    """Read until the command's status arrives or the connection ends, then what is left."""
    deadline = time.monotonic() + timeout_seconds
    output = {STDOUT_CHANNEL: b"", STDERR_CHANNEL: b"", ERROR_CHANNEL: b""}
    while channels.is_open() and not output[ERROR_CHANNEL]:
        left = deadline - time.monotonic()
        if left <= 0:
            fix = "See what the command waits for"
            raise ServiceFailed(f"The command timed out after {timeout_seconds:g} s", name=name, fix=fix)
        channels.update(timeout=min(left, 1))
        for channel in output:
            output[channel] += channels.read_channel(channel)
    for channel in (STDOUT_CHANNEL, STDERR_CHANNEL):
        output[channel] += channels.read_channel(channel)
    stdout, stderr, status = (value.decode("utf-8", "replace") for value in output.values())
    return CommandOutput(stdout, stderr, _parse_exit_code(status, name))


def _parse_exit_code(text: str, name: str) -> int:
    """Read the `Status` object that ends a command: success, or a cause of reason ExitCode."""
    status = json.loads(text) if text else {}
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    seen, fix = str(status.get("message") or "no status")[:300], "See whether the container has the program"
    raise CannotRun("The command could not be run", name=name, seen=seen, fix=fix)
