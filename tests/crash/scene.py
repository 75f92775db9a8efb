"""The lab that rotations are killed in, and what is looked at from outside: vault, cluster, database, a client."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.azure.credentials import signed_in
from infra.azure.secrets import Secrets
from infra.errors import KeyturnError, LoginRefused
from infra.kubernetes.client import MERGE_PATCH, Cluster, connect
from infra.kubernetes.restarts import STOPPED_REPLICAS
from infra.kubernetes.secrets_store import wait_for_mounts, wait_for_synced_secret
from infra.kubernetes.workloads import get_workload, run_in_pod, wait_for_pods_gone, wait_for_ready
from infra.postgres.connection import connected
from infra.postgres.login import wait_for_login
from infra.rotation.candidate import parse_candidate
from infra.settings import Settings
from infra.targets import WALKTHROUGH_CONSUMER, Consumer, Target
from lab.control import lifecycle
from tasks.connections import endpoint_of
from tasks.credentials import candidate_name
from tasks.locking import lease_name
from testing import bare
from testing.labs import RunningLab, make_state_folder
from tests.crash.zygote import Zygote

DATABASE = WALKTHROUGH_CONSUMER
CLIENT = DATABASE.model_copy(update={"workload": "client", "is_database": False})
POLL_SECONDS, SECONDS, MOST_VERSIONS = 0.3, 40, 15
WAITING = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
LEASES = "/apis/coordination.k8s.io/v1"
KEYS = ("USERNAME", "PASSWORD")
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{CLIENT.namespace}/deployments"

Pair = tuple[str, str]
"""Username and password."""


@dataclass
class Scene:
    """A lab with the walkthrough's stack in it, and a process that runs rotations.

    Args:
        lab: the lab; its variables are this process' own.
        zygote: runs rotations.
    """

    lab: RunningLab
    zygote: Zygote

    def __post_init__(self) -> None:
        self.settings = Settings()

    @cached_property
    def cluster(self) -> Cluster:
        return connect(Path(os.environ["KUBECONFIG"]), self.settings)

    def vault(self, target: Target) -> Secrets:
        return Secrets(target.vault, self.settings)

    def newest(self, target: Target) -> Pair:
        """What is in force in the vault."""
        vault = self.vault(target)
        return vault.read(target.username_secret), vault.read(target.password_secret)

    def staged(self, target: Target) -> Pair | None:
        """What the candidate holds, where there is one."""
        vault, name = self.vault(target), candidate_name(target)
        if vault.find_latest(name) is None:
            return None
        found = parse_candidate(vault.read(name), name)
        return found.username, found.password

    def logs_in(self, target: Target, pair: Pair, patience_seconds: float = 0) -> bool:
        """Whether the database takes a login; it must answer, at once or within the time."""
        try:
            wait_for_login(endpoint_of(target, self.cluster), *pair, self.settings, patience_seconds)
        except LoginRefused as error:
            assert error.code in ("28P01", "28000")
            return False
        return True

    def answers(self, target: Target, pair: Pair) -> bool:
        """Whether there is a database that lets a caller in or not: it may be on its way down or up."""
        try:
            self.logs_in(target, pair)
        except KeyturnError:
            return False
        return True

    def pods(self, consumer: Consumer) -> list[str]:
        """The uids of a workload's pods."""
        workload = get_workload(self.cluster, consumer.namespace, consumer.workload)
        return [pod.uid for pod in workload.pods if not pod.terminating]

    def environments(self) -> list[Pair]:
        """Username and password that each ready pod of the client began with."""
        found = [(pod, self._find_environment(pod)) for pod in self._ready_clients()]
        staying = self._ready_clients()
        assert all(pair or pod not in staying for pod, pair in found), "a client's environment cannot be read"
        return [pair for _, pair in found if pair]

    def _ready_clients(self) -> list[str]:
        pods = get_workload(self.cluster, CLIENT.namespace, CLIENT.workload).pods
        return [pod.name for pod in pods if pod.ready and not pod.terminating]

    def _find_environment(self, pod: str) -> Pair | None:
        """Ask a pod, which may be on its way out."""
        try:
            username, password = run_in_pod(self.cluster, CLIENT.namespace, pod, ["printenv", *KEYS]).stdout.split()
        except (KeyturnError, ValueError):
            return None
        return username, password

    def assert_somebody_knows_the_login(self, target: Target, before: Pair, may_be_down: bool) -> None:
        """The newest versions can be read, and one login that the vault tells is the database's."""
        vault = self.vault(target)
        for name in (target.username_secret, target.password_secret):
            assert vault.get_latest(name).enabled, f"the newest version of {name} is disabled"
        newest, staged = self.newest(target), self.staged(target)
        if may_be_down and not self.answers(target, newest):
            return
        known = {newest, before, staged or newest}
        assert any(self.logs_in(target, pair) for pair in known), "no known login works"

    def assert_clients_hold_no_mix(self, target: Target, before: Pair, always_work: bool) -> None:
        """A client's username and password belong together, and work wherever the strategy promises that."""
        allowed = {before, self.staged(target) or self.newest(target)}
        for pair in self.environments():
            assert pair in allowed, "a client has a username and a password that do not belong together"
            assert not always_work or self.logs_in(target, pair), "a client has a login that does not work"

    def assert_well(self, target: Target, before: Pair) -> None:
        """The newest versions are everywhere and log in, the former login does not, nothing is left behind."""
        newest = self.newest(target)
        assert newest != before
        assert self.logs_in(target, newest)
        assert not self.logs_in(target, before), "the former login still works"
        vault = self.vault(target)
        for name in (target.username_secret, target.password_secret):
            enabled = [one.version for one in vault.list_versions(name) if one.enabled]
            assert enabled == [vault.get_latest(name).version], f"older versions of {name} are enabled"
        assert vault.find_latest(candidate_name(target)) is None, "the candidate is left"
        lease = self.cluster.get(
            f"/apis/coordination.k8s.io/v1/namespaces/{target.namespace}/leases/{lease_name(target)}"
        )
        assert not lease["spec"].get("holderIdentity"), "the lock is held"
        for consumer in target.consumers:
            self._assert_has_newest(target, consumer, newest)
        if CLIENT in target.consumers:
            assert self.environments() == [newest]

    def _assert_has_newest(self, target: Target, consumer: Consumer, newest: Pair) -> None:
        """Files and Secret get there by the next poll at the latest."""
        where = (consumer.namespace, consumer.workload)
        workload = get_workload(self.cluster, *where)
        assert workload.settled and workload.replicas == 1, f"{consumer.key} is not settled"
        assert STOPPED_REPLICAS not in (self.cluster.get(f"{DEPLOYMENTS}/{where[1]}")["metadata"]["annotations"] or {})
        names = (target.username_secret, target.password_secret)
        versions = {name: self.vault(target).get_latest(name).version for name in names}
        uids = [pod.uid for pod in workload.pods]
        wait_for_mounts(self.cluster, where[0], consumer.secret_provider_class, uids, versions, SECONDS)
        expected = dict(zip(KEYS, newest, strict=True))
        wait_for_synced_secret(self.cluster, where[0], consumer.synced_secret, expected, SECONDS)

    def put_data(self, target: Target) -> None:
        """Make a table that must outlive rotations."""
        with connected(endpoint_of(target, self.cluster), *self.newest(target), self.settings) as session:
            session.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")

    def has_data(self, target: Target) -> bool:
        """Whether the table is there."""
        with connected(endpoint_of(target, self.cluster), *self.newest(target), self.settings) as session:
            return session.execute("SELECT answer FROM kept").fetchall() == [(42,)]

    def forget_old_versions(self, target: Target) -> None:
        """Write the values in force anew under names without a past, so that lists of versions stay short."""
        vault = self.vault(target)
        for name in (target.username_secret, target.password_secret):
            if len(vault.list_versions(name)) > MOST_VERSIONS:
                value = vault.read(name)
                vault.delete(name)
                vault.purge(name)
                vault.write(name, value)

    @contextmanager
    def client(self) -> Iterator[None]:
        """Run a client that has the credential in its environment."""
        path, where = f"{DEPLOYMENTS}/{CLIENT.workload}", (CLIENT.namespace, CLIENT.workload)
        self.cluster.request("POST", DEPLOYMENTS, {}, _client())
        try:
            wait_for_ready(self.cluster, *where, SECONDS)
            yield
        finally:
            self.cluster.request("PATCH", path, {}, {"spec": {"replicas": 0}}, MERGE_PATCH)
            wait_for_pods_gone(self.cluster, *where, SECONDS)
            self.cluster.delete(path)


