"""What every part of the node is given."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.azure.backends import Proxies
from lab.cluster.client import CONFIG_MAPS, SECRETS, Client
from lab.cluster.events import Recorder
from lab.cluster.informer import Informer
from lab.databases.postgres import Postgres
from lab.sandbox.sandboxes import Sandboxes


class Switches(Protocol):
    """The named faults."""

    def is_on(self, name: str) -> bool:
        """Whether a fault is on."""


class Processes(Protocol):
    """What containers are made of; `lab.control.runtime.Runtime` is one."""

    async def sandboxes(self) -> Sandboxes:
        """How sandboxes are made here."""

    async def postgres(self) -> Postgres:
        """PostgreSQL, ready to be started."""


@dataclass(frozen=True)
class PublishRequest:
    """A CSI volume to be put in place, as NodePublishVolume asks for it.

    Args:
        target: the folder to fill.
        context: volume attributes and what the kubelet adds: the pod, its service account's tokens.
        owner: uid and gid that files shall have.
    """

    target: Path
    context: Mapping[str, str]
    owner: tuple[int, int]


class DriverError(Exception):
    """A CSI call failed; the text is the gRPC error as the kubelet prints it."""


class VolumeDriver(Protocol):
    """A CSI driver on this node."""

    name: str

    async def publish(self, request: PublishRequest) -> None:
        """Put a volume in place, or look at it again.

        Raises:
            DriverError: it could not be done.
        """

    async def unpublish(self, target: Path) -> None:
        """Take a volume away."""


class Addresses:
    """Loopback addresses for pods: NETWORK.1.1 and on, each given once until it is given back."""

    def __init__(self, network: str) -> None:
        self._network, self._next = network, 0
        self._taken: set[str] = set()

    def take(self) -> str:
        """An address that nobody has; the one that was given back last comes last."""
        while True:
            number = self._next % (40 * 254)
            self._next += 1
            address = f"{self._network}.{1 + number // 254}.{1 + number % 254}"
            if address not in self._taken:
                self._taken.add(address)
                return address

    def give_back(self, address: str) -> None:
        """The address is free again."""
        self._taken.discard(address)


@dataclass
class NodeContext:
    """The node as its parts see it.

    Args:
        client: the API server's client.
        name: the node's name.
        address: its address.
        state_dir: where pods' folders and logs are.
        proxies: opens a proxy for each pod.
        faults: the named faults.
        recorder: writes events as the kubelet.
        processes: what containers are made of.
        addresses: gives pods their addresses.
        ca_bundle: file with the certificates that containers shall trust.
        republish_seconds: shortest and longest pause between two publish calls of a volume that wants them.
    """

    client: Client
    name: str
    address: str
    state_dir: Path
    proxies: Proxies
    faults: Switches
    recorder: Recorder
    processes: Processes
    addresses: Addresses
    ca_bundle: Path
    republish_seconds: tuple[float, float]
    drivers: dict[str, VolumeDriver] = field(default_factory=dict)
    pulled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.secrets, self.config_maps = Informer(self.client, SECRETS), Informer(self.client, CONFIG_MAPS)
        self.stopping = asyncio.Event()
