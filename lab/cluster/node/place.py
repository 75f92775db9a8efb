"""What a container is told about its pod, and what is said of a container that cannot be run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.cluster.client import Object
from lab.sandbox.sandboxes import Bind, SandboxFailed


@dataclass
class PodPlace:
    """What a container is told about its pod; the worker keeps it up to date.

    Args:
        pod: the pod as it is now.
        folder: the pod's folder.
        log_dir: the pod's folder of logs.
        binds: returns what a container is shown.
        address: the pod's address, once it has one.
        environment: what the lab adds to every container's variables.
    """

    pod: Object
    folder: Path
    log_dir: Path
    binds: Callable[[Object], tuple[Bind, ...]]
    address: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def describe_failure(error: SandboxFailed) -> str:
    """What the runtime says of a command that cannot be run."""
    return {
        "not-found": f'exec: "{error.name}": executable file not found in $PATH',
        "not-executable": f'exec: "{error.name}": {error.seen.lower()}',
    }.get(error.code, error.seen)


def full_name(pod: Object) -> str:
    """A pod as the kubelet's texts name it."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def go_duration(seconds: float) -> str:
    """Seconds as Go prints them."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
