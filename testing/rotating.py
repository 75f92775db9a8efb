"""What tests of a rotation do and look at beside the flows: the vault, the cluster and the database, from outside."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prefect.client.schemas.objects import State

from infra.azure.client import Azure
from infra.azure.names import SERVER_TYPE
from infra.credentials import Credential, FlexibleServerEndpoint, Login
from infra.errors import KeyturnError, LoginRefused
from infra.kubernetes.client import Cluster, connect
from infra.kubernetes.deliveries.synced_secrets import SyncedSecret
from infra.kubernetes.pods import find_differing_files
from infra.kubernetes.services import get_load_balancer
from infra.kubernetes.workloads import WorkloadHandle, open_workload
from infra.postgres.addresses import Address, Tls
from infra.postgres.database import Database
from infra.postgres.handshake import Connection
from infra.provisioning.options import ProvisionOptions, load_stack
from infra.rotation.options import AdvancedOptions, RotationOptions
from infra.settings import Settings
from lab.commands.run import command_environment
from lab.control import lifecycle
from testing import bare
from testing.bare import Ended
from testing.inventory import listed
from testing.labs import ROOT, RunningLab, make_state_folder
from testing.rotator import GROUP, VAULT_TYPE, make_rotator
from testing.walkthrough import DATABASE, DEXTER, INVENTORY, SERVER

STACK = load_stack("walkthrough", ROOT / "manifests", INVENTORY)
PROVISIONED = ProvisionOptions(poll_interval_seconds=2)
"""How the tests' stack is provisioned."""
NAMESPACE = DATABASE.workload.namespace
CANDIDATE = "username-password-candidate"
CONSENT = "I accept data loss"
OPTIONS = RotationOptions(data_loss=CONSENT, sync_timeout_seconds=60, ready_timeout_seconds=40)
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{DATABASE.workload.name}"
KEYS = ("USERNAME", "PASSWORD")
"""The keys of the synced Secret, in the order of the credential's secrets."""

Pair = tuple[str, str]
"""A username and a password. Unlike a Login it shows both, which a failed test needs."""


def generations_and_syncs(*fast: tuple[str, str]) -> pytest.MarkDecorator:
    """Give a test each generation of the driver with each sync; all pairs but `fast` are slow tests."""
    pairs = product(("reconciler", "republish"), ("wait", "express"))
    cases = [pytest.param(*pair, marks=() if pair in fast else pytest.mark.slow) for pair in pairs]
    return pytest.mark.parametrize(("lab", "sync"), cases, indirect=["lab"])


def options_with(**changes: Any) -> RotationOptions:
    """Return the tests' options with changes."""
    return RotationOptions.model_validate({**OPTIONS.model_dump(), **changes})


def parameters(credential: Credential = DEXTER, *, dry_run: bool = False, **changes: Any) -> dict[str, Any]:
    """Return the parameters of the flow `rotate` as plain JSON, with changes of the tests' options."""
    options = options_with(**changes).model_dump(mode="json")
    advanced = {name: options.pop(name) for name in AdvancedOptions.model_fields}
    return {"credential": listed(credential), "dry_run": dry_run, **options, "advanced": advanced}


def rotate(credential: Credential = DEXTER, **changes: Any) -> Ended:
    """Run the flow's own functions in this process, without Prefect's engine, which takes most of the time."""
    return bare.run_rotation(listed(credential), options_with(**changes))


def rotate_by_prefect(credential: Credential = DEXTER, **changes: Any) -> Ended:
    """Run the flow in this process."""
    from flows.rotate import rotate as flow

    return ended(flow(**parameters(credential, **changes), return_state=True))


def ended(state: State[Any]) -> Ended:
    """Return how a run of the flow ended, by its state, which is one of Prefect's own."""
    message, data = state.message or "", state.result(raise_on_failure=False)
    verdict = bare.verdict_of(message)
    assert state.name == ("Completed" if verdict.is_good else "Failed")
    return Ended(verdict, message, data if isinstance(data, KeyturnError) else None)


