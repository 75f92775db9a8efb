"""The client of benchmarks/login_client.py as a Deployment in a lab, and what its logins say about outages."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.common import pause
from infra.credentials import Consumer, CsiDelivery, WorkloadRef
from infra.kubernetes.workloads import open_workload
from testing.rotating import KEYS, NAMESPACE, World
from testing.walkthrough import DATABASE

WORKLOAD = WorkloadRef(namespace=NAMESPACE, name="login-client")
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SOURCE = Path(__file__).with_name("login_client.py")
PATIENCE_SECONDS, CALM_SECONDS = 60.0, 0.5


class Reads(StrEnum):
    """How a client gets its credential."""

    FILES = "files"
    """It reads the mounted files for each login; it is never restarted."""
    ENVIRONMENT = "environment"
    """It keeps what it started with; a rotation restarts it."""


@dataclass(frozen=True)
class Kind:
    """A client: how it gets its credential, and where it logs in.

    Args:
        reads: how it takes new values.
        where: the database, as libpq takes it.
        delivery: the SecretProviderClass that it mounts, and its Secret.
    """

    reads: Reads
    where: str
    delivery: CsiDelivery = DATABASE.delivery

    @property
    def consumer(self) -> Consumer:
        """The client as a credential lists it."""
        return Consumer(workload=WORKLOAD, delivery=self.delivery, needs_restart=self.reads is Reads.ENVIRONMENT)


@dataclass(frozen=True)
class Login:
    """One login: when it began and ended, and how; `-` is well."""

    begun: float
    ended: float
    said: str

    @property
    def works(self) -> bool:
        """Whether the database let the client in."""
        return self.said == "-"


@dataclass(frozen=True)
class Outage:
    """A time without a login that worked: from the first that failed to the next that worked."""

    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.ended - self.begun


def find_outages(logins: Sequence[Login]) -> list[Outage]:
    """Return the outages, by time."""
    found: list[Outage] = []
    failed: Login | None = None
    for login in sorted(logins, key=lambda login: login.begun):
        if not login.works:
            failed = failed or login
        elif failed:
            found.append(Outage(failed.begun, login.begun))
            failed = None
    return found


class Client:
    """The running client.

    Args:
        world: the lab.
        folder: where its pods write down their logins.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder

    def logins(self, since: float) -> list[Login]:
        """All logins begun since a moment, by whichever pod."""
        lines = [line.split() for file in self.folder.glob("*.log") for line in file.read_text().splitlines()]
        found = [Login(float(words[0]), float(words[1]), words[2]) for words in lines if len(words) == 3]
        return [login for login in found if login.begun >= since]

    def wait_until_calm(self) -> None:
        """Wait until every login of the last half second worked."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            recent = self.logins(time.monotonic() - CALM_SECONDS)
            if len(recent) > 10 * CALM_SECONDS and all(login.works for login in recent):
                return
            pause(0.1)
        raise TimeoutError("the client does not get in any more")

    def first_login(self, since: float) -> float:
        """When a pod that began since then first got in."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for mark in self.folder.glob("*.ready"):
                new = [login for login in _first(mark.with_suffix("")) if login.begun >= since]
                if new:
                    return new[0].begun
            pause(0.02)
        raise TimeoutError("no new pod of the client gets in")


def _first(log: Path) -> list[Login]:
    with log.open() as file:
        words = file.readline().split()
    return [Login(float(words[0]), float(words[1]), words[2])] if len(words) == 3 else []


@contextmanager
def running_client(world: World, kind: Kind) -> Iterator[Client]:
    """Run the client for a block."""
    folder, path = f"logins-{time.monotonic_ns()}", f"{DEPLOYMENTS}/{WORKLOAD.name}"
    workload = open_workload(world.cluster, WORKLOAD)
    world.cluster.request("POST", DEPLOYMENTS, {}, _manifest(kind, folder))
    try:
        workload.wait_for_ready(PATIENCE_SECONDS)
        client = Client(world, world.lab.state_dir / "host" / folder)
        client.wait_until_calm()
        yield client
    finally:
        world.cluster.patch(path, {"spec": {"replicas": 0}})
        workload.wait_for_pods_gone(PATIENCE_SECONDS)
        world.cluster.delete(path)


def _manifest(kind: Kind, folder: str) -> dict[str, Any]:
    """The Deployment. The image is one that has Python; the client's text comes by its environment."""
    labels = {"app": WORKLOAD.name}
    reads, log = "/credential" if kind.reads is Reads.FILES else "-", "/logins/$(hostname).log"
    start = f'exec python -c "$SOURCE" "{kind.where}" {reads} {log}'
    keys = [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": kind.delivery.synced_secret, "key": key}}} for key in KEYS
    ]
    container = {
        "name": "client",
        "image": "chester2004/get-storage",
        "command": ["sh", "-c", start],
        "env": [{"name": "SOURCE", "value": SOURCE.read_text().replace("$(", "$$(")}, *keys],
        "readinessProbe": {"exec": {"command": ["sh", "-c", f"test -e {log}.ready"]}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "credential", "mountPath": "/credential", "readOnly": True},
            {"name": "logins", "mountPath": "/logins"},
        ],
    }
    attributes = {"secretProviderClass": kind.delivery.secret_provider_class}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    spec = {
        "serviceAccountName": "dexter-sa",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "credential", "csi": csi}, {"name": "logins", "hostPath": {"path": f"/{folder}"}}],
    }
    pod_labels = {**labels, "azure.workload.identity/use": "true"}
    template = {"metadata": {"labels": pod_labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": WORKLOAD.name, "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
