"""One managed cluster in the lab's process: API server, controllers, node and CSI driver; a `RunningCluster`."""

import re
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import InvalidInput
from infra.lab.backends import ClusterSpec, Origin, Proxies
from infra.lab.certificates import Authority
from infra.lab.cluster.api import ApiServer
from infra.lab.cluster.client import Client
from infra.lab.cluster.controllers import Controllers
from infra.lab.cluster.csi import SecretsStore
from infra.lab.cluster.node import Node
from infra.lab.faults import Faults
from infra.lab.options import LabOptions

DEFAULT_POLL_INTERVAL = "2m"
ADDRESS = "127.0.0.1"
"""Where the API server listens: the one address that every client's NO_PROXY understands."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class ClusterPlace:
    """What the lab gives to its clusters.

    Args:
        options: the lab's options.
        authority: signs the API server's certificate.
        proxies: opens the proxies of pods.
        faults: the lab's faults.
    """

    options: LabOptions
    authority: Authority
    proxies: Proxies
    faults: Faults


def parse_go_duration(text: str) -> float:
    """Seconds of a Go duration, as "2m" or "1m30s".

    Raises:
        InvalidInput: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidInput("not a duration", name=text, remedy="write it as 2m, 90s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