class World:
    """A lab with the walkthrough's stack in it.

    Args:
        lab: the lab; its variables are this process' own.
    """

    def __init__(self, lab: RunningLab) -> None:
        self.lab, self.settings = lab, Settings()
        self.azure = Azure(self.settings)
        self.vault = self.azure.vault(DEXTER.vault)

    @cached_property
    def cluster(self) -> Cluster:
        return connect(self.azure.get_kubeconfig(DEXTER.cluster), self.settings)

    @cached_property
    def rotator(self) -> Mapping[str, str]:
        """The variables of who rotates, with the documented rights and no more."""
        return make_rotator(self.lab, self.azure, self.cluster)

    @property
    def vault_id(self) -> str:
        """The vault's id in Azure."""
        return self.azure.resource_id(GROUP, VAULT_TYPE, DEXTER.vault)

    @property
    def server_id(self) -> str:
        """The Flexible Server's id in Azure."""
        assert isinstance(SERVER.endpoint, FlexibleServerEndpoint)
        return self.azure.resource_id(GROUP, SERVER_TYPE, SERVER.endpoint.server)

    def close(self) -> None:
        if "cluster" in self.__dict__:
            self.cluster.close()
        self.azure.close()

    @property
    def database(self) -> Database:
        """The database in the cluster, where it is reached now."""
        host, port = get_load_balancer(self.cluster, NAMESPACE, STACK.load_balancer.service)
        return Database(Address(host, port, DEXTER.database, Tls.DISABLE), self.settings)

    @property
    def workload(self) -> WorkloadHandle:
        """The database's Deployment."""
        return open_workload(self.cluster, DATABASE.workload)

    def versions(self) -> dict[str, dict[str, bool]]:
        """Secret -> version -> whether it is enabled."""
        names = (*DEXTER.secrets.names, CANDIDATE)
        return {name: {found.version: found.enabled for found in self.vault.list_versions(name)} for name in names}

    def newest_versions(self) -> dict[str, str]:
        """Secret -> newest version."""
        return {name: self.vault.get_latest(name).version for name in DEXTER.secrets.names}

    def values(self, credential: Credential = DEXTER) -> Pair:
        """The username and the password of the newest versions."""
        username, password = credential.secrets.names
        return self.vault.read(username), self.vault.read(password)

    def logs_in(self, values: Pair) -> bool:
        try:
            self.database.prove(Login(*values))
        except LoginRefused as error:
            assert error.code in ("28P01", "28000"), "a wrong password, or a disabled login"
            return False
        return True

    @contextmanager
    def session(self, values: Pair | None = None) -> Iterator[Connection]:
        """Log in to the database for a block, with the newest versions by default."""
        with self.database.connected(Login(*(values or self.values()))) as connection:
            yield connection

    def deployment(self) -> dict[str, Any]:
        return self.cluster.get(DEPLOYMENT)

    def scale(self, replicas: int) -> None:
        self.cluster.patch(DEPLOYMENT, {"spec": {"replicas": replicas}})

    def pods(self) -> list[str]:
        """The uids of the database's pods."""
        return [pod.uid for pod in self.workload.get().pods]

    def snapshot(self) -> dict[str, Any]:
        """Everything that a run which changes nothing must leave as it is."""
        deployment = self.deployment()
        secret = self.cluster.find(f"/api/v1/namespaces/{NAMESPACE}/secrets/{DATABASE.delivery.synced_secret}")
        return {
            "versions": self.versions(),
            "generation": deployment["metadata"]["generation"],
            "annotations": deployment["metadata"].get("annotations"),
            "pods": self.pods(),
            "secret": (secret or {}).get("data"),
        }

    def secret_holds(self, values: Pair) -> bool:
        """Whether the synced Secret holds a username and a password."""
        secret = SyncedSecret(self.cluster, NAMESPACE, DATABASE.delivery.synced_secret)
        return secret.find_differing_keys(dict(zip(KEYS, values, strict=True))) == []

    def assert_well(self) -> None:
        """Everybody has the newest versions, they log in, no others can be read, nothing is left behind."""
        values, workload = self.values(), self.workload.get()
        assert workload.settled
        assert workload.replicas == 1
        assert self.logs_in(values)
        assert self.secret_holds(values)
        files = {"/mederma/username": values[0], "/mederma/password": values[1]}
        for pod in workload.pods:
            assert find_differing_files(self.cluster, NAMESPACE, pod.name, files) == []
        for name, newest in self.newest_versions().items():
            enabled = [found.version for found in self.vault.list_versions(name) if found.enabled]
            assert enabled == [newest]
        assert self.vault.find_latest(CANDIDATE) is None
        assert "keyturn/stopped-replicas" not in (self.deployment()["metadata"].get("annotations") or {})


@contextmanager
def running_stack(poll_interval_seconds: float) -> Iterator[World]:
    """A lab of its own with the walkthrough's stack; its variables and tools are this process' own.

    Args:
        poll_interval_seconds: of the CSI driver.
    """
    options = lifecycle.StartOptions(state=make_state_folder(), poll_interval_seconds=poll_interval_seconds)
    with lifecycle.attached(options) as info, patch.dict(os.environ, command_environment(info, os.environ)):
        bare.install(math.ceil(poll_interval_seconds))
        with closing(World(RunningLab(options, info))) as world:
            yield world


def install_stack() -> None:
    """Provision and deploy the walkthrough's stack; what the flows do under Prefect has tests of its own."""
    bare.install(PROVISIONED.poll_interval_seconds)


@contextmanager
def fault(lab: RunningLab, name: str) -> Iterator[None]:
    """Switch a fault of the lab on for a block."""
    lab.faults.switch(name)
    try:
        yield
    finally:
        lab.faults.switch(name, on=False)


def run_python(script: Path | str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a Python process that can import the flows."""
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