def _client() -> dict[str, Any]:
    """The Deployment of a client that waits."""
    labels = {"app": CLIENT.workload}
    secret, csi_class = DATABASE.synced_secret, {"secretProviderClass": DATABASE.secret_provider_class}
    container = {
        "name": "client",
        "image": "postgres:14",
        "command": ["sh", "-c", WAITING],
        "env": [{"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for key in KEYS],
        "volumeMounts": [{"name": "credential", "mountPath": "/credential", "readOnly": True}],
    }
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": csi_class}
    spec = {
        "serviceAccountName": "dexter-sa",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "credential", "csi": csi}],
    }
    template = {"metadata": {"labels": {**labels, "azure.workload.identity/use": "true"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": CLIENT.workload, "namespace": CLIENT.namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


@contextmanager
def made_scene() -> Iterator[Scene]:
    """Start a lab for a block, with the stack in it; its variables are this process' own.

    Clients trust the lab's authority alone: loading the whole world's for each connection takes most of their time.
    """
    options = lifecycle.StartOptions(
        state=make_state_folder(), poll_interval_seconds=POLL_SECONDS, operation_seconds=0.0
    )
    before = dict(os.environ)
    with lifecycle.attached(options) as info:
        authority = str(options.state / "ca.pem")
        bundles = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), authority)
        os.environ.update({**info.environment, **bundles, "KEYTURN_KUBECONFIG": info.environment["KUBECONFIG"]})
        try:
            with signed_in(Settings()), Zygote() as zygote:
                bare.install(1)
                yield Scene(RunningLab(options, info), zygote)
        finally:
            os.environ.clear()
            os.environ.update(before)
