"""What the tests of a rotation look at and do, beside the flows: the vault, the cluster, the database, from outside."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from infra.azure.client import Azure
from infra.credentials import load_inventory
from infra.errors import KeyturnError, LoginRefused
from infra.kubernetes.client import MERGE_PATCH, Cluster, connect
from infra.kubernetes.load_balancers import get_load_balancer
from infra.kubernetes.mounted_files import differing_files
from infra.kubernetes.secrets_store import synced_secret_holds
from infra.kubernetes.workloads import get_workload
from infra.postgres.login import Endpoint, Tls, prove_login
from infra.provisioning.options import ProvisionOptions, load_stack
from infra.settings import Settings
from infra.targets import (
    WALKTHROUGH_CONSUMER,
    RotationOptions,
    Strategy,
    Target,
    Through,
)
from testing import bare
from testing.labs import ROOT, RunningLab

TARGET, DATABASE = Target(), WALKTHROUGH_CONSUMER
STACK = load_stack("walkthrough", ROOT / "manifests", load_inventory(ROOT / "credentials.yaml"))
PROVISIONED = ProvisionOptions(poll_interval_seconds=2)
"""How the stack of the tests is provisioned."""
SERVER = Target(
    strategy=Strategy.MANAGED,
    through=Through.SERVER,
    username_secret="server-username",
    password_secret="server-password",
    consumers=(),
)
"""The Flexible Server's administrator, whom nobody in the cluster consumes."""
CANDIDATE = "username-password-candidate"
OPTIONS = RotationOptions(
    dry_run=False, data_loss="I accept data loss", sync_timeout_seconds=60, ready_timeout_seconds=40
)
DEPLOYMENT = f"/apis/apps/v1/namespaces/{TARGET.namespace}/deployments/{DATABASE.workload}"


def generations_and_syncs(*fast: tuple[str, str]) -> pytest.MarkDecorator:
    """Give a test each generation of the driver with each way of syncing; all pairs but `fast` among the slow tests."""
    pairs = product(("reconciler", "republish"), ("wait", "express"))
    cases = [pytest.param(*pair, marks=() if pair in fast else pytest.mark.slow) for pair in pairs]
    return pytest.mark.parametrize(("lab", "sync"), cases, indirect=["lab"])


def options_with(**changes: Any) -> RotationOptions:
    """The options of a rotation that is really made, with changes."""
    return RotationOptions.model_validate({**OPTIONS.model_dump(), **changes})


@dataclass(frozen=True)
class Ended:
    """How a run of the flow ended."""

    name: str
    message: str
    error: KeyturnError | None


def rotate(target: Target = TARGET, **changes: Any) -> Ended:
    """Run the flow's own functions in this process, without Prefect's engine: that costs most of the time."""
    verdict, message, error = bare.run_rotation(target, options_with(**changes))
    return Ended(verdict.value, message, error)


def rotate_by_prefect(target: Target = TARGET, **changes: Any) -> Ended:
    """Run the flow in this process."""
    from flows.rotate import rotate as flow

    state = flow(target, options_with(**changes), return_state=True)
    found = state.result(raise_on_failure=False)
    return Ended(state.name or "", state.message or "", found if isinstance(found, KeyturnError) else None)


class World:
    """A lab with the walkthrough's stack in it.

    Args:
        lab: the lab; its variables are this process' own.
    """

    def __init__(self, lab: RunningLab) -> None:
        self.lab, self.settings = lab, Settings()
        self.azure = Azure(self.settings)
        self.vault = self.azure.vault(TARGET.vault)

    @cached_property
    def cluster(self) -> Cluster:
        return connect(self.azure.get_kubeconfig(STACK.database.cluster), self.settings)

    def close(self) -> None:
        if "cluster" in self.__dict__:
            self.cluster.close()
        self.azure.close()

    @property
    def endpoint(self) -> Endpoint:
        host, port = get_load_balancer(self.cluster, TARGET.namespace, TARGET.service)
        return Endpoint(host, port, TARGET.database, Tls.DISABLE)

    def versions(self) -> dict[str, dict[str, bool]]:
        """Secret -> version -> whether it is enabled."""
        names = ("username", "password", CANDIDATE)
        return {name: {one.version: one.enabled for one in self.vault.list_versions(name)} for name in names}

    def values(self) -> tuple[str, str]:
        """What is in force."""
        return self.vault.read("username"), self.vault.read("password")

    def logs_in(self, values: tuple[str, str]) -> bool:
        try:
            prove_login(self.endpoint, *values, self.settings)
        except LoginRefused as error:
            assert error.code in ("28P01", "28000"), "a wrong password, or a login that is closed"
            return False
        return True

    def deployment(self) -> dict[str, Any]:
        return self.cluster.get(DEPLOYMENT)

    def scale(self, replicas: int) -> None:
        self.cluster.request("PATCH", DEPLOYMENT, {}, {"spec": {"replicas": replicas}}, MERGE_PATCH)

    def pods(self) -> list[str]:
        """The uids of the database's pods."""
        return [pod.uid for pod in get_workload(self.cluster, DATABASE.namespace, DATABASE.workload).pods]

    def snapshot(self) -> dict[str, Any]:
        """Everything that a run which changes nothing must leave as it is."""
        deployment = self.deployment()
        secret = self.cluster.find(f"/api/v1/namespaces/{TARGET.namespace}/secrets/{DATABASE.synced_secret}")
        return {
            "versions": self.versions(),
            "generation": deployment["metadata"]["generation"],
            "annotations": deployment["metadata"].get("annotations"),
            "pods": self.pods(),
            "secret": (secret or {}).get("data"),
        }

    def assert_well(self) -> None:
        """The newest versions are everywhere, they log in, nothing else is readable, nothing is left behind."""
        values = self.values()
        workload = get_workload(self.cluster, DATABASE.namespace, DATABASE.workload)
        assert workload.settled
        assert workload.replicas == 1
        assert self.logs_in(values)
        expected = dict(zip(("USERNAME", "PASSWORD"), values, strict=True))
        assert synced_secret_holds(self.cluster, TARGET.namespace, DATABASE.synced_secret, expected)
        files = {"/mederma/username": values[0], "/mederma/password": values[1]}
        for pod in workload.pods:
            assert differing_files(self.cluster, TARGET.namespace, pod.name, files) == []
        for name in ("username", "password"):
            enabled = [one.version for one in self.vault.list_versions(name) if one.enabled]
            assert enabled == [self.vault.get_latest(name).version]
        assert self.vault.find_latest(CANDIDATE) is None
        assert "keyturn/stopped-replicas" not in (self.deployment()["metadata"].get("annotations") or {})


def install_stack() -> None:
    """Provision and deploy the walkthrough's stack; what the flows do under Prefect has tests of its own."""
    bare.install(PROVISIONED.poll_interval_seconds)


@contextmanager
def fault(lab: RunningLab, name: str) -> Iterator[None]:
    """A switch of the lab, on for a block."""
    lab.faults.switch(name)
    try:
        yield
    finally:
        lab.faults.switch(name, on=False)


def run_python(script: Path | str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a Python process with the flows on its path."""
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
