"""Commands in a pod, through the API server's exec.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (exec, v4/v5.channel.k8s.io)
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kubernetes.stream import ws_client
from kubernetes.stream.ws_client import (
    ERROR_CHANNEL,
    STDERR_CHANNEL,
    STDOUT_CHANNEL,
)
from websocket import WebSocketBadStatusException, WebSocketException

from infra.errors import ServiceFailed
from infra.kubernetes.client import Cluster
from infra.kubernetes.translation import error_of, translated

_websockets: Any = ws_client  # has no types of its own


@dataclass(frozen=True)
class CommandOutput:
    """What a command printed, and its exit code. Output may hold values, so it is not part of the repr."""

    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    code: int


def run_in_pod(
    cluster: Cluster,
    namespace: str,
    pod: str,
    argv: Sequence[str],
    container: str | None = None,
    timeout_seconds: float = 30,
) -> CommandOutput:
    """Run a command in a pod's container and return what it printed.

    Args:
        cluster: where the pod is.
        namespace: its namespace.
        pod: its name.
        argv: the command and its arguments; they appear in the cluster's audit log, so never a secret value.
        container: its container; the first one by default.
        timeout_seconds: bound on the command.

    Raises:
        NotFound: there is no such pod or container.
        ServiceFailed: the command did not end in time, or could not be started.
    """
    name = f"pod {pod} in {namespace}"
    with translated(name, cluster.server):
        channels = _open(cluster, f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", argv, container, name)
    try:
        return _collect(channels, name, timeout_seconds)
    except (WebSocketException, OSError) as error:
        seen, fix = type(error).__name__, "run again; see whether the pod and its node are well"
        raise ServiceFailed("The command was cut off", name=name, seen=seen, fix=fix) from None
    finally:
        channels.close()
        channels.sock.shutdown()  # the client leaves the socket open when the other side was the first to close


def _open(cluster: Cluster, path: str, argv: Sequence[str], container: str | None, name: str) -> Any:
    """Start the command: the client's own helper for this loses the status and the reason of a refusal."""
    query = [("command", word) for word in argv] + [("stdout", "true"), ("stderr", "true")]
    query += [("container", container)] if container else []
    request = cluster.api.param_serialize("GET", path, query_params=query, auth_settings=["BearerToken"])
    try:
        url = _websockets.get_websocket_url(request[1])
        return _websockets.WSClient(cluster.configuration, url, request[2], False, binary=True)
    except WebSocketBadStatusException as error:
        raise error_of(error.status_code, error.resp_body or b"", name) from None
    except WebSocketException as error:
        fix = "see whether the API server and proxies on the way let WebSockets pass"
        seen = type(error).__name__
        raise ServiceFailed("The command could not be started", name=name, seen=seen, fix=fix) from None


def _collect(channels: Any, name: str, timeout_seconds: float) -> CommandOutput:
    """Read until the command's status arrives or the connection ends, then what is left."""
    deadline = time.monotonic() + timeout_seconds
    output = {STDOUT_CHANNEL: b"", STDERR_CHANNEL: b"", ERROR_CHANNEL: b""}
    while channels.is_open() and not output[ERROR_CHANNEL]:
        left = deadline - time.monotonic()
        if left <= 0:
            fix = "see what the command waits for"
            raise ServiceFailed(f"The command did not end within {timeout_seconds:g} s", name=name, fix=fix)
        channels.update(timeout=min(left, 1))
        for channel in output:
            output[channel] += channels.read_channel(channel)
    for channel in (STDOUT_CHANNEL, STDERR_CHANNEL):
        output[channel] += channels.read_channel(channel)
    stdout, stderr, status = (value.decode("utf-8", "replace") for value in output.values())
    return CommandOutput(stdout, stderr, _exit_code(status, name))


def _exit_code(text: str, name: str) -> int:
    """Read the `Status` object that ends a command: success, or a cause of reason ExitCode."""
    status = json.loads(text) if text else {}
    if status.get("status") == "Success":
        return 0
    causes = (status.get("details") or {}).get("causes") or []
    for cause in causes:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    seen, fix = str(status.get("message") or "no status")[:300], "see whether the container has the program"
    raise ServiceFailed("The command could not be run", name=name, seen=seen, fix=fix)
